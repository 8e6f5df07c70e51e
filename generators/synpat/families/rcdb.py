"""RCDB: radial contours, concentric polygons, each expanded from the previous one by a noisy step.

Kataoka et al., "Replacing labeled real-image datasets with auto-generated contours", 2022. Lengths are the published
ones at 512 pixels, scaled to the shorter side of the image; strokes are always one pixel wide. A long image is divided
into squares; each has one figure. The published images are black on white, which in a spectrogram would be full energy
everywhere: `inverted`, the default, draws on black. Unlike the published renderer, this one rejects images that are
almost empty and skips classes of a few contours, most of whose images would be almost empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

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

MEAN_RADIUS = 50 * 1.5
"""Mean of the radius times the mean of the factors `oval_y` and `oval_x`."""
MARGIN = 56 / 512
"""Minimum distance of the centre of a figure from the borders of its square, in sides of the square."""
EMPTIEST = 0.005
"""Minimum share of drawn pixels of an image: see `minimum_drawn`."""


@dataclass(frozen=True, kw_only=True)
class RCDB(Family):
    """Noisy concentric polygons; a class is the number of polygons, their vertices and their noise.

    About 2 % of the published images are nearly empty. This family has none: it rejects such classes and images.
    """

    source: ClassVar[str] = "Kataoka et al., Replacing labeled real-image datasets with auto-generated contours, 2022"
    published_size: ClassVar[Size | None] = PUBLISHED_SIDE, PUBLISHED_SIDE
    published_parameters: ClassVar[Mapping[str, Any]] = {"inverted": False}
    version: ClassVar[int] = 2
    categories: ClassVar[int] = 1000
    bounds: ClassVar[Bounds] = BOUNDS

    vertices: int
    """Number of vertices of a contour; published up to 200."""
    orbits: int
    """Number of contours; published up to 200."""
    roughness: float
    """The paper's lambda: mean growth of a contour from the previous one, and half the factor of the noise; published
    0 to 4."""
    spacing: float
    """The paper's line width: growth of a contour without noise; published 0 to 0.1."""
    radius: float
    """Radius of the first contour, in 1/512 of the shorter side; published 0 to 100."""
    oval_y: float
    """Factor of the radius along the height; published 1 to 2."""
    oval_x: float
    """Factor of the radius along the width; published 1 to 2."""
    inverted: bool = True
    """True if the contours are drawn on black, with inverted grey levels. False, as published, on white: in a
    spectrogram, white is the largest energy."""

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
                # lambda (1 - 2 eta) + line width, where the noise eta has mean 0.
                growth=np.full(self.vertices, scale * (self.roughness + self.spacing)),
                roughness=scale * 2 * self.roughness,
                orbits=self.orbits,
                greys=257,
            )
        least = minimum_drawn(EMPTIEST, PUBLISHED_SIDE, height, width)
        if np.count_nonzero(image != 255) < least:
            raise Rejected(f"fewer than {least:.0f} pixels are drawn")
        return 255 - image if self.inverted else image
