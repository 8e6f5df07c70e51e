"""RCDB: radial contours, polygons drawn over and over while their vertices wander to and from the centre.

Kataoka et al., "Replacing labeled real-image datasets with auto-generated contours", 2022. All lengths are the
published ones at 512 pixels, scaled to the shorter side of the image while strokes stay one pixel wide. A long image
holds a figure for each square that fits into it. The published pictures are drawn on white, which in a spectrogram
would be full energy everywhere: `inverted`, the default, draws on black. What the published renderer keeps and this one
rejects: images that are almost empty.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from .contours import draw_orbits
from .family import Family, Image, Rejected, category_generator

PUBLISHED_SIDE = 512
"""Pixels, of which all lengths are given."""
MARGIN = 56 / 512
"""What the centre of a figure keeps from the borders of its square, in sides of the square."""
EMPTIEST = 0.005
"""Share of drawn pixels below which an image is rejected."""


@dataclass(frozen=True, kw_only=True)
class RCDB(Family):
    """Polygons around a centre whose vertices wander; a class is their number and how far they go."""

    source: ClassVar[str] = "Kataoka et al., Replacing labeled real-image datasets with auto-generated contours, 2022"
    categories: ClassVar[int] = 1000

    vertices: int
    """Vertices of a contour, 3 or more; published up to 200."""
    orbits: int
    """How many contours are drawn, 1 or more; published up to 200."""
    roughness: float
    """The paper's lambda: how far a vertex wanders from one contour to the next; published 0 to 4."""
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

    def __post_init__(self) -> None:
        if self.vertices < 3 or self.orbits < 1:
            raise ValueError(
                "vertices must be at least 3 and orbits at least 1, "
                f"got vertices={self.vertices} and orbits={self.orbits}"
            )

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        own = category_generator("rcdb", category)
        while not 3 <= (vertices := int(own.exponential(100))) <= 200:
            pass
        return cls(
            vertices=vertices,
            orbits=int(own.integers(1, 201)),
            roughness=own.uniform(0, 4),
            spacing=own.uniform(0, 0.1),
            radius=float(rng.integers(0, 101)),
            oval_y=rng.uniform(1, 2),
            oval_x=rng.uniform(1, 2),
        )

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        scale = min(height, width) / PUBLISHED_SIDE
        image = np.full((height, width), 255, np.uint8)
        figures = round(max(height, width) / min(height, width))
        for figure in range(figures):
            along, across = MARGIN + (1 - 2 * MARGIN) * rng.random(2)
            along = (figure + along) / figures
            y, x = (across, along) if width >= height else (along, across)
            draw_orbits(
                image,
                rng,
                centre=(y * height, x * width),
                radii=(scale * self.radius * self.oval_y, scale * self.radius * self.oval_x),
                # lambda (1 - 2 eta) + line width, with the noise eta shifted to 0..1 so that a vertex has no drift
                growth=np.full(self.vertices, scale * self.spacing),
                roughness=scale * self.roughness,
                orbits=self.orbits,
                greys=257,
            )
        if np.count_nonzero(image != 255) < EMPTIEST * image.size:
            raise Rejected(f"less than {EMPTIEST:.1%} of the image is drawn on")
        return 255 - image if self.inverted else image
