"""A finished set at a glance: some of its images and what is known about them, as a picture or as a page."""

import base64
import html
import json
from collections.abc import Mapping

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from synpat.families import FAMILIES, Image
from synpat.painting.image import convert_mode
from synpat_shards import (
    Manifest,
    Store,
    encode_png,
    open_set,
    read_images,
)

from .statistics import evenly_spaced

GAP = 8
"""Pixels between two images, and around them all."""
LINE = 18
"""Pixels that a line of text takes."""


def facts(manifest: Manifest) -> dict[str, str]:
    """What a person asks first about a set."""
    spec = manifest.spec
    render_size = f", painted at {spec.render_size[0]}x{spec.render_size[1]} and resized" if spec.render_size else ""
    return {
        "family": f"{spec.family}, version {spec.family_version}",
        "parameters": json.dumps(spec.parameters) if spec.parameters else "all drawn from the family's prior",
        "seed": str(spec.seed),
        "samples": f"{spec.n:,} in {len(manifest.shards)} shards of at most {spec.samples_per_shard:,}",
        "classes": str(spec.categories) if spec.categories else "none",
        "image": f"{spec.height}x{spec.width} (frequency x time), mode {spec.mode}{render_size}",
        "bytes": f"{sum(shard.bytes for shard in manifest.shards) / 1e6:,.1f} MB, {spec.encoding}",
        "pixels": f"mean {manifest.mean:.2f}, standard deviation {manifest.std:.2f}, in grey levels 0..255",
        "rejected draws": f"{sum(shard.rejects for shard in manifest.shards):,}",
        "made with": ", ".join(f"{name} {version}" for name, version in manifest.made_with.items()),
    }


def preview_images(store: Store, count: int) -> tuple[Manifest, dict[str, Image]]:
    """At most so many images of a set, evenly spread, each under its index and its class.

    Raises InputError, naming the file, for a set that is not whole.
    """
    manifest = open_set(store)
    indices = evenly_spaced(range(manifest.spec.n), count)
    images = (image for image, _ in read_images(store, manifest, indices))
    return manifest, dict(zip((_caption(manifest, index) for index in indices), images, strict=True))


def _caption(manifest: Manifest, index: int) -> str:
    spec = manifest.spec
    model = FAMILIES.get(spec.family) if spec.categories else None  # one of another version may not be known here
    category = model.category_of(index, spec.parameters) if model else None
    return str(index) if category is None else f"{index}, class {category}"


def preview_picture(manifest: Manifest, images: Mapping[str, Image], columns: int) -> Image:
    """A contact sheet: uint8 [rows, columns], or [rows, columns, 3] if the set is in colour, black on white."""
    spec, font = manifest.spec, ImageFont.load_default(13)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    cell_height, cell_width = spec.height + LINE + GAP, max(spec.width, 110) + GAP
    title = [f"{spec.family}: {facts(manifest)['samples']}, seed {spec.seed}, {spec.height}x{spec.width}"]
    size = (max(GAP + columns * cell_width, 560), GAP + LINE + GAP + rows * cell_height)
    sheet = Picture.new("RGB" if spec.mode == "RGB" else "L", size, "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, GAP), title[0], fill="black", font=font)
    for cell, (caption, image) in enumerate(images.items()):
        row, column = divmod(cell, columns)
        left, top = GAP + column * cell_width, GAP + LINE + GAP + row * cell_height
        sheet.paste(Picture.fromarray(convert_mode(image, spec.mode)), (left, top))
        pen.text((left, top + spec.height), caption, fill="black", font=font)
    return np.asarray(sheet)


def preview_page(manifest: Manifest, images: Mapping[str, Image]) -> str:
    """An HTML page that needs nothing but itself."""
    spec = manifest.spec
    rows = "\n".join(f"<tr><th>{html.escape(n)}<td>{html.escape(words)}" for n, words in facts(manifest).items())
    figures = "\n".join(
        f'<figure><img width="{spec.width}" height="{spec.height}" alt="sample {html.escape(caption)}" '
        f'src="data:image/png;base64,{base64.b64encode(encode_png(image)).decode()}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, image in images.items()
    )
    name = html.escape(f"{spec.family}: {spec.n:,} synthetic patterns")
    return _PAGE.format(name=name, rows=rows, figures=figures, shards=_shard_rows(manifest))


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
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2rem auto; padding: 0 1rem }}
h1 {{ font-size: 1.4rem }}
table {{ border-collapse: collapse; margin: 1rem 0 }}
th, td {{ text-align: left; padding: .1rem 1.2rem .1rem 0; vertical-align: top; font-variant-numeric: tabular-nums }}
th {{ font-weight: 600; white-space: nowrap }}
.images {{ display: flex; flex-wrap: wrap; gap: 12px }}
figure {{ margin: 0 }}
img {{ display: block; image-rendering: pixelated }}
figcaption, details td, details th {{ font-size: .8rem; opacity: .8 }}
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
