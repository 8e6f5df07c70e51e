"""White noise: independent uniform grey levels. The control: it has no structure that could transfer."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from synpat.family import Family, Image


@dataclass(frozen=True, kw_only=True)
class WhiteNoise(Family):
    """Every pixel is an independent uniform grey level: the control that should not work."""

    source: ClassVar[str] = "synpat's own control"

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls()

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        # The bytes that `rng.bytes` gives, in a third of the time.
        words = rng.bit_generator.random_raw(-(-height * width // 8))
        return words.view(np.uint8)[: height * width].reshape(height, width)
