"""The protocol `linear`: a linear layer trained on frozen embeddings, as EVAR has it.

After the linear evaluation of Niizumi et al., "BYOL for Audio: Exploring Pre-trained General-purpose Audio
Representations", 2023, with the learning rate of MSM-MAE (Niizumi et al., "Masked Spectrogram Modeling using Masked
Autoencoders", 2022). What is chosen is chosen on the validation part, never on the tested clips.

With so small a rate and so few epochs, the layer of a data set of some hundred clips is far from its optimum when
training ends. That is the protocol; the protocol `logistic` goes to the optimum.
"""

import copy

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional

from .task import Split

LEARNING_RATE, BETAS, WEIGHT_DECAY = 3e-4, (0.9, 0.999), 1e-8
"""Of Adam; the decay is an L2 penalty."""
BATCH = 200
EPOCHS, PATIENCE = 200, 20
"""The most epochs, and those without a better validation after which training stops; one as good counts as better."""
VALIDATION = 0.1
"""Share of the training part that validates where a data set has no part of its own for that."""
DRAWS = 100
"""How often that share is drawn anew until the rest holds every class."""
SEEDS = 42, 43, 44


def linear(features: np.ndarray, labels: np.ndarray, split: Split, seed: int) -> np.ndarray:
    """Which of the split's tested clips are classified rightly: bool [tested], in the order of `split.test`.

    features: float32 [clips, features]; labels: [clips]. seed: of the weights, the order and the drawn validation.
    """
    dice = np.random.default_rng(seed)
    train, valid = (split.train, split.valid) if len(split.valid) else _drawn(split.train, labels, dice)
    numbers = {label: number for number, label in enumerate(np.unique(labels[split.train]).tolist())}
    scaler = StandardScaler().fit(features[train])

    def tensors(part: np.ndarray) -> tuple[Tensor, Tensor]:
        wanted = np.array([numbers.get(label, -1) for label in labels[part].tolist()])
        return torch.from_numpy(scaler.transform(features[part])).float(), torch.from_numpy(wanted)

    layer = _trained(*tensors(train), *tensors(valid), len(numbers), seed)
    tested, wanted = tensors(split.test)
    with torch.inference_mode():
        return (layer(tested).argmax(1) == wanted).numpy()


def _trained(inputs: Tensor, wanted: Tensor, valid: Tensor, valid_wanted: Tensor, classes: int, seed: int) -> nn.Linear:
    dice = torch.Generator().manual_seed(seed)
    layer = nn.Linear(inputs.shape[1], classes)
    for parameter in layer.parameters():  # torch's own law, from a generator of our own: rounds run side by side
        nn.init.uniform_(parameter, -(inputs.shape[1] ** -0.5), inputs.shape[1] ** -0.5, generator=dice)
    optimiser = torch.optim.Adam(layer.parameters(), LEARNING_RATE, BETAS, weight_decay=WEIGHT_DECAY)
    best, best_right, since = copy.deepcopy(layer), -1, 0
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(inputs), generator=dice).split(BATCH):
            optimiser.zero_grad()
            functional.cross_entropy(layer(inputs[batch]), wanted[batch]).backward()
            optimiser.step()
        with torch.inference_mode():
            right = int((layer(valid).argmax(1) == valid_wanted).sum())
        since = 0 if right >= best_right else since + 1
        if right >= best_right:
            best, best_right = copy.deepcopy(layer), right
        if since == PATIENCE:
            break
    return best


def _drawn(train: np.ndarray, labels: np.ndarray, dice: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Training clips without a random share, and that share."""
    classes, count = len(set(labels[train].tolist())), max(round(VALIDATION * len(train)), 1)
    for _ in range(DRAWS):
        shuffled = dice.permutation(train)
        valid, rest = shuffled[:count], shuffled[count:]
        if len(set(labels[rest].tolist())) == classes:
            return rest, valid
    raise ValueError(
        f"no {VALIDATION:.0%} of {len(train)} training clips can be set aside without losing a label: too few clips of "
        "some labels for the protocol linear, use --protocol logistic"
    )
