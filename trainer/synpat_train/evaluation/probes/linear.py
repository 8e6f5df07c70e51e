"""The protocol `linear`: a linear layer trained on frozen embeddings, as in EVAR.

After the linear evaluation of Niizumi et al., "BYOL for Audio: Exploring Pre-trained General-purpose Audio
Representations", 2023, with the learning rate of MSM-MAE (Niizumi et al., "Masked Spectrogram Modeling using Masked
Autoencoders", 2022). All choices are made on the validation part, never on test clips.

With this small learning rate and few epochs, the layer is far from its optimum at the end of training if a data set has
only some hundred clips. This is part of the protocol. The protocol `logistic` solves the problem to its optimum.
"""

import copy
from typing import NamedTuple

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional

from synpat_shards import InputError
from synpat_train.evaluation.scoring.metrics import mean_average_precision
from synpat_train.evaluation.tasks.task import Split

from .settings import Linear

VALIDATION = 0.1
"""Share of the training part that is used for validation if a data set has no validation part."""
DRAWS = 100
"""Maximum number of draws of that share until the rest contains every class."""
RATES = 1e-5, 3e-5, 1e-4, 3e-4, 1e-3
"""Learning rates among which the validation part chooses. With equal results, the smaller one is taken."""


def linear(settings: Linear, features: np.ndarray, targets: np.ndarray, split: Split, seed: int) -> np.ndarray:
    """Return scores of the test clips, float32 [tested, classes], in the order of `split.test`.

    features: float32 [clips, features]. targets: int64 [clips] or bool [clips, classes]. seed: of the weights, the
    order and the random validation part.
    """
    train, valid = (split.train, split.valid) if len(split.valid) else _drawn(split.train, targets, seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scaler = StandardScaler(copy=False)
    train_part = Part(
        torch.from_numpy(scaler.fit_transform(features[train])).to(device), _to_tensor(targets[train], device)
    )
    valid_part = Part(
        torch.from_numpy(scaler.transform(features[valid])).to(device), _to_tensor(targets[valid], device)
    )
    classes = targets.shape[1] if targets.ndim == 2 else int(targets.max()) + 1
    rates = RATES if settings.learning_rate == "validation" else (settings.learning_rate,)
    layers = [_trained(settings, rate, train_part, valid_part, classes, seed) for rate in rates]
    layer, _ = max(layers, key=lambda trained: trained[1])
    with torch.inference_mode():
        return layer(torch.from_numpy(scaler.transform(features[split.test])).to(device)).cpu().numpy()


class Part(NamedTuple):
    """Training or validation clips."""

    inputs: Tensor
    """float32 [clips, features], standardised."""
    targets: Tensor
    """int64 [clips], or float32 [clips, classes] of 0 and 1."""


def _trained(
    settings: Linear, learning_rate: float, train_part: Part, valid: Part, classes: int, seed: int
) -> tuple[nn.Linear, float]:
    """Return the layer after its best epoch, and its result on the validation part."""
    rng = torch.Generator().manual_seed(seed)
    width = train_part.inputs.shape[1]
    layer = nn.Linear(width, classes)
    # torch's initialisation, with a local generator because trials run in parallel
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(width**-0.5), width**-0.5, generator=rng)
    layer.to(train_part.inputs.device)
    optimiser = torch.optim.Adam(layer.parameters(), learning_rate, settings.betas, weight_decay=settings.weight_decay)
    best, best_valid, epochs_since_best = copy.deepcopy(layer), -1.0, 0
    for _ in range(settings.epochs):
        for batch in torch.randperm(len(train_part.inputs), generator=rng).split(settings.batch_size):
            optimiser.zero_grad()
            _loss(layer(train_part.inputs[batch]), train_part.targets[batch]).backward()
            optimiser.step()
        with torch.inference_mode():
            result = _validate(layer(valid.inputs), valid.targets)
        epochs_since_best = 0 if result >= best_valid else epochs_since_best + 1
        if result >= best_valid:
            best, best_valid = copy.deepcopy(layer), result
        if epochs_since_best == settings.patience:
            break
    return best, best_valid


def _loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss over clips and classes, as EVAR does for both kinds of labels."""
    if targets.ndim == 2:
        return functional.binary_cross_entropy_with_logits(scores, targets)
    return functional.cross_entropy(scores, targets) / scores.shape[1]


def _validate(scores: Tensor, targets: Tensor) -> float:
    """Return the accuracy, or the mAP for several labels per clip."""
    if targets.ndim == 2:
        return mean_average_precision(scores.cpu().numpy(), targets.cpu().numpy() > 0)
    return float((scores.argmax(1) == targets).float().mean())


def _to_tensor(targets: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(targets.astype(np.float32 if targets.ndim == 2 else np.int64)).to(device)


def _drawn(train: np.ndarray, targets: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split the training clips at random; return the rest and the validation share."""
    rng, count = np.random.default_rng(seed), max(round(VALIDATION * len(train)), 1)
    several = targets.ndim == 2
    for _ in range(DRAWS):
        shuffled = rng.permutation(train)
        valid, rest = shuffled[:count], shuffled[count:]
        # With several labels per clip, some labels always have only a few clips.
        if several or len(set(targets[rest].tolist())) == len(set(targets[train].tolist())):
            return rest, valid
    raise InputError(
        f"no {VALIDATION:.0%} of {len(train)} training clips can be used for validation without losing a label: too "
        "few clips of some labels for the protocol linear. Use --protocol logistic"
    )
