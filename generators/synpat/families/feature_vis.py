"""Feature visualisations: images that maximise units of a network, found by gradient ascent from noise.

Baradad et al., "Learning to see by looking at noise", 2021, after Olah et al., "Feature visualization", 2017. The
network is ResNet-50 (He et al., "Deep residual learning for image recognition", 2016), with random weights or trained
on dead leaves; the units are those of its pooled features. An image takes 128 forward and backward passes. `width` and
`steps` reduce this cost, but the result is then not the published model.

These families need torch (the extra `neural`). On one processor the same arguments paint the same pixels. Gradient
ascent is chaotic, so another type of processor may paint visibly different pixels. On a GPU each run paints different
pixels, because torch adds the gradients of a resampled image in no fixed order. `batch` consecutive samples are
optimised together.
"""

import hashlib
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from synpat.family import Bounds, Family, Image, Rejected, Size, category_generator
from synpat_shards import InputError

SOURCE = "Baradad et al., Learning to see by looking at noise, 2021; Olah et al., Feature visualization, 2017"
UNITS = 2048
"""Number of pooled features of a ResNet-50."""
OBJECTIVES = 105_000
"""Number of objectives: single units, then pairs in lexicographic order. The published small set has one image each."""

BLOCKS = 3, 4, 6, 3
"""Number of residual blocks in each of the four stages."""
PADDING = 12
"""Grey pixels added around the image in each step."""
SCALES = tuple(np.arange(90, 111, 2) / 100)
TURNS = *range(-10, 11), *5 * (0,)
"""Possible rotation angles in degrees."""
# Correlation of the colours in photographs, from Lucid (github.com/tensorflow/lucid).
_COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOURS = _COLOURS / np.linalg.norm(_COLOURS, axis=0).max()
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of photographs, for each of R, G, B in 0..1; the network expects inputs with these."""

Weights = dict[str, Any]
"""Tensors by their names in torchvision."""


@dataclass(frozen=True, kw_only=True)
class FeatureVis(Family):
    """Images that maximise one or two units of a network."""

    source: ClassVar[str] = SOURCE
    published_size: ClassVar[Size | None] = 256, 256
    expensive: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {"first": (0, 65535), "second": (-1, 65535), "steps": (1, 100_000), "batch": (1, 4096)}

    first: int
    """Number of a unit, modulo the number of units of the network."""
    second: int = -1
    """Number of a second unit; -1 for none."""
    steps: int = 128
    """Steps of gradient ascent."""
    device: str = "cpu"
    """Device of torch: cpu, cuda or cuda:N."""
    batch: int = 1
    """Number of samples that are painted together."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise InputError(f"device must be cpu, cuda or cuda:N, got {self.device!r}")

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        first, second = _units(int(rng.integers(OBJECTIVES)))
        return cls(first=first, second=second)

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        return self.render_batch([self], [rng], height, width)[0]

    @classmethod
    def render_batch(
        cls, patterns: Sequence[Any], rngs: Sequence[np.random.Generator], height: int, width: int
    ) -> list[Image]:
        one, units = patterns[0], [(pattern.first, pattern.second) for pattern in patterns]
        _check_device(one.device)
        try:
            with _one_thread():
                return _optimised(rngs, one.weights(), units, one.steps, height, width, one.device)
        except _torch().OutOfMemoryError:
            raise InputError(
                f"{one.device} is out of memory for a batch of {len(patterns)}: use a smaller batch or fewer workers"
            ) from None

    @abstractmethod
    def weights(self) -> Weights:
        """Return the weights of the network, on the device. Raises InputError if they cannot be loaded."""


@dataclass(frozen=True, kw_only=True)
class FeatureVisRandom(FeatureVis):
    """Images that maximise one or two units of a ResNet-50 with random weights."""

    bounds: ClassVar[Bounds] = {**FeatureVis.bounds, "width": (1, 1024)}

    width: int = 64
    """Channels of the first layer: 64 in ResNet-50; 16 takes a sixth of the time."""

    def weights(self) -> Weights:
        return _random_weights(self.width, self.device)


@dataclass(frozen=True, kw_only=True)
class FeatureVisDeadLeaves(FeatureVis):
    """Images that maximise one or two units of a ResNet-50 trained to discriminate dead-leaves images."""

    encoder: str = ""
    """Path of the weights, a file written by tools/train_dead_leaves_encoder.py."""
    sha256: str = ""
    """SHA-256 of that file, recorded when rendering starts. Afterwards the set accepts no other file."""

    @classmethod
    def resolved_parameters(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        path = given.get("encoder", "")
        _check_encoder(path)
        return {"sha256": encoder_digest(path), **given}

    def weights(self) -> Weights:
        _check_encoder(self.encoder)
        return _trained_weights(self.encoder, self.sha256, self.device)


def _check_device(device: str) -> None:
    kind, _, number = device.partition(":")
    count = _torch().cuda.device_count()
    if kind == "cuda" and int(number or 0) >= count:
        raise InputError(f"device {device} does not exist: torch finds {count} GPUs. Omit the parameter device")


def _check_encoder(encoder: str) -> None:
    if not Path(encoder).is_file():
        raise InputError(
            f"feature-vis-dead-leaves needs an encoder, and the file {encoder!r} does not exist: train one with python "
            "tools/train_dead_leaves_encoder.py SET encoder.pt, where SET is a set of dead-leaves-shapes, and pass "
            "--param encoder=encoder.pt"
        )


def _units(objective: int) -> tuple[int, int]:
    """Return the units of an objective: the single units in order, then the pairs (0, 1), (0, 2), ...

    The second unit is -1 if there is only one.
    """
    if objective < UNITS:
        return objective, -1
    first, left = 0, objective - UNITS
    while left >= UNITS - 1 - first:
        left -= UNITS - 1 - first
        first += 1
    return first, first + 1 + left


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise InputError("the feature-vis families need torch: pip install 'synpat[neural]'") from None
    return torch


@contextmanager
def _one_thread() -> Iterator[None]:
    """Make torch use one thread. Several threads add numbers in another order, which changes the pixels."""
    torch = _torch()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _optimised(
    rngs: Sequence[np.random.Generator],
    weights: Weights,
    units: Sequence[tuple[int, int]],
    steps: int,
    height: int,
    width: int,
    device: str,
) -> list[Image]:
    """Return one image for each generator and its one or two units, optimised in one batch but independently."""
    torch = _torch()
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    scale = torch.tensor(1 / np.maximum(frequency, 1 / max(height, width)), dtype=torch.float32, device=device)
    colours = torch.tensor(COLOURS, dtype=torch.float32, device=device)
    start = np.stack([rng.normal(0, 0.01, (3, *frequency.shape, 2)) for rng in rngs]).astype(np.float32)
    spectra = torch.tensor(start, device=device, requires_grad=True)

    def images() -> Any:
        """Return the images, float32 [batch, 3, height, width] in 0..1."""
        coefficients = torch.view_as_complex(spectra) * scale
        channels = torch.fft.irfft2(coefficients, (height, width), norm="ortho") / 4
        return torch.sigmoid(torch.einsum("ck,bkhw->bchw", colours, channels))

    mean, deviation = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, DEVIATION))
    optimiser = torch.optim.Adam([spectra], lr=0.05)
    for _ in range(steps):
        inputs = [_network_input(rng, image[None]) for rng, image in zip(rngs, images(), strict=True)]
        features = pooled_features(weights, (torch.cat(inputs) - mean) / deviation)
        activations = [
            outputs[[unit % len(outputs) for unit in selected if unit >= 0]].mean()
            for outputs, selected in zip(features, units, strict=True)
        ]
        optimiser.zero_grad()
        (-torch.stack(activations).sum()).backward()
        optimiser.step()
    with torch.no_grad():
        return [_in_full_range(image) for image in images().permute(0, 2, 3, 1).cpu().numpy()]


def _in_full_range(image: NDArray[np.float32]) -> Image:
    low, high = image.min(), image.max()
    if not high - low > 1e-6:
        raise Rejected
    return ((image - low) * (255 / (high - low)) + 0.5).astype(np.uint8)


def _network_input(rng: np.random.Generator, image: Any) -> Any:
    """Return an image, [1, 3, height, width], randomly transformed for one step, at the same size."""
    transformed = _transformed(rng, image)
    return _torch().nn.functional.interpolate(transformed, image.shape[2:], mode="bilinear", align_corners=True)


def _transformed(rng: np.random.Generator, image: Any) -> Any:
    """Pad, shift, scale, rotate and shift an image again, so that the result does not depend on single pixels."""
    torch = _torch()
    nn = torch.nn.functional
    image = _shifted(nn.pad(image, 4 * (PADDING,), value=0.5), *rng.integers(0, 8, 2).tolist())

    _, _, height, width = image.shape
    image = nn.interpolate(image, scale_factor=float(rng.choice(SCALES)), mode="bilinear", recompute_scale_factor=True)
    missing_y, missing_x = max(height - image.shape[2], 0), max(width - image.shape[3], 0)
    top, left = missing_y // 2, missing_x // 2
    image = nn.pad(image, (left, missing_x - left, top, missing_y - top))

    angle = np.radians(rng.choice(TURNS))
    _, _, height, width = image.shape
    # The grid's units are half the height and half the width, so a rotation in pixels needs the aspect ratio.
    turn = [
        [np.cos(angle), -np.sin(angle) * height / width, 0],
        [np.sin(angle) * width / height, np.cos(angle), 0],
    ]
    matrix = torch.tensor([turn], dtype=torch.float32, device=image.device)
    grid = nn.affine_grid(matrix, list(image.shape), align_corners=False)
    image = nn.grid_sample(image, grid, align_corners=False)
    return _shifted(image, *rng.integers(0, 4, 2).tolist())


def _shifted(image: Any, down: int, right: int) -> Any:
    """Return the image shifted by a number of pixels, filled with zeros."""
    _, _, height, width = image.shape
    return _torch().nn.functional.pad(image, (right, 0, down, 0))[:, :, :height, :width]


@lru_cache(maxsize=1)
def _random_weights(width: int, device: str) -> Weights:
    torch = _torch()
    return {name: torch.tensor(value, device=device) for name, value in random_weights(width).items()}


@lru_cache(maxsize=1)
def _trained_weights(path: str, sha256: str, device: str) -> Weights:
    torch = _torch()
    digest = encoder_digest(path)
    if sha256 not in ("", digest):
        raise InputError(f"encoder {path} has sha256 {digest}, not {sha256}: pass the file that the set started with")
    try:
        weights = torch.load(path, map_location=device, weights_only=True)
        layout = dict(_layout(len(weights["conv1.weight"])))
        fits = all(tuple(weights[name].shape) == shape for name, shape in layout.items())
    except Exception as error:
        raise InputError(f"{path} does not contain the weights of a ResNet-50 ({error})") from error
    if not fits:
        raise InputError(f"{path} contains the weights of a network other than ResNet-50")
    return weights


def encoder_digest(path: str) -> str:
    """Return the SHA-256 of an encoder's file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def random_weights(width: int) -> dict[str, np.ndarray]:
    """Return the weights of an untrained ResNet-50; they depend only on `width`.

    Convolutions have normal weights scaled by fan-out (Kaiming); normalisation layers are the identity.
    """
    rng = category_generator("feature-vis-random", width)
    return {
        name: rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / (shape[0] * shape[2] * shape[3])))
        if len(shape) == 4
        else np.full(shape, name.endswith(("weight", "running_var")), np.float32)
        for name, shape in _layout(width)
    }


def _layout(width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and shape of each tensor of a ResNet-50 whose first layer has `width` channels."""

    def convolution(name: str, normalisation: str, inputs: int, outputs: int, side: int):
        yield f"{name}.weight", (outputs, inputs, side, side)
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{normalisation}.{part}", (outputs,)

    yield from convolution("conv1", "bn1", 3, width, 7)
    inputs = width
    for stage, blocks in enumerate(BLOCKS):
        inner = width << stage
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}"
            yield from convolution(f"{name}.conv1", f"{name}.bn1", inputs, inner, 1)
            yield from convolution(f"{name}.conv2", f"{name}.bn2", inner, inner, 3)
            yield from convolution(f"{name}.conv3", f"{name}.bn3", inner, 4 * inner, 1)
            if block == 0:
                yield from convolution(f"{name}.downsample.0", f"{name}.downsample.1", inputs, 4 * inner, 1)
            inputs = 4 * inner


def pooled_features(weights: Mapping[str, Any], images: Any, *, training: bool = False) -> Any:
    """Return the features of images, [batch, 3, height, width], averaged over all positions: [batch, 32 * width].

    training: normalise by the statistics of the batch, and update the running statistics in `weights`.
    """
    nn = _torch().nn.functional

    def convolved(x: Any, name: str, normalisation: str, stride: int = 1) -> Any:
        kernel = weights[f"{name}.weight"]
        x = nn.conv2d(x, kernel, stride=stride, padding=kernel.shape[2] // 2)
        scale, shift, mean, variance = (
            weights[f"{normalisation}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return nn.batch_norm(x, mean, variance, scale, shift, training=training)

    x = nn.max_pool2d(nn.relu(convolved(images, "conv1", "bn1", 2)), 3, 2, 1)
    for stage, blocks in enumerate(BLOCKS):
        for block in range(blocks):
            name, stride = f"layer{stage + 1}.{block}", 2 if stage and block == 0 else 1
            branch = nn.relu(convolved(x, f"{name}.conv1", f"{name}.bn1"))
            branch = nn.relu(convolved(branch, f"{name}.conv2", f"{name}.bn2", stride))
            branch = convolved(branch, f"{name}.conv3", f"{name}.bn3")
            if block == 0:
                x = convolved(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
            x = nn.relu(x + branch)
    return x.mean((2, 3))
