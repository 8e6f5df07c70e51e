"""Commands that show patterns and statistics: families, show, sheet, stats, preview."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from synpat.families import FAMILIES
from synpat.inspection.preview import preview_images, preview_page, preview_picture
from synpat.inspection.sheet import contact_sheet
from synpat.inspection.statistics import set_statistics
from synpat.inspection.statistics_table import picture, table
from synpat.rendering.sampling import paint, parameter_ranges, parse_parameters
from synpat_shards import Store, encode_png, write_atomically
from synpat_shards.command_line import Count
from synpat_shards.text_table import text_table

from .options import (
    RenderSize,
    StoreType,
    families_option,
    family_option,
    mode_option,
    parameter_option,
    picture_option,
    render_size_option,
    resize_filter_option,
    seed_option,
    set_argument,
    size_of_painting,
    size_option,
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the source of each family.")
def families(as_json: bool) -> None:
    """List the families: name, description, and the parameters that --param sets.

    \b
    Example:
      synpat families
    """
    descriptions = {name: (family.__doc__ or "").splitlines()[0] for name, family in FAMILIES.items()}
    if not as_json:
        rows = [(name, text, " ".join(parameter_ranges(name))) for name, text in descriptions.items()]
        click.echo(text_table(("family", "description", "--param"), rows))
        return
    content = {
        name: {
            "description": descriptions[name],
            "source": family.source,
            "version": family.version,
            "classes": family.categories,
            "published_size": family.published_size,
            "expensive": family.expensive,
            "parameters": dict(text.split("=", 1) for text in parameter_ranges(name)),
        }
        for name, family in FAMILIES.items()
    }
    click.echo(json.dumps(content))


@click.command()
@family_option
@seed_option
@click.option("--index", type=click.IntRange(min=0), default=0, show_default=True, help="Index of the sample.")
@size_option
@render_size_option
@resize_filter_option
@parameter_option
@mode_option
@picture_option()
def show(
    family: str,
    seed: int,
    index: int,
    size: tuple[int, int],
    render_size: RenderSize,
    resize_filter: str,
    assignments: tuple[str, ...],
    mode: str,
    out: Path,
) -> None:
    """Paint one sample and print its parameters as JSON.

    \b
    Example:
      synpat show --family perlin --seed 0 --index 7 --size 80x208 --out x.png
    """
    painted_at = size_of_painting(family, render_size)
    sample = paint(
        family,
        seed,
        index,
        *size,
        mode=mode,
        render_size=painted_at,
        resize_filter=resize_filter,
        parameters=parse_parameters(family, assignments),
    )
    write_atomically(out, encode_png(sample.image))
    identity = {"family": family, "version": FAMILIES[family].version, "seed": seed, "index": index, "size": list(size)}
    resizing = {"render_size": painted_at, "resize_filter": resize_filter} if painted_at else {}
    outcome = {"category": sample.category, "rejects": sample.rejects, "parameters": sample.parameters}
    click.echo(json.dumps(identity | resizing | outcome))


@click.command()
@families_option("Families to show. all leaves out the expensive ones.", default=["all"], show_default=True)
@click.option("--columns", type=click.IntRange(min=1), default=4, show_default=True, help="Samples of each family.")
@size_option
@render_size_option
@resize_filter_option
@seed_option
@picture_option()
def sheet(
    names: list[str],
    columns: int,
    size: tuple[int, int],
    render_size: RenderSize,
    resize_filter: str,
    seed: int,
    out: Path,
) -> None:
    """Paint a contact sheet with one row of samples for each family.

    \b
    Example:
      synpat sheet --family all --out sheet.png
      synpat sheet --family all --render-size published --out published.png
    """
    render_sizes = {name: size_of_painting(name, render_size) for name in names}
    write_atomically(out, encode_png(contact_sheet(render_sizes, columns, *size, seed, resize_filter)))


@click.command()
@click.argument("stores", metavar="SET...", nargs=-1, required=True, type=StoreType())
@click.option("--samples", type=Count(), default=1000, show_default=True, help="Maximum number of images per set.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with histograms and spectra, instead of a table.")
@picture_option(required=False, help="PNG file with plots of the statistics. Needs matplotlib.")
def stats(stores: tuple[Store, ...], samples: int, as_json: bool, out: Path | None) -> None:
    """Print statistics of the images of shard sets: grey levels, entropy, variation, spectrum, constant patches, bytes.

    \b
    Example:
      synpat stats sets/perlin sets/fractaldb --out stats.png
    """
    statistics = {store.url: set_statistics(store, samples) for store in stores}
    if out:
        write_atomically(out, picture(statistics))
    click.echo(json.dumps({name: asdict(set_) for name, set_ in statistics.items()}) if as_json else table(statistics))


@click.command()
@set_argument
@picture_option(
    help="PNG or HTML file to write, by its suffix. The HTML page contains its images.", suffixes=(".png", ".html")
)
@click.option(
    "--samples", type=click.IntRange(1, 1000), default=32, show_default=True, help="Maximum number of images."
)
@click.option("--columns", type=click.IntRange(min=1), default=4, show_default=True, help="Images per row.")
def preview(store: Store, out: Path, samples: int, columns: int) -> None:
    """Show evenly spaced images of a shard set and its properties.

    \b
    Example:
      synpat preview sets/perlin --out perlin.html
      synpat preview s3://bucket/perlin --out perlin.png
    """
    manifest, images = preview_images(store, samples)
    if out.suffix.lower() == ".png":
        write_atomically(out, encode_png(preview_picture(manifest, images, columns)))
    else:
        write_atomically(out, preview_page(manifest, images).encode())
