"""The `synpat` command: what families there are, how a pattern looks, and the rendering of shard sets."""

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import click

from synpat_shards import encode_png, write_whole

from .families import FAMILIES
from .progress import RenderProgress
from .render import make_recipe, render_set
from .sampling import paint, parse_parameters
from .sheet import contact_sheet


class Size(click.ParamType):
    """HxW: two whole numbers, height (frequency) first."""

    name = "HxW"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        height, _, width = value.partition("x")
        if not (height.isascii() and height.isdigit() and width.isascii() and width.isdigit()):
            self.fail(f"{value!r} is no size: write HEIGHTxWIDTH in pixels, such as 80x208")
        if not (1 <= int(height) <= 16384 and 1 <= int(width) <= 16384):
            self.fail(f"{value!r} is out of range: each side must lie between 1 and 16384 pixels")
        return int(height), int(width)


class OneLineErrors(click.Group):
    """Turns what the library raises into one line, and Ctrl-C into a word on how to go on."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (ValueError, OSError) as mistake:
            raise click.ClickException(_in_words(mistake)) from mistake


def _in_words(mistake: Exception) -> str:
    if isinstance(mistake, OSError) and mistake.strerror:
        where = f"{mistake.filename}: " if mistake.filename else ""
        return f"{where}{mistake.strerror}. Mend that and run the same command again: it goes on where it stopped"
    return str(mistake)


family_option = click.option(
    "--family", type=click.Choice(list(FAMILIES)), required=True, metavar="NAME", help="One of `synpat families`."
)
seed_option = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
size_option = click.option(
    "--size", type=Size(), default="80x208", show_default=True, help="Height (frequency) and width (time) in pixels."
)
parameter_option = click.option(
    "--param", "assignments", multiple=True, metavar="NAME=VALUE", help="Fix a parameter of the family; repeatable."
)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="synpat")
def main() -> None:
    """Render synthetic patterns for pre-training audio encoders."""


@main.command()
def families() -> None:
    """List the families: name, what it is, where it comes from.

    \b
    Example:
      synpat families
    """
    width = max(map(len, FAMILIES))
    for name, family in FAMILIES.items():
        click.echo(f"{name:{width}}  {(family.__doc__ or '').splitlines()[0]} [{family.source}]")


@main.command()
@family_option
@seed_option
@click.option("--index", type=click.IntRange(min=0), default=0, show_default=True, help="Which sample of the seed.")
@size_option
@parameter_option
@click.option("--mode", type=click.Choice(["L", "RGB"]), default="L", show_default=True, help="Grey or colour.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="PNG file to write.")
def show(
    family: str, seed: int, index: int, size: tuple[int, int], assignments: tuple[str, ...], mode: str, out: Path
) -> None:
    """Paint one sample and print its parameters as JSON.

    \b
    Example:
      synpat show --family perlin --seed 0 --index 7 --size 80x208 --out x.png
    """
    sample = paint(family, seed, index, *size, mode=mode, parameters=parse_parameters(family, assignments))
    write_whole(out, encode_png(sample.image))
    facts = {"family": family, "version": FAMILIES[family].version, "seed": seed, "index": index, "size": list(size)}
    outcome = {"category": sample.category, "rejects": sample.rejects, "parameters": asdict(sample.pattern)}
    click.echo(json.dumps(facts | outcome))


@main.command()
@click.option("--family", default="all", show_default=True, metavar="NAME,...", help="Families, or all.")
@click.option("--columns", type=click.IntRange(min=1), default=4, show_default=True, help="Samples of each family.")
@size_option
@seed_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="PNG file to write.")
def sheet(family: str, columns: int, size: tuple[int, int], seed: int, out: Path) -> None:
    """Paint a contact sheet: a row of samples for each family.

    \b
    Example:
      synpat sheet --family all --out sheet.png
    """
    write_whole(out, encode_png(contact_sheet(_families(family), columns, *size, seed)))


def _families(names: str) -> list[str]:
    """The families that a comma-separated list names, or all."""
    chosen = list(FAMILIES) if names == "all" else names.split(",")
    for name in chosen:
        if name not in FAMILIES:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(FAMILIES)}", param_hint="--family")
    return chosen


@main.command()
@family_option
@click.option("--n", type=click.IntRange(min=1), required=True, help="How many samples.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the set.")
@size_option
@seed_option
@click.option("--workers", type=click.IntRange(min=1), default=None, help="Processes.  [default: the cores at hand]")
@click.option("--samples-per-shard", type=click.IntRange(min=1), default=1000, show_default=True)
@parameter_option
@click.option("--mode", type=click.Choice(["L", "RGB"]), default="L", show_default=True, help="Grey or colour.")
@click.option("--via", type=Size(), default=None, help="Paint at this size, then resize to --size by area.")
@click.option("--params", "with_parameters", is_flag=True, help="Store each sample's parameters in a json member.")
def render(
    family: str,
    n: int,
    out: Path,
    size: tuple[int, int],
    seed: int,
    workers: int | None,
    samples_per_shard: int,
    assignments: tuple[str, ...],
    mode: str,
    via: tuple[int, int] | None,
    with_parameters: bool,
) -> None:
    """Render a set of a family into WebDataset tar shards.

    The same command always writes the same bytes, whatever the number of workers. Stopped, killed or out of disk, it
    goes on where it was when it is run again.

    \b
    Example:
      synpat render --family perlin --n 100000 --out sets/perlin
    """
    recipe = make_recipe(
        family,
        n,
        height=size[0],
        width=size[1],
        seed=seed,
        samples_per_shard=samples_per_shard,
        mode=mode,
        via=via,
        parameters=parse_parameters(family, assignments),
        with_parameters=with_parameters,
    )
    started = time.monotonic()
    with RenderProgress(family, n) as progress:
        try:
            manifest = render_set(out, recipe, workers or len(os.sched_getaffinity(0)), progress)
        except KeyboardInterrupt:
            done = progress.there + progress.rendered
            progress.say(f"Stopped: {done} of {n} images are in {out}. Run the same command again to go on.")
            sys.exit(130)
    size_mb = sum(shard.bytes for shard in manifest.shards) / 1e6
    click.echo(
        f"{out}: {n} images of {family} in {len(manifest.shards)} shards, {size_mb:.1f} MB, "
        f"mean {manifest.mean:.1f}, std {manifest.std:.1f}, {sum(s.rejects for s in manifest.shards)} rejected draws; "
        f"{progress.rendered} rendered now in {time.monotonic() - started:.1f} s ({progress.rate()})"
    )
