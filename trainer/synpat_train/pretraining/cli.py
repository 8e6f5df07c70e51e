"""The `synpat-train` command."""

import sys
from pathlib import Path

import click

from synpat_shards import available_cores
from synpat_shards.command_line import Program
from synpat_train.cache import cache_errors, default_cache
from synpat_train.config import make_config
from synpat_train.presets import PRESETS
from synpat_train.settings import parse_settings, read_settings


@click.group(cls=Program, invoke_without_command=True)
@click.option(
    "--shards",
    multiple=True,
    metavar="PATH[=WEIGHT]...",
    help="Shard sets of synpat, folders or URLs with WebDataset tars of images, or tars, also as patterns such as "
    "'x-{000..099}.tar' or 'sets/*'. WEIGHT is how often an epoch contains each sample.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.")
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default="msm-mae",
    show_default=True,
    help="Initial settings: see docs/settings.md.",
)
@click.option(
    "--config", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="YAML file of settings."
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set a setting. May be repeated.")
@click.option("--model", help="Size of the encoder: tiny, small, base or large.  [default: of the preset]")
@click.option("--steps", type=int, help="Number of updates, instead of --epochs.")
@click.option("--epochs", type=int, help="Number of passes over the sets.  [default: of the preset]")
@click.option("--batch-size", type=int, help="Number of samples per update.  [default: of the preset]")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for decoded sets.  [default: ~/.cache/synpat/decoded]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=min(available_cores(), 8),
    help="Number of threads that decode images while streaming. The result is the same for any number.  [default: "
    "cores, at most 8]",
)
@click.pass_context
def main(
    context: click.Context,
    shards: tuple[str, ...],
    out: Path | None,
    preset: str,
    file: Path | None,
    assignments: tuple[str, ...],
    model: str | None,
    steps: int | None,
    epochs: int | None,
    batch_size: int | None,
    cache: Path | None,
    workers: int,
) -> None:
    """Pre-train a masked autoencoder on shard sets, and export its encoder.

    To continue a run that was stopped or killed, run the same command again: it continues from the last checkpoint.
    --config overrides the preset, --set overrides --config, and the options override --set.

    \b
    Example:
      synpat-train --shards sets/perlin --out runs/perlin --model tiny --steps 2000
    """
    if context.invoked_subcommand:
        return
    if not shards or out is None:
        missing = [name for name, value in (("'--shards'", shards), ("'--out'", out)) if not value]
        raise click.UsageError(f"Missing option {' and '.join(missing)}.")
    options = {"model": model, "steps": steps, "epochs": epochs, "batch_size": batch_size}
    config = make_config(
        preset,
        read_settings(file) if file else {},
        parse_settings(assignments),
        {name: value for name, value in options.items() if value is not None},
    )
    from .train import pretrain  # imports torch: --help and usage errors are fast

    cache = cache or default_cache() / "decoded"
    with cache_errors(cache):
        stopped_by = pretrain(out, shards, config, cache, workers)
    if stopped_by:
        sys.exit(128 + stopped_by)  # as shells report a signal


@main.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
def inspect(run: Path) -> None:
    """Print the progress of a run, and plot its loss to RUN/loss.png.

    \b
    Example:
      synpat-train inspect runs/perlin
    """
    from .status import draw_curve, run_status

    click.echo(run_status(run))
    click.echo(f"loss: {draw_curve(run)}")
