"""Contact sheet: a labelled row of samples for each family."""

from collections.abc import Mapping

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from synpat.families import Image
from synpat.family import Size
from synpat.rendering.sampling import paint

GAP = 6
"""Pixels between two patterns."""
LABEL = 18
"""Pixels above a row, for the name of the family."""


def contact_sheet(
    render_sizes: Mapping[str, Size | None],
    columns: int,
    height: int,
    width: int,
    seed: int,
    resize_filter: str = "area",
) -> Image:
    """Return a contact sheet of the first `columns` samples of each family: uint8 [rows, columns], black on white.

    render_sizes: size at which each family is painted before it is resized by resize_filter; None for no resizing.
    height, width: size of one sample in pixels.
    """
    row_height, column_width = LABEL + height + GAP, width + GAP
    sheet = Picture.new("L", (GAP + columns * column_width, GAP + len(render_sizes) * row_height), 255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for row, (family, render_size) in enumerate(render_sizes.items()):
        top = GAP + row * row_height
        painted = f", painted at {render_size[0]}x{render_size[1]}" if render_size else ""
        pen.text((GAP, top), family + painted, fill=0, font=font)
        for column in range(columns):
            sample = paint(family, seed, column, height, width, render_size=render_size, resize_filter=resize_filter)
            sheet.paste(Picture.fromarray(sample.image), (GAP + column * column_width, top + LABEL))
    return np.asarray(sheet)
