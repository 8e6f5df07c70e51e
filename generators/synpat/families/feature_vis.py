"""Feature visualisations: images that drive units of a network high, found by gradient ascent from noise.

Baradad et al., "Learning to see by looking at noise", 2021, after Olah et al., "Feature visualization", 2017. The
network is ResNet-50 (He et al., "Deep residual learning for image recognition", 2016), with random weights or trained
on dead leaves; the units are those of its pooled features. An image costs 128 passes through it, forth and back:
`width` and `steps` make it cheaper, at the price of not being the published model.

This needs torch (the extra `neural`). The same arguments paint the same pixels on one machine's processor; the ascent
is chaotic, so that another kind of processor may paint visibly other ones. On a GPU each rendering paints its own:
torch adds up the gradients of a resampled image there in no fixed order. `batch` samples in a row climb together.
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

from synpat.family import Bounds, Family, Image, Rejected, category_generator
from synpat_shards import InputError

SOURCE = "Baradad et al., Learning to see by looking at noise, 2021; Olah et al., Feature visualization, 2017"
UNITS = 2048
"""Pooled features of a ResNet-50."""
OBJECTIVES = 105_000
"""Single units, then pairs in lexicographic order, of which the published small set has one image each."""

BLOCKS = 3, 4, 6, 3
"""Residual blocks in each of the four stages."""
PADDING = 12
"""Pixels of grey around the image in each step."""
SCALES = tuple(np.arange(90, 111, 2) / 100)
TURNS = *range(-10, 11), *5 * (0,)
"""Degrees."""
# The correlation of colours in photographs, as Lucid has it.
_COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOURS = _COLOURS / np.linalg.norm(_COLOURS, axis=0).max()
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of photographs, which the network expects."""

Weights = dict[str, Any]
"""Tensors by the names that torchvision gives them."""


@dataclass(frozen=True, kw_only=True)
class FeatureVis(Family):
    """What excites one unit or two of a network."""

    source: ClassVar[str] = SOURCE
    expensive: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {"first": (0, 65535), "second": (-1, 65535), "steps": (1, 100_000), "batch": (1, 4096)}

    first: int
    """A unit, from 0; counted round in a network that has fewer."""
    second: int = -1
    """Another unit; -1 for none."""
    steps: int = 128
    """Of the ascent, at least 1."""
    device: str = "cpu"
    """That torch computes on: cpu, cuda or cuda:N."""
    batch: int = 1
    """Samples that are painted together, at least 1."""

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
        _refuse_absent(one.device)
        try:
            with _one_thread():
                return _ascended(rngs, one.weights(), units, one.steps, height, width, one.device)
        except _torch().OutOfMemoryError:
            raise InputError(
                f"{one.device} has no memory for a batch of {len(patterns)}: take a smaller one, or fewer workers"
            ) from None

    @abstractmethod
    def weights(self) -> Weights:
        """Of the network, on the device. Raises InputError if there are none."""


@dataclass(frozen=True, kw_only=True)
class FeatureVisRandom(FeatureVis):
    """What excites one unit or two of a ResNet-50 with random weights."""

    bounds: ClassVar[Bounds] = {**FeatureVis.bounds, "width": (1, 1024)}

    width: int = 64
    """Channels of the first layer, at least 1: 64 in ResNet-50, 16 costs a sixth."""

    def weights(self) -> Weights:
        return _random_weights(self.width, self.device)


@dataclass(frozen=True, kw_only=True)
class FeatureVisDeadLeaves(FeatureVis):
    """What excites one unit or two of a ResNet-50 that was trained to tell dead leaves apart."""

    encoder: str = ""
    """File of the network, as tools/train_dead_leaves_encoder.py writes it."""
    sha256: str = ""
    """Of that file: filled in when a set is begun, which then takes no other."""

    @classmethod
    def resolved_parameters(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        path = given.get("encoder", "")
        _refuse_missing(path)
        return {"sha256": encoder_digest(path), **given}

    def weights(self) -> Weights:
        _refuse_missing(self.encoder)
        return _trained_weights(self.encoder, self.sha256, self.device)


def _refuse_absent(device: str) -> None:
    kind, _, number = device.partition(":")
    there = _torch().cuda.device_count()
    if kind == "cuda" and int(number or 0) >= there:
        raise InputError(f"there is no {device}: torch sees {there} GPUs. Leave the parameter device out")


def _refuse_missing(encoder: str) -> None:
    if not Path(encoder).is_file():
        raise InputError(
            f"feature-vis-dead-leaves needs an encoder, and there is no file {encoder!r}: train one with python "
            "tools/train_dead_leaves_encoder.py SET encoder.pt, where SET holds dead-leaves-shapes, and pass --param "
            "encoder=encoder.pt"
        )


def _units(objective: int) -> tuple[int, int]:
    """The single units in order, then the pairs (0, 1), (0, 2), ...; -1 where there is no second unit."""
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
    """Several threads add up in another order, and the ascent carries that to the whole picture."""
    torch = _torch()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _ascended(
    rngs: Sequence[np.random.Generator],
    weights: Weights,
    units: Sequence[tuple[int, int]],
    steps: int,
    height: int,
    width: int,
    device: str,
) -> list[Image]:
    """An image for each generator and its one or two units; they climb side by side, and each by itself."""
    torch = _torch()
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    scale = torch.tensor(1 / np.maximum(frequency, 1 / max(height, width)), dtype=torch.float32, device=device)
    colours = torch.tensor(COLOURS, dtype=torch.float32, device=device)
    start = np.stack([rng.normal(0, 0.01, (3, *frequency.shape, 2)) for rng in rngs]).astype(np.float32)
    spectra = torch.tensor(start, device=device, requires_grad=True)

    def images() -> Any:
        """[batch, 3, height, width] in 0..1."""
        coefficients = torch.view_as_complex(spectra) * scale
        channels = torch.fft.irfft2(coefficients, (height, width), norm="ortho") / 4
        return torch.sigmoid(torch.einsum("ck,bkhw->bchw", colours, channels))

    mean, deviation = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, DEVIATION))
    optimiser = torch.optim.Adam([spectra], lr=0.05)
    for _ in range(steps):
        seen = [_seen(rng, image[None]) for rng, image in zip(rngs, images(), strict=True)]
        features = pooled_features(weights, (torch.cat(seen) - mean) / deviation)
        heights = [
            excited[[unit % len(excited) for unit in wanted if unit >= 0]].mean()
            for excited, wanted in zip(features, units, strict=True)
        ]
        optimiser.zero_grad()
        (-torch.stack(heights).sum()).backward()
        optimiser.step()
    with torch.no_grad():
        return [_in_full_range(image) for image in images().permute(0, 2, 3, 1).cpu().numpy()]


def _in_full_range(found: NDArray[np.float32]) -> Image:
    low, high = found.min(), found.max()
    if not high - low > 1e-6:
        raise Rejected
    return ((found - low) * (255 / (high - low)) + 0.5).astype(np.uint8)


def _seen(rng: np.random.Generator, image: Any) -> Any:
    """[1, 3, height, width] as the network gets to see it in a step, at the same size."""
    shaken = _shaken(rng, image)
    return _torch().nn.functional.interpolate(shaken, image.shape[2:], mode="bilinear", align_corners=True)


def _shaken(rng: np.random.Generator, image: Any) -> Any:
    """Pad, shift, scale, turn and shift again, so that what is found does not depend on single pixels."""
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
    # In units of half a side each, which differ: an angle among pixels is not one among them.
    turn = [
        [np.cos(angle), -np.sin(angle) * height / width, 0],
        [np.sin(angle) * width / height, np.cos(angle), 0],
    ]
    matrix = torch.tensor([turn], dtype=torch.float32, device=image.device)
    grid = nn.affine_grid(matrix, list(image.shape), align_corners=False)
    image = nn.grid_sample(image, grid, align_corners=False)
    return _shifted(image, *rng.integers(0, 4, 2).tolist())


def _shifted(image: Any, down: int, right: int) -> Any:
    """The image moved by pixels, with zeros where it was."""
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
        raise InputError(f"encoder {path} has sha256 {digest}, not {sha256}: it is not the file that was asked for")
    try:
        weights = torch.load(path, map_location=device, weights_only=True)
        layout = dict(_layout(len(weights["conv1.weight"])))
        whole = all(tuple(weights[name].shape) == shape for name, shape in layout.items())
    except Exception as error:
        raise InputError(f"{path} holds no weights of a ResNet-50 ({error})") from error
    if not whole:
        raise InputError(f"{path} holds weights of another network than ResNet-50")
    return weights


def encoder_digest(path: str) -> str:
    """sha256 of an encoder's file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def random_weights(width: int) -> dict[str, np.ndarray]:
    """A ResNet-50 before training, alike for everyone: Kaiming's normal weights by fan-out, neutral normalisation."""
    rng = category_generator("feature-vis-random", width)
    return {
        name: rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / (shape[0] * shape[2] * shape[3])))
        if len(shape) == 4
        else np.full(shape, name.endswith(("weight", "running_var")), np.float32)
        for name, shape in _layout(width)
    }


def _layout(width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of each tensor of a ResNet-50 whose first layer has this many channels."""

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
    """The features of [batch, 3, height, width], averaged over all places: [batch, 32 * width].

    training: normalise by the batch at hand, and move the running moments in `weights` towards it.
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
