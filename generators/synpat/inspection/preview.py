"""Preview of a finished set: some of its images and its properties, as a PNG or an HTML page."""

import base64
import html
from collections.abc import Mapping

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from synpat.families import FAMILIES, Image
from synpat.painting.image import convert_mode
from synpat_shards import (
    PAGE_STYLE,
    Manifest,
    Store,
    encode_png,
    facts,
    open_set,
    read_images,
    title,
)

from .statistics import evenly_spaced

GAP = 8
"""Pixels between two images and around all images."""
LINE = 18
"""Height of a line of text in pixels."""


def preview_images(store: Store, count: int) -> tuple[Manifest, dict[str, Image]]:
    """Return the manifest and at most `count` evenly spaced images of a set, by a caption with index and class.

    Raises InputError, with the name of the file, if the set is not complete.
    """
    manifest = open_set(store)
    indices = evenly_spaced(range(manifest.spec.n), count)
    images = (image for image, _ in read_images(store, manifest, indices))
    return manifest, dict(zip((_caption(manifest, index) for index in indices), images, strict=True))


def _caption(manifest: Manifest, index: int) -> str:
    spec = manifest.spec
    model = FAMILIES.get(spec.family) if spec.categories else None  # another version may have other families
    category = model.category_of(index, spec.parameters) if model else None
    return str(index) if category is None else f"{index}, class {category}"


def preview_picture(manifest: Manifest, images: Mapping[str, Image], columns: int) -> Image:
    """Return a contact sheet, black on white: uint8 [rows, columns], or [rows, columns, 3] if the set is in colour."""
    spec, font = manifest.spec, ImageFont.load_default(13)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    cell_height, cell_width = spec.height + LINE + GAP, max(spec.width, 110) + GAP
    heading = f"{spec.family}: {facts(manifest)['samples']}, seed {spec.seed}, {spec.height}x{spec.width}"
    size = (max(GAP + columns * cell_width, 560), GAP + LINE + GAP + rows * cell_height)
    sheet = Picture.new("RGB" if spec.mode == "RGB" else "L", size, "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, GAP), heading, fill="black", font=font)
    for cell, (caption, image) in enumerate(images.items()):
        row, column = divmod(cell, columns)
        left, top = GAP + column * cell_width, GAP + LINE + GAP + row * cell_height
        sheet.paste(Picture.fromarray(convert_mode(image, spec.mode)), (left, top))
        pen.text((left, top + spec.height), caption, fill="black", font=font)
    return np.asarray(sheet)


def preview_page(manifest: Manifest, images: Mapping[str, Image]) -> str:
    """Return an HTML page that contains its images and needs no other file."""
    spec = manifest.spec
    rows = "\n".join(f"<tr><th>{html.escape(name)}<td>{html.escape(text)}" for name, text in facts(manifest).items())
    figures = "\n".join(
        f'<figure><img width="{spec.width}" height="{spec.height}" alt="sample {html.escape(caption)}" '
        f'src="data:image/png;base64,{base64.b64encode(encode_png(image)).decode()}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, image in images.items()
    )
    return _PAGE.format(
        name=html.escape(title(manifest)),
        page_style=PAGE_STYLE,
        rows=rows,
        figures=figures,
        shards=_shard_rows(manifest),
    )


def _shard_rows(manifest: Manifest) -> str:
    cells = [
        (
            shard.file,
            shard.count,
            shard.bytes,
            f"{shard.mean:.2f}",
            f"{shard.std:.2f}",
            shard.rejects,
            shard.sha256[:16],
        )
        for shard in manifest.shards
    ]
    return "\n".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}" for cell in row) for row in cells)


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<style>{page_style}
h1 {{ font-size: 1.4rem }} th {{ white-space: nowrap }}
.images {{ display: flex; flex-wrap: wrap; gap: 12px }}
img {{ display: block; image-rendering: pixelated }}
details td, details th {{ font-size: .8rem }}
</style>
<h1>{name}</h1>
<table>
{rows}
</table>
<div class="images">
{figures}
</div>
<details>
<summary>Shards</summary>
<table>
<tr><th>file<th>samples<th>bytes<th>mean<th>std<th>rejected<th>sha256
{shards}
</table>
</details>
</html>
"""
