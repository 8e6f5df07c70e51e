"""RCDB: radial contours, rings of polygons, each grown from the one before by a noisy step.

Kataoka et al., "Replacing labeled real-image datasets with auto-generated contours", 2022. All lengths are the
published ones at 512 pixels, scaled to the shorter side of the image while strokes stay one pixel wide. A long image
holds a figure in each square that it divides into. The published pictures are drawn on white, which in a spectrogram
would be full energy everywhere: `inverted`, the default, draws on black. What the published renderer keeps and this one
does not: images that are almost empty are rejected, and classes of a few contours, most of whose images would be, are
passed over.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from synpat.family import (
    Bounds,
    Family,
    Image,
    Rejected,
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

MEAN_RADIUS = 50 * 1.5
"""The mean of the radius times that of the factors of the oval."""
MARGIN = 56 / 512
"""What the centre of a figure keeps from the borders of its square, in sides of the square."""
EMPTIEST = 0.005
"""Share of drawn pixels below which an image is rejected: see `minimum_drawn`."""


@dataclass(frozen=True, kw_only=True)
class RCDB(Family):
    """Polygons grown from one another around a centre; a class is their number, their corners and their noise."""

    source: ClassVar[str] = "Kataoka et al., Replacing labeled real-image datasets with auto-generated contours, 2022"
    version: ClassVar[int] = 2
    categories: ClassVar[int] = 1000
    bounds: ClassVar[Bounds] = BOUNDS

    vertices: int
    """Vertices of a contour, 3 or more; published up to 200."""
    orbits: int
    """How many contours are drawn, 1 or more; published up to 200."""
    roughness: float
    """The paper's lambda: how far a contour grows beyond the last, and half the noise in that; published 0 to 4."""
    spacing: float
    """The paper's line width: what a contour grows without noise; published 0 to 0.1."""
    radius: float
    """The first contour's radius, in 1/512 of the shorter side; published 0 to 100."""
    oval_y: float
    """Factor of the radius along the height, 1 to 2 as published."""
    oval_x: float
    """Factor of the radius along the width."""
    inverted: bool = True
    """Whether the contours are drawn on black, with the grey levels turned around."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        own = category_generator("rcdb", category)
        while True:
            vertices, orbits = int(own.exponential(100)), int(own.integers(1, 201))
            roughness, spacing = own.uniform(0, 4), own.uniform(0, 0.1)
            if 3 <= vertices <= 200 and length(MEAN_RADIUS, roughness + spacing, orbits) >= SHORTEST:
                break
        return cls(
            vertices=vertices,
            orbits=orbits,
            roughness=roughness,
            spacing=spacing,
            radius=float(rng.integers(0, 101)),
            oval_y=rng.uniform(1, 2),
            oval_x=rng.uniform(1, 2),
        )

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        scale = min(height, width) / PUBLISHED_SIDE
        image = np.full((height, width), 255, np.uint8)
        for centre in centres(rng, height, width, MARGIN):
            draw_orbits(
                image,
                rng,
                centre=centre,
                radii=(scale * self.radius * self.oval_y, scale * self.radius * self.oval_x),
                # lambda (1 - 2 eta) + line width, where the mean of the noise eta is 0.
                growth=np.full(self.vertices, scale * (self.roughness + self.spacing)),
                roughness=scale * 2 * self.roughness,
                orbits=self.orbits,
                greys=257,
            )
        least = minimum_drawn(EMPTIEST, PUBLISHED_SIDE, height, width)
        if np.count_nonzero(image != 255) < least:
            raise Rejected(f"fewer than {least:.0f} pixels are drawn on")
        return 255 - image if self.inverted else image
