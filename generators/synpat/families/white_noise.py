"""White noise: independent uniform grey levels. This is the control: it has no structure that could transfer."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from synpat.family import Family, Image


@dataclass(frozen=True, kw_only=True)
class WhiteNoise(Family):
    """Independent uniform grey levels: a control without structure."""

    source: ClassVar[str] = "control, synpat"

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls()

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        # The same bytes as `rng.bytes`, in a third of the time.
        words = rng.bit_generator.random_raw(-(-height * width // 8))
        return words.view(np.uint8)[: height * width].reshape(height, width)
