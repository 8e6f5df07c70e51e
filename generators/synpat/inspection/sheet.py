"""Contact sheet: a labelled row of samples for each family."""

from collections.abc import Sequence

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from synpat.families import Image
from synpat.rendering.sampling import sample

GAP = 6
"""Pixels between two patterns."""
LABEL = 18
"""Pixels above a row, for the name of the family."""


def contact_sheet(families: Sequence[str], columns: int, height: int, width: int, seed: int) -> Image:
    """Return a contact sheet of the first `columns` samples of each family: uint8 [rows, columns], black on white.

    height, width: size of one sample in pixels.
    """
    row_height, column_width = LABEL + height + GAP, width + GAP
    sheet = Picture.new("L", (GAP + columns * column_width, GAP + len(families) * row_height), 255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for row, family in enumerate(families):
        top = GAP + row * row_height
        pen.text((GAP, top), family, fill=0, font=font)
        for column in range(columns):
            pattern = Picture.fromarray(sample(family, seed, column, height, width))
            sheet.paste(pattern, (GAP + column * column_width, top + LABEL))
    return np.asarray(sheet)
