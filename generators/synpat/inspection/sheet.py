"""Contact sheet: a labelled row of samples for each family."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from synpat.families import Image
from synpat.family import Size
from synpat.rendering.local_engine import local_engine
from synpat.rendering.sampling import paint
from synpat_shards import Sample, available_cores

GAP = 6
"""Pixels between two patterns."""
LABEL = 18
"""Pixels above a row, for the name of the family."""

Row = tuple[str, Size | None]
"""A family, and the size at which it is painted before it is resized."""


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
    sample = partial(paint, seed=seed, height=height, width=width, resize_filter=resize_filter)
    with local_engine(min(available_cores(), len(render_sizes))) as engine:  # the first samples of a family compile it
        images = dict(engine(partial(_row, sample, columns), list(render_sizes.items())))
    for row, (family, render_size) in enumerate(render_sizes.items()):
        top = GAP + row * row_height
        painted = f", painted at {render_size[0]}x{render_size[1]}" if render_size else ""
        pen.text((GAP, top), family + painted, fill=0, font=font)
        for column, image in enumerate(images[family, render_size]):
            sheet.paste(Picture.fromarray(image), (GAP + column * column_width, top + LABEL))
    return np.asarray(sheet)


def _row(sample: Callable[..., Sample], columns: int, row: Row) -> tuple[Row, list[Image]]:
    family, render_size = row
    return row, [sample(family, index=column, render_size=render_size).image for column in range(columns)]
