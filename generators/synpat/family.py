"""What a family of patterns is: a prior over parameters, and a way to paint them."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from synpat_shards import InputError

Image = NDArray[np.uint8]
"""Grey [height, width] or RGB [height, width, 3]; height is frequency, width is time."""

Bounds = Mapping[str, tuple[float, float]]
"""The least and the largest value of parameters, by their names."""


class Rejected(Exception):
    """The parameters at hand paint nothing worth keeping (empty, exploding, flat)."""


@dataclass(frozen=True, kw_only=True)
class Family(ABC):
    """A pattern of one family: its fields are its parameters, and `render` paints it."""

    source: ClassVar[str]
    """Author, title, year of the model."""
    version: ClassVar[int] = 1
    """Raised whenever the same arguments paint other pixels."""
    categories: ClassVar[int] = 0
    """How many classes the family knows; 0 when it has no notion of class."""
    class_run_length: ClassVar[int] = 1
    """How many samples in a row are of the same class."""
    expensive: ClassVar[bool] = False
    """Whether an image takes about a second or more, or needs a file of the user's: `all` leaves such a family out."""
    bounds: ClassVar[Bounds] = {}
    """What parameters may be, both ends included."""

    def __post_init__(self) -> None:
        for name, (low, high) in self.bounds.items():
            if not low <= getattr(self, name) <= high:  # neither is a value that is no number
                raise InputError(f"{name} must lie between {low} and {high}, got {getattr(self, name)}")

    @classmethod
    def resolved_parameters(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """What a set records of the given parameters: a family adds what pins down the files that they name.

        Raises InputError if such files are missing or broken.
        """
        return dict(given)

    @classmethod
    def categories_with(cls, given: Mapping[str, Any]) -> int:
        """How many classes there are when these parameters are given."""
        return cls.categories

    @classmethod
    def category_of(cls, index: int, given: Mapping[str, Any]) -> int | None:
        """The class of a sample when these parameters are given; None if there are no classes."""
        categories = cls.categories_with(given)
        return given.get("category", index // cls.class_run_length % categories) if categories else None

    @classmethod
    @abstractmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        """Pick parameters from the family's prior; category is 0 in a family without classes."""

    @abstractmethod
    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        """Paint one image; the same arguments always paint the same pixels.

        Raises Rejected when the parameters are degenerate, InputError when the model cannot serve the size.
        """

    @classmethod
    def render_batch(
        cls, patterns: Sequence[Any], rngs: Sequence[np.random.Generator], height: int, width: int
    ) -> list[Image]:
        """Paint samples in a row, as many as the parameter `batch` of a family that has one. Raises as `render`."""
        return [pattern.render(rng, height, width) for pattern, rng in zip(patterns, rngs, strict=True)]


def category_generator(family: str, category: int) -> np.random.Generator:
    """What a category's own parameters are drawn from: the same class in every set, whatever the set's seed."""
    return np.random.default_rng([zlib.crc32(family.encode()), category])


def minimum_drawn(share: float, side: float, height: int, width: int) -> float:
    """Pixels on which an image of thin lines must be drawn: a share of all while the shorter side is at most `side`.

    Beyond it the share falls as the side grows, as that of a line of one pixel does.
    """
    return share * min(side / min(height, width), 1) * height * width
