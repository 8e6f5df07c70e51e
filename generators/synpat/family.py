"""The base class of all families: a prior over parameters, and a method that paints them."""

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

Size = tuple[int, int]
"""Height and width in pixels."""

Bounds = Mapping[str, tuple[float, float]]
"""Smallest and largest valid value of each parameter, by name."""


class Rejected(Exception):
    """The parameters paint an image that is not useful (empty, flat) or not defined (diverging)."""


@dataclass(frozen=True, kw_only=True)
class Family(ABC):
    """A pattern of one family. Its fields are its parameters; `render` paints it."""

    source: ClassVar[str]
    """Author, title, year of the model."""
    published_size: ClassVar[Size | None] = None
    """Size of the images of the published data set, from `source`. None if there is none, or if it is not known."""
    published_parameters: ClassVar[Mapping[str, Any]] = {}
    """Values of parameters of the published images that are not the defaults."""
    version: ClassVar[int] = 1
    """Version of the pixels: increased whenever the same arguments paint other pixels."""
    categories: ClassVar[int] = 0
    """Number of classes; 0 if the family has none."""
    class_run_length: ClassVar[int] = 1
    """Number of consecutive samples of the same class."""
    expensive: ClassVar[bool] = False
    """True if an image takes about a second or more, or needs a file from the user. `--family all` omits the family."""
    bounds: ClassVar[Bounds] = {}
    """Valid ranges of the parameters, both ends included."""

    def __post_init__(self) -> None:
        for name, (low, high) in self.bounds.items():
            if not low <= getattr(self, name) <= high:  # also true for NaN
                raise InputError(f"{name} must be between {low} and {high}, got {getattr(self, name)}")

    @classmethod
    def resolved_parameters(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters that a set records. Families add the checksums of files that the parameters name.

        Raises InputError if such a file is missing or invalid.
        """
        return dict(given)

    @classmethod
    def categories_with(cls, given: Mapping[str, Any]) -> int:
        """Return the number of classes when these parameters are given."""
        return cls.categories

    @classmethod
    def category_of(cls, index: int, given: Mapping[str, Any]) -> int | None:
        """Return the class of a sample when these parameters are given; None if there are no classes."""
        categories = cls.categories_with(given)
        return given.get("category", index // cls.class_run_length % categories) if categories else None

    @classmethod
    @abstractmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        """Draw parameters from the family's prior. `category` is 0 in a family without classes."""

    @abstractmethod
    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        """Paint one image. The same arguments always paint the same pixels.

        Raises Rejected if the parameters are degenerate, InputError if the family does not support the size.
        """

    @classmethod
    def render_batch(
        cls, patterns: Sequence[Any], rngs: Sequence[np.random.Generator], height: int, width: int
    ) -> list[Image]:
        """Paint consecutive samples, one for each pattern and generator. Raises the same errors as `render`.

        Families with a parameter `batch` paint that many samples together.
        """
        return [pattern.render(rng, height, width) for pattern, rng in zip(patterns, rngs, strict=True)]


def category_generator(family: str, category: int) -> np.random.Generator:
    """Return the generator for the parameters of a category. It does not depend on the seed of the set."""
    return np.random.default_rng([zlib.crc32(family.encode()), category])


def minimum_drawn(share: float, side: float, height: int, width: int) -> float:
    """Return the minimum number of drawn pixels of an image of thin lines.

    It is a fixed share of all pixels if the shorter side is at most `side`. In larger images the share is inversely
    proportional to the shorter side, as it is for a line that is one pixel wide.
    """
    return share * min(side / min(height, width), 1) * height * width
