"""VisualAtom: wavy, noisy contours around a nucleus, each expanded from the previous one.

Takashima et al., "Visual atoms: pre-training vision transformers with sinusoidal waves", 2023. Lengths are the
published ones at 512 pixels, scaled to the shorter side of the image; strokes are always one pixel wide. A long image
is divided into squares; each has one atom. Unlike the published renderer, this one rejects images that are almost empty
and skips classes of a few small contours, most of whose images would be almost empty.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from synpat.family import (
    Bounds,
    Family,
    Image,
    Rejected,
    Size,
    category_generator,
    minimum_drawn,
)
from synpat.painting.contours import (
    BOUNDS,
    PUBLISHED_SIDE,
    SHORTEST,
    centres,
    draw_orbits,
    length,
)

EMPTIEST = 0.01
"""Minimum share of lit pixels of an image: see `minimum_drawn`."""


@dataclass(frozen=True, kw_only=True)
class VisualAtom(Family):
    """Wavy contours around a nucleus on black; a class is a set of parameters; samples vary in noise and position.

    About 3.5 % of the published images are nearly empty. This family has none: it rejects such classes and images.
    """

    source: ClassVar[str] = "Takashima et al., Visual atoms, 2023"
    published_size: ClassVar[Size | None] = PUBLISHED_SIDE, PUBLISHED_SIDE
    version: ClassVar[int] = 2
    categories: ClassVar[int] = 1000
    bounds: ClassVar[Bounds] = {**BOUNDS, "wave_1": (0, 1000), "wave_2": (0, 1000)}

    vertices: int
    """Number of vertices of a contour; published 200 to 1000."""
    orbits: int
    """Number of contours; published 1 to 200."""
    roughness: float
    """The paper's lambda: mean growth of a contour from the previous one, and the factor of the noise; published 0 to
    4."""
    spacing: float
    """The paper's line width: growth of a contour without noise; published 0 to 0.1."""
    radius: float
    """Radius of the innermost contour, in 1/512 of the shorter side; published 10 to 60."""
    wave_1: int
    """Periods of the first sine around a contour; published 0 to 20."""
    wave_2: int
    """Periods of the second sine around a contour; published 0 to 20."""
    oval_y: float
    """Factor of the radius along the height; published 1 to 2."""
    oval_x: float
    """Factor of the radius along the width; published 1 to 2."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        own = category_generator("visual-atom", category)
        while True:
            atom = cls._drawn(own)
            radius = atom.radius * (atom.oval_y + atom.oval_x) / 2
            if length(radius, atom.roughness + atom.spacing, atom.orbits) >= SHORTEST:
                return atom

    @classmethod
    def _drawn(cls, rng: np.random.Generator) -> Self:
        """Draw parameters from the published prior."""
        wave = int(rng.integers(0, 21))
        return cls(
            vertices=int(rng.integers(200, 1001)),
            orbits=int(rng.integers(1, 201)),
            roughness=rng.uniform(0, 4),
            spacing=rng.uniform(0, 0.1),
            radius=float(rng.integers(10, 61)),
            wave_1=wave,
            wave_2=_other(wave, rng),
            oval_y=rng.uniform(1, 2),
            oval_x=rng.uniform(1, 2),
        )

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        scale = min(height, width) / PUBLISHED_SIDE
        theta = 2 * np.pi * np.arange(self.vertices) / self.vertices
        waves = (0.5 * np.sin(self.wave_1 * theta) + 0.5 * np.sin(self.wave_2 * theta)).round(12)
        image = np.zeros((height, width), np.uint8)
        for centre in centres(rng, height, width):
            draw_orbits(
                image,
                rng,
                centre=centre,
                radii=(scale * self.radius * self.oval_y, scale * self.radius * self.oval_x),
                growth=scale * (self.roughness + waves + self.spacing),
                roughness=scale * self.roughness,
                orbits=self.orbits,
                greys=256,
            )
        least = minimum_drawn(EMPTIEST, PUBLISHED_SIDE, height, width)
        if np.count_nonzero(image) < least:
            raise Rejected(f"fewer than {least:.0f} pixels are lit")
        return image


def _other(wave: int, rng: np.random.Generator) -> int:
    """Draw a number of periods that differs from `wave`, unless `wave` is 0."""
    while (other := int(rng.integers(0, 21))) == wave != 0:
        pass
    return other
