"""The shard sets that a run learns from: ours, described by a manifest, and anybody's WebDataset of images."""

import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from synpat_shards import Manifest, decode_png, open_set

from .tar_index import Place, index_shard

LARGEST = 1 << 26
"""Pixels of an image; a header that asks for more is refused before anything is allocated."""
LOOKED_AT = 1000
"""Images, at most, from which mean and standard deviation of a set without a manifest are estimated."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A tar of images."""

    path: Path
    count: int
    """Images."""
    sha256: str | None
    """Of the file; None if nobody wrote it down."""


@dataclass(frozen=True, kw_only=True)
class ShardSet:
    """A set as the trainer sees it: grey images of one size."""

    name: str
    """Path that it was given by."""
    weight: float
    """How often an epoch takes each of its samples."""
    digest: str
    """What tells it from any other set: of all pixels where there is a manifest, else of the names, places and sizes
    of all images."""
    height: int
    width: int
    resized: bool
    """Whether images of another size are brought to this one, instead of being refused."""
    shards: tuple[Shard, ...]
    mean: float
    """Of all pixels, in grey levels 0..255."""
    std: float
    """Of all pixels, in grey levels."""

    def __len__(self) -> int:
        return sum(shard.count for shard in self.shards)

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """An image file of the set as uint8 [height, width].

        Raises ValueError for what is no whole image, or of a size that the set does not hold.
        """
        image = decode_grey(data)
        if image.shape == (self.height, self.width):
            return image
        if not self.resized:
            raise ValueError(f"{image.shape[0]}x{image.shape[1]} pixels instead of {self.height}x{self.width}")
        resized = Image.fromarray(image).resize((self.width, self.height), Image.Resampling.BILINEAR)
        return np.asarray(resized)


def open_sets(given: Iterable[str], height: int) -> tuple[ShardSet, ...]:
    """Open what `--shards` named, for a model that reads images of this height.

    Each is PATH or PATH=WEIGHT. The path is a folder of ours, any folder with tars, or one tar. Raises ValueError,
    naming path or file, for a set that is not whole, for one of ours with another height or with colour, and for a
    weight that is no positive number.
    """
    return tuple(_open(path, weight, height) for path, weight in map(parse_weight, given))


def parse_weight(given: str) -> tuple[Path, float]:
    """ "sets/perlin=2" as path and weight; a weight of 1 if there is none."""
    path, equals, number = given.rpartition("=")
    if not equals or Path(given).exists():
        return Path(given), 1.0
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise ValueError(f"{given}: the weight must be a positive number, got {number!r}")
    return Path(path), weight


def _open(path: Path, weight: float, height: int) -> ShardSet:
    tars = [path] if path.suffix == ".tar" else sorted(path.glob("*.tar"))
    if (path / ".synpat").exists() or not tars:
        return _ours(path, weight, open_set(path), height)
    return _anybodys(path, weight, tars, height)


def _ours(path: Path, weight: float, manifest: Manifest, height: int) -> ShardSet:
    recipe = manifest.recipe
    if (recipe.height, recipe.mode) != (height, "L"):
        raise ValueError(
            f"{path} holds {recipe.height}x{recipe.width} images in mode {recipe.mode}, the model reads images of "
            f"height {height} in mode L: render with --size {height}x{recipe.width}, or --set height"
        )
    return ShardSet(
        name=str(path),
        weight=weight,
        digest=hashlib.sha256("".join(shard.pixels_sha256 for shard in manifest.shards).encode()).hexdigest(),
        height=recipe.height,
        width=recipe.width,
        resized=False,
        shards=tuple(
            Shard(path=path / shard.file, count=shard.count, sha256=shard.sha256) for shard in manifest.shards
        ),
        mean=manifest.mean,
        std=manifest.std,
    )


def _anybodys(path: Path, weight: float, tars: Sequence[Path], height: int) -> ShardSet:
    """A set without a manifest. The first image tells its size if it has the model's height; if not, all are resized
    to that height, keeping the first one's proportions."""
    places = [(tar, place) for tar in tars for place in index_shard(tar)]
    if not places:
        raise ValueError(f"{path} holds no images: its tars have no members named key.png, .jpg, .jpeg or .webp")
    first = decode_grey(read_file(*places[0]))
    counts = {tar: 0 for tar in tars}
    for tar, _ in places:
        counts[tar] += 1
    known = "".join(f"{tar.name}/{place.key} {place.offset} {place.size}\n" for tar, place in places)
    few = [places[i] for i in np.linspace(0, len(places) - 1, min(len(places), LOOKED_AT), dtype=int)]
    levels = np.concatenate([decode_grey(read_file(*place)).ravel() for place in few])
    return ShardSet(
        name=str(path),
        weight=weight,
        digest=hashlib.sha256(known.encode()).hexdigest(),
        height=height,
        width=max(round(first.shape[1] * height / first.shape[0]), 1),
        resized=True,
        shards=tuple(Shard(path=tar, count=count, sha256=None) for tar, count in counts.items() if count),
        mean=float(levels.mean()),
        std=float(levels.std()) or 1.0,
    )


def read_file(tar: Path, place: Place) -> bytes:
    """The bytes of one image."""
    with tar.open("rb") as file:
        file.seek(place.offset)
        return file.read(place.size)


def decode_grey(data: bytes) -> NDArray[np.uint8]:
    """A PNG, JPEG or WebP file as uint8 [height, width]; colour is turned grey by Rec. 601.

    Raises ValueError for anything else, and for an image that is broken or too large.
    """
    if data.startswith(b"\x89PNG"):
        image = decode_png(data)
        return image if image.ndim == 2 else np.asarray(Image.fromarray(image).convert("L"))
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "WEBP"]) as image:
            if image.width * image.height > LARGEST:
                raise ValueError(f"an image of {image.height}x{image.width} pixels is refused: {LARGEST} are the most")
            return np.asarray(image.convert("L"))
    except (UnidentifiedImageError, OSError, SyntaxError, EOFError, Image.DecompressionBombError) as broken:
        raise ValueError(f"not a whole image: {broken}") from None
