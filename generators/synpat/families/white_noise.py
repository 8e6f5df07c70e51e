"""White noise: independent uniform grey levels. The control: it has no structure that could transfer."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from .family import Family, Image


@dataclass(frozen=True, kw_only=True)
class WhiteNoise(Family):
    """Every pixel is an independent uniform grey level: the control that should not work."""

    source: ClassVar[str] = "synpat's own control"

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls()

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        return np.frombuffer(rng.bytes(height * width), np.uint8).reshape(height, width)
