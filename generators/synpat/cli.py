"""The `synpat` command: what families there are, how a pattern looks, and the rendering of shard sets."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from synpat_shards import encode_png, open_store, write_atomically

from .commands.sets import (
    LocationType,
    extend,
    finalize_command,
    inspect,
    preview,
    publish_command,
    render_with_progress,
    verify_command,
    workers_option,
)
from .families import FAMILIES
from .inspection.sheet import contact_sheet
from .inspection.statistics import set_statistics
from .inspection.statistics_table import picture, table
from .rendering.dask_engine import dask_engine
from .rendering.local_engine import local_engine
from .rendering.render import made_with, make_spec
from .rendering.sampling import paint, parameter_ranges, parse_parameters
from .rendering.slices import FULL_SLICE, Slice


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


class SliceType(click.ParamType):
    """I/N, or auto, or auto/N."""

    name = "I/N"

    def convert(self, value: str | Slice, param: click.Parameter | None, ctx: click.Context | None) -> Slice:
        try:
            return value if isinstance(value, Slice) else Slice.parse(value, os.environ)
        except ValueError as mistake:
            self.fail(str(mistake), param, ctx)


class FamilyNames(click.ParamType):
    """Some families, each once; all stands for every one that is not dear."""

    name = "families"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        affordable = [name for name, family in FAMILIES.items() if not family.expensive]
        names = affordable if value == "all" else list(dict.fromkeys(value.split(",")))
        for name in names:
            if name not in FAMILIES:
                self.fail(f"{name!r} is not one of {', '.join(FAMILIES)}", param, ctx)
        return names


class OneLineErrors(click.Group):
    """Turns what the library raises into one line, and Ctrl-C into a word on how to go on."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # whoever reads us has enough: click knows
            raise
        except (ValueError, OSError, ImportError) as mistake:
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
    """List the families: name, what it is, where it comes from, and what --param may fix.

    \b
    Example:
      synpat families
    """
    width = max(map(len, FAMILIES))
    for name, family in FAMILIES.items():
        click.echo(f"{name:{width}}  {(family.__doc__ or '').splitlines()[0]} [{family.source}]")
        if known := parameter_ranges(name):
            click.echo(f"{'':{width}}  --param {', '.join(known)}")


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
    write_atomically(out, encode_png(sample.image))
    facts = {"family": family, "version": FAMILIES[family].version, "seed": seed, "index": index, "size": list(size)}
    outcome = {"category": sample.category, "rejects": sample.rejects, "parameters": asdict(sample.pattern)}
    click.echo(json.dumps(facts | outcome))


@main.command()
@click.option("--family", "names", type=FamilyNames(), default="all", show_default=True, metavar="NAME,...|all")
@click.option("--columns", type=click.IntRange(min=1), default=4, show_default=True, help="Samples of each family.")
@size_option
@seed_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="PNG file to write.")
def sheet(names: list[str], columns: int, size: tuple[int, int], seed: int, out: Path) -> None:
    """Paint a contact sheet: a row of samples for each family.

    \b
    Example:
      synpat sheet --family all --out sheet.png
    """
    write_atomically(out, encode_png(contact_sheet(names, columns, *size, seed)))


@main.command()
@click.option(
    "--family",
    "names",
    type=FamilyNames(),
    required=True,
    metavar="NAME,...|all",
    help="Which of `synpat families`; each becomes a set.",
)
@click.option("--n", type=click.IntRange(min=1), required=True, help="How many samples of each family.")
@click.option(
    "--out",
    type=LocationType(),
    required=True,
    help="Folder or URL of the set; with several families, of the folder that holds one set for each.",
)
@size_option
@seed_option
@workers_option
@click.option("--dask", "address", metavar="tcp://HOST:PORT", help="Render on the Dask cluster of this scheduler.")
@click.option(
    "--dask-file",
    "scheduler_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The same, of the scheduler that wrote this file.",
)
@click.option(
    "--slice",
    "part",
    type=SliceType(),
    default=FULL_SLICE,
    metavar="I/N|auto[/N]",
    help="Render every N-th shard from the I-th on, I from 0; auto asks Slurm or Kubernetes. Then `synpat finalize`.",
)
@click.option("--samples-per-shard", type=click.IntRange(min=1), default=1000, show_default=True)
@parameter_option
@click.option("--mode", type=click.Choice(["L", "RGB"]), default="L", show_default=True, help="Grey or colour.")
@click.option("--render-size", type=Size(), default=None, help="Paint at this size, then resize to --size by area.")
@click.option("--via", "render_size", type=Size(), default=None, hidden=True)
@click.option("--params", "with_parameters", is_flag=True, help="Store each sample's parameters in a json member.")
def render(
    names: list[str],
    n: int,
    out: str | Path,
    size: tuple[int, int],
    seed: int,
    workers: int | None,
    address: str | None,
    scheduler_file: Path | None,
    part: Slice,
    samples_per_shard: int,
    assignments: tuple[str, ...],
    mode: str,
    render_size: tuple[int, int] | None,
    with_parameters: bool,
) -> None:
    """Render a set of each family into WebDataset tar shards.

    The same command always writes the same bytes, whatever the number of workers. Stopped, killed or out of disk, it
    goes on where it was when it is run again. With several families, --param needs a parameter that all of them have.
    To a URL, such as s3://bucket/perlin, each shard is sent as soon as it is whole, and no copy is kept here.

    --family shaders --param folder=DIR runs the GLSL fragment shaders in DIR, a class each (pip install 'synpat[gl]').
    Their pixels are the same only where the OpenGL driver is.

    \b
    Example:
      synpat render --family perlin --n 100000 --out sets/perlin
      synpat render --family perlin,fractaldb --n 100000 --out sets
      synpat render --family perlin --n 100000 --out s3://bucket/perlin
      synpat render --family shaders --param folder=my-shaders --n 1000 --out sets/mine
      synpat render --family perlin --n 1000000 --out s3://bucket/perlin --dask tcp://scheduler:8786
    """
    if sum(option is not None for option in (workers, address, scheduler_file)) > 1:
        raise click.UsageError("--workers, --dask and --dask-file exclude each other: give one of them")
    scheduler = address or scheduler_file
    if scheduler and isinstance(out, Path):
        out = out.absolute()  # the workers have folders of their own to start from
    specs = {
        out if len(names) == 1 else _inside(out, name): make_spec(
            name,
            n,
            height=size[0],
            width=size[1],
            seed=seed,
            samples_per_shard=samples_per_shard,
            mode=mode,
            render_size=render_size,
            parameters=parse_parameters(name, assignments),
            with_parameters=with_parameters,
        )
        for name in names
    }
    title = names[0] if len(names) == 1 else f"{len(names)} families"
    with dask_engine(scheduler, made_with) if scheduler else local_engine(workers) as engine:
        render_with_progress(specs, title, engine, open_store(out).url, part)


def _inside(location: str | Path, name: str) -> str | Path:
    return location / name if isinstance(location, Path) else f"{location.rstrip('/')}/{name}"


@main.command()
@click.argument("sets", nargs=-1, required=True, type=LocationType())
@click.option("--samples", type=click.IntRange(min=1), default=1000, show_default=True, help="Images a set, at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with histograms and spectra, instead of a table.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="PNG file to draw them into.")
def stats(sets: tuple[str | Path, ...], samples: int, as_json: bool, out: Path | None) -> None:
    """Print what distinguishes rendered sets: levels, entropy, variation, spectrum, constant patches, bytes.

    \b
    Example:
      synpat stats sets/perlin sets/fractaldb --out stats.png
    """
    figures = {open_store(location).url: set_statistics(location, samples) for location in sets}
    if out:
        write_atomically(out, picture(figures))
    click.echo(json.dumps({name: asdict(set_) for name, set_ in figures.items()}) if as_json else table(figures))


for command in (finalize_command, verify_command, publish_command, inspect, preview, extend):
    main.add_command(command)
