"""The `synpat-train` command."""

import shlex
import shutil
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from synpat_shards import available_cores
from synpat_shards.command_line import SEVERAL, Count, Program, Size
from synpat_train.config import Config, make_config, to_yaml
from synpat_train.presets import DEFAULT_PRESET, PRESETS
from synpat_train.progress import print_message
from synpat_train.settings import describe_settings, parse_settings, read_settings


def _complete_path(context: click.Context, option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete files and folders."""
    return [CompletionItem(incomplete, type="file")]


@click.group(cls=Program, invoke_without_command=True)
@click.option(
    "--shards",
    multiple=True,
    metavar="PATH[=WEIGHT]...",
    shell_complete=_complete_path,
    help="Shard sets of synpat, folders or URLs with WebDataset tars of images, tars, or folders of audio files, also "
    f"as patterns such as 'x-{{000..099}}.tar' or 'sets/*'. WEIGHT is how often an epoch contains each sample. "
    f"{SEVERAL}",
)
@click.option(
    "--targets",
    multiple=True,
    metavar="PATH...",
    shell_complete=_complete_path,
    help="One set for each of --shards: its images are reconstructed from those of the same number in --shards. "
    f"{SEVERAL}  [default: the images themselves]",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", help="Folder of the run.")
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default=DEFAULT_PRESET,
    show_default=True,
    help="Initial settings: see `synpat-train settings`.",
)
@click.option(
    "--config", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="YAML file of settings."
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE...",
    help=f"Set a setting of `synpat-train settings`. {SEVERAL}",
)
@click.option("--size", type=Size(), help="Height and width of the images in pixels.  [default: of the preset]")
@click.option("--model", help="Size of the encoder: tiny, small, base or large.  [default: of the preset]")
@click.option("--steps", type=Count(), help="Number of updates, instead of --epochs.")
@click.option("--epochs", type=Count(), help="Number of passes over the sets.  [default: of the preset]")
@click.option("--batch-size", type=Count(), help="Number of samples per update.  [default: of the preset]")
@click.option("--seed", type=int, help="Seed of weights, order and masks.  [default: of the preset]")
@click.option(
    "--init-from",
    metavar="ENCODER",
    help="Run folder, encoder folder, URL or hf-hub:USER/NAME of an encoder whose weights the run starts from.  "
    "[default: random weights]",
)
@click.option("--print-config", is_flag=True, help="Print the settings of the run as YAML, and exit.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
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
    targets: tuple[str, ...],
    out: Path | None,
    preset: str,
    file: Path | None,
    assignments: tuple[str, ...],
    size: tuple[int, int] | None,
    model: str | None,
    steps: int | None,
    epochs: int | None,
    batch_size: int | None,
    seed: int | None,
    init_from: str | None,
    print_config: bool,
    cache: Path | None,
    workers: int,
) -> None:
    """Pre-train a masked autoencoder on shard sets, and export its encoder.

    To continue a run that was stopped or killed, run the same command again: it continues from the last checkpoint.
    --config overrides the preset, --set overrides --config, and the options override --set.

    \b
    Example:
      synpat-train --shards sets/soundscape --out runs/soundscape --steps 3k
    """
    if context.invoked_subcommand:
        return
    height, width = size or (None, None)
    options = {
        "height": height, "width": width,
        "model": model, "steps": steps, "epochs": epochs, "batch_size": batch_size, "seed": seed, "init_from": init_from
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    config = make_config(preset, read_settings(file) if file else {}, parse_settings(assignments), given)
    if print_config:
        click.echo(to_yaml(config), nl=False)
        return
    if not shards or out is None:
        missing = [name for name, value in (("'--shards'", shards), ("'--out'", out)) if not value]
        raise click.UsageError(f"Missing option {' and '.join(missing)}.")
    from .signals import Stopped
    from .train import pretrain  # imports torch: --help and usage errors are fast

    try:
        pretrain(shards, out, config, targets=targets, cache=cache, workers=workers)
    except Stopped as stop:
        sys.exit(128 + stop.number)  # as shells report a signal
    print_message(_where(out))


@main.command()
@click.option("--preset", type=click.Choice(list(PRESETS)), default=DEFAULT_PRESET, show_default=True)
def settings(preset: str) -> None:
    """List the settings of --set and --config: type, value in the preset and meaning.

    \b
    Example:
      synpat-train settings --preset m2d
    """
    width = min(shutil.get_terminal_size().columns, 80)
    values = asdict(make_config(preset))  # pyright: ignore[reportArgumentType]
    for name, kind, meaning in describe_settings(Config):
        click.echo(textwrap.fill(f"{name} = {values[name]} ({kind})", width, subsequent_indent="    "))
        click.echo(textwrap.fill(meaning, width, initial_indent="    ", subsequent_indent="    "))


@main.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--step", type=Count(), help="Step of the checkpoint.  [default: the last one]")
def export(run: Path, step: int | None) -> None:
    """Export the encoder of a checkpoint to RUN/encoder, also of a run that is not finished.

    \b
    Example:
      synpat-train export runs/perlin
    """
    from .export import export_checkpoint

    export_checkpoint(run, step)
    print_message(_where(run))


@main.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("location")
def push(run: Path, location: str) -> None:
    """Publish the encoder of a run, with its model card, to a folder, a URL or hf-hub:USER/NAME.

    A repository of the Hugging Face Hub must exist. After another evaluation, the same command updates the card.

    \b
    Example:
      synpat-train push runs/perlin s3://bucket/perlin-encoder
    """
    from synpat_train.model.encoder import find_encoder
    from synpat_train.model.sharing import push as publish

    url = publish(find_encoder(run), location)
    print_message(f"Encoder: {url}. Next: {shlex.join(['synpat-eval', '--encoder', url, '--task', 'gm-instrument'])}")


def _where(run: Path) -> str:
    """Return the line that says where the encoder of a run is, and what to do with it."""
    command = ["synpat-eval", "--encoder", str(run), "--task", "gm-instrument"]
    return f"Encoder: {run / 'encoder'}. Next: {shlex.join(command)}"


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
