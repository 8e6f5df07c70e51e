"""The `synpat-eval` command."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path

import click

from synpat_shards import InputError
from synpat_shards.command_line import SEVERAL, Count, PictureFile, Program
from synpat_train.progress import print_message
from synpat_train.settings import parse_settings

from .protocols import LINEAR, PROTOCOLS
from .reference_results import REFERENCE_RESULTS
from .tasks.benchmarks import BENCHMARKS
from .tasks.check import check_copy, report
from .tasks.registry import TASKS, check_tasks, tasks_json, tasks_table

# torch, and modules that import it, are imported inside the functions below, so that --help and usage errors are fast.


@click.group(cls=Program, invoke_without_command=True, context_settings={"show_default": True})
@click.pass_context
@click.option(
    "--encoder",
    metavar="RUN",
    help="Run folder of synpat-train, a folder with model.safetensors and config.json, its URL, or hf-hub:USER/NAME.",
)
@click.option(
    "--task",
    "names",
    multiple=True,
    type=click.Choice(list(TASKS)),
    metavar="TASK...",
    help=f"Names from `synpat-eval tasks`. {SEVERAL}",
)
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
    default=LINEAR.name,
    help="linear trains a linear layer as EVAR does; logistic solves a logistic regression; knn uses nearest "
    "neighbours; finetune trains the encoder by M2D's recipes or, for other tasks, by ours, finetune-audiomae by "
    "AudioMAE's.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE...",
    help=f"Set a setting of the protocol. With learning_rate=validation, linear chooses its learning rate. {SEVERAL}",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of the data set, or a folder with those of several tasks; for the task folder, the folder with "
    "metadata.csv.",
)
@click.option("--label", default="label", metavar="COLUMN", help="Column of metadata.csv with the label.")
@click.option(
    "--split", metavar="COLUMN", help="Column of metadata.csv with the fold or split.  [default: fold, or else split]"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder of results.json.  [default: RUN/evaluation; required for a URL]",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder for decoded audio, embeddings and scores of baselines.  [default: ~/.cache/synpat]",
)
@click.option(
    "--unreadable",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    help="How to handle corrupt, empty or silent files.",
)
@click.option("--embed-batch", type=Count(), default=64, help="Number of encoder inputs that are embedded at once.")
def main(
    context: click.Context,
    encoder: str | None,
    names: tuple[str, ...],
    protocol: str,
    assignments: tuple[str, ...],
    data: Path | None,
    label: str,
    split: str | None,
    out: Path | None,
    cache: Path | None,
    unreadable: str,
    embed_batch: int,
) -> None:
    """Evaluate an encoder on real audio, with frozen features or by fine-tuning, and compare it with two baselines:
    encoders of the same shape with random weights, and the mean and standard deviation of the log-mel spectrogram.

    The table is printed on standard output. All results are written to results.json. Results of other tasks in that
    file are kept.

    \b
    Example:
      synpat-eval --encoder runs/perlin --task gm-instrument gm-pitch
      synpat-eval --encoder runs/perlin --task folder --data audio/fsdd --split speaker_fold
      synpat-eval --encoder runs/perlin --task esc50 --data ESC-50-master
    """
    if context.invoked_subcommand:
        return
    if not (encoder and names):
        raise click.UsageError("--encoder RUN and --task TASK are required: see synpat-eval --help")
    try:
        check_tasks(names, has_data=data is not None)
    except InputError as error:
        raise click.UsageError(str(error)) from None
    settings = parse_settings(assignments)
    for name in names:  # invalid settings are reported before torch is imported
        replace(PROTOCOLS[protocol], changes=settings).settings(name)

    from .results import table
    from .run import default_out, evaluate

    results = evaluate(
        encoder,
        names,
        protocol,
        data=data,
        label=label,
        split=split,
        out=out,
        cache=cache,
        skip_unreadable=unreadable == "skip",
        embed_batch=embed_batch,
        settings=settings,
    )
    click.echo(table(results))
    folder = out or default_out(encoder)
    command = ["synpat-eval", "compare", str(out or folder.parent)]
    print_message(f"Results: {folder / 'results.json'}. Next: {shlex.join(command)}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the split and the files of each task.")
def tasks(as_json: bool) -> None:
    """List the tasks: what each measures, its size and metric and, in wide terminals, its licence and source.

    \b
    Example:
      synpat-eval tasks
    """
    click.echo(tasks_json() if as_json else tasks_table())


@main.command()
@click.argument("task", type=click.Choice(list(BENCHMARKS)), metavar="TASK")
@click.option("--data", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="The downloaded folder.")
def check(task: str, data: Path) -> None:
    """Check that a copy of a data set is complete. Exits with 1 if it is not.

    \b
    Example:
      synpat-eval check esc50 --data ESC-50-master
    """
    copy = check_copy(task, data)
    click.echo(report(task, copy))
    sys.exit(1 if copy.faults(BENCHMARKS[task]) else 0)


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--reference", type=click.Choice(list(REFERENCE_RESULTS)), help="Published results for comparison.")
@click.option(
    "--out", type=PictureFile([".png"]), default=Path("comparison.png"), metavar="FILE", help="PNG file to write."
)
def compare(runs: tuple[Path, ...], reference: str | None, out: Path) -> None:
    """Compare evaluated encoders in one table and one plot, with differences over the same clips.

    \b
    Example:
      synpat-eval compare runs/perlin runs/fractaldb --reference m2d
    """
    from .comparison import comparison, draw_comparison, read_evaluated

    encoders = [read_evaluated(run) for run in runs]
    reference_results = REFERENCE_RESULTS[reference] if reference else None
    click.echo(comparison(encoders, reference_results))
    draw_comparison(encoders, reference_results, out)
    print_message(f"plot: {out}")
