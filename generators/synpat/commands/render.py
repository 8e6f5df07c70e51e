"""The command `synpat render`, and what it shares with `synpat extend`."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import click

from synpat.rendering.dask_engine import dask_engine
from synpat.rendering.local_engine import Engine, local_engine
from synpat.rendering.render import made_with, make_spec, render_sets
from synpat.rendering.sampling import parse_parameters
from synpat.rendering.slices import FULL_SLICE, Slice
from synpat_shards import Manifest, SetSpec, Store
from synpat_shards.command_line import Count

from .options import (
    RenderSize,
    RenderSizeType,
    SliceType,
    StoreType,
    families_option,
    mode_option,
    parameter_option,
    render_size_option,
    resize_filter_option,
    seed_option,
    size_of_painting,
    size_option,
    workers_option,
)
from .progress import RenderProgress


@click.command()
@families_option(
    "Names from `synpat families`, one shard set each. all: every family except the expensive ones.", required=True
)
@click.option("--n", type=Count(), required=True, help="Number of samples of each family.")
@click.option(
    "--out",
    type=StoreType(),
    required=True,
    help="Folder or URL of the set. With several families: parent folder of their sets.",
)
@size_option
@render_size_option
@click.option("--via", "render_size", type=RenderSizeType(), hidden=True)
@resize_filter_option
@seed_option
@workers_option
@click.option("--dask", "address", metavar="tcp://HOST:PORT", help="Render on the Dask cluster of this scheduler.")
@click.option(
    "--dask-file",
    "scheduler_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Render on the Dask cluster of the scheduler that wrote this file.",
)
@click.option(
    "--slice",
    "part",
    type=SliceType(),
    default=FULL_SLICE,
    metavar="I/N|auto[/N]",
    help="Render every N-th shard, starting with shard I (from 0). auto reads I and N from Slurm or Kubernetes. "
    "Run `synpat finalize` after the last slice.",
)
@click.option(
    "--samples-per-shard",
    type=Count(),
    default=1000,
    show_default=True,
    help="Number of samples of a full shard.",
)
@parameter_option
@mode_option
@click.option("--params", "with_parameters", is_flag=True, help="Store the parameters of each sample in a json member.")
def render(
    names: list[str],
    n: int,
    out: Store,
    size: tuple[int, int],
    render_size: RenderSize,
    resize_filter: str,
    seed: int,
    workers: int | None,
    address: str | None,
    scheduler_file: Path | None,
    part: Slice,
    samples_per_shard: int,
    assignments: tuple[str, ...],
    mode: str,
    with_parameters: bool,
) -> None:
    """Render a shard set of each family as WebDataset tar files.

    The same command always writes the same bytes, for any number of workers. If it was interrupted, run the same
    command again to continue. With several families, --param accepts only parameters that all of them have. If --out is
    a URL, such as s3://bucket/perlin, each finished shard is uploaded and no local copy is kept.

    --family shaders --param folder=DIR runs the GLSL fragment shaders in DIR, one class each (pip install
    'synpat[gl]'). Their pixels depend on the OpenGL driver.

    \b
    Example:
      synpat render --family perlin --n 100000 --out sets/perlin
      synpat render --family perlin fractaldb --n 100000 --out sets
      synpat render --family fractaldb --n 100000 --render-size published --out sets/fractaldb
      synpat render --family perlin --n 100000 --out s3://bucket/perlin
      synpat render --family shaders --param folder=my-shaders --n 1000 --out sets/mine
      synpat render --family perlin --n 1000000 --out s3://bucket/perlin --dask tcp://scheduler:8786
    """
    if sum(option is not None for option in (workers, address, scheduler_file)) > 1:
        raise click.UsageError("--workers, --dask and --dask-file exclude each other: use only one of them")
    specs = {
        out if len(names) == 1 else out.child(name): make_spec(
            name,
            n,
            height=size[0],
            width=size[1],
            seed=seed,
            samples_per_shard=samples_per_shard,
            mode=mode,
            render_size=size_of_painting(name, render_size),
            resize_filter=resize_filter,
            parameters=parse_parameters(name, assignments),
            with_parameters=with_parameters,
        )
        for name in names
    }
    title = names[0] if len(names) == 1 else f"{len(names)} families"
    scheduler = address or scheduler_file
    with dask_engine(scheduler, made_with) if scheduler else local_engine(workers) as engine:
        render_with_progress(specs, title, engine, out.url, part)


def render_with_progress(
    specs: Mapping[Store, SetSpec], title: str, engine: Engine, where: str, part: Slice = FULL_SLICE
) -> None:
    """Render sets with a progress bar and print a line about each. On Ctrl-C, exit with code 130."""
    total = sum(spec.n for spec in specs.values())
    with RenderProgress(title, total) as progress:
        try:
            manifests = render_sets(specs, engine, progress, progress.preparing, part)
        except KeyboardInterrupt:
            done = progress.present + progress.rendered
            progress.message(
                f"Interrupted: {done:,} of {total:,} images are in {where}. Run the same command again to continue."
            )
            sys.exit(130)
        progress.message(
            f"Rendered {progress.rendered:,} images ({progress.present:,} already present): {progress.rate()}"
        )
    for store in specs:
        if part == FULL_SLICE:
            click.echo(summary(store.url, manifests[store]))
        else:
            click.echo(
                f"{store.url}: slice {part.index} of {part.count} is complete. "
                f"After the last slice, run: synpat finalize {store.url}"
            )
    if part == FULL_SLICE:
        click.echo(next_command(list(specs)), err=True)


def next_command(stores: Sequence[Store]) -> str:
    """Return the line that says what to do with finished sets."""
    name = PurePosixPath(stores[0].url).name if len(stores) == 1 else f"{len(stores)}-sets"
    words = ["synpat-train", "--shards", *(store.url for store in stores), "--out", f"runs/{name}"]
    return f"Next: {shlex.join(words)}"


def summary(name: str, manifest: Manifest) -> str:
    """Return one line about a finished set."""
    spec, shards = manifest.spec, manifest.shards
    return (
        f"{name}: {counted(spec.n, 'image')} of {spec.family} in {counted(len(shards), 'shard')}, "
        f"{sum(shard.bytes for shard in shards) / 1e6:.1f} MB, mean {manifest.mean:.1f}, std {manifest.std:.1f}, "
        f"{counted(sum(shard.rejects for shard in shards), 'rejected draw')}"
    )


def counted(count: int, noun: str) -> str:
    """Return "1 shard" or "2,000 shards"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
