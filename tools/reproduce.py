"""The paper's table: families x encoders x tasks, from nothing to RESULTS.md, at four scales.

A driver over the commands, with no logic of its own but the ranking at the end. What is done already is not done again,
and what was killed goes on.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from synpat.families import FAMILIES
from synpat_shards import atomic_file, write_atomically
from synpat_train.evaluation.tasks.benchmarks import BENCHMARKS


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of the paper's work is done."""

    families: Sequence[str]
    images: int
    training: str
    """Options of synpat-train."""
    protocols: Sequence[str]
    """Of synpat-eval; the paper's for each task if it is empty."""


CHEAP = tuple(name for name, family in FAMILIES.items() if not family.expensive)
SMALL_DECODER = "--set decoder_width=128 --set decoder_depth=2 --set decoder_heads=4"
SCALES: Mapping[str, Scale] = {
    "smoke": Scale(
        families=("perlin", "white-noise"),
        images=64,
        training=f"--model tiny --batch-size 8 --steps 4 {SMALL_DECODER}",
        protocols=("logistic",),
    ),
    "cpu": Scale(
        families=CHEAP,
        images=10_000,
        training=f"--model tiny --batch-size 32 --steps 1250 --set base_lr=4e-3 {SMALL_DECODER}",
        protocols=("logistic",),
    ),
    "gpu": Scale(
        families=("perlin", "dead-leaves-shapes", "shaders", "white-noise"),
        images=100_000,
        training="--model base --batch-size 1024 --epochs 200",
        protocols=("linear", "logistic"),
    ),
    "paper": Scale(
        families=tuple(FAMILIES),
        images=100_000,
        training="--model base --batch-size 1024 --epochs 300",
        protocols=(),
    ),
}


STATISTICS = {
    "slope": "slope of the spectrum",
    "total_variation": "total variation",
    "entropy": "entropy of grey levels",
    "constant_patches": "share of constant patches",
    "png_bytes": "bytes of a PNG",
}
"""Of `synpat stats`, which transfer is set against."""


@click.command()
@click.option("--scale", type=click.Choice(list(SCALES)), required=True)
@click.option("--family", "families", type=click.Choice(list(FAMILIES)), multiple=True, help="These alone.")
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="TASK[=DIR[:SPLIT]]",
    help="What to evaluate on, and where it lies; see synpat-eval tasks.",
    default=("gm-instrument", "gm-pitch"),
    show_default=True,
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("reproduction"), show_default=True
)
def main(scale: str, families: tuple[str, ...], tasks: tuple[str, ...], out: Path) -> None:
    """Render, pre-train and evaluate one encoder for each family, then compare them.

    smoke takes minutes and shows that the road is whole; cpu half an hour a family and core; gpu about 20 minutes a
    family on an H100; paper a day of one, and the data sets.

    \b
    Example:
      tools/reproduce.py --scale cpu --family perlin --task gm-pitch --task folder=audio/fsdd:speaker_fold
    """
    chosen = SCALES[scale]
    families = families or tuple(chosen.families)
    for family in families:
        run("synpat", "render", "--family", family, "--n", chosen.images, "--out", out / "sets" / family)
    for family in families:
        shards = ("--shards", out / "sets" / family, "--cache", out / "cache" / "decoded")
        run("synpat-train", *shards, "--out", out / "runs" / family, *chosen.training.split())
        for task in tasks:
            for protocol in chosen.protocols or published_protocols(task):
                evaluate(out, family, task, protocol)
    table = run("synpat-eval", "compare", *(out / "runs" / f for f in families), "--out", out / "comparison.png")
    statistics = json.loads(run("synpat", "stats", *(out / "sets" / f for f in families), "--json"))
    gains = {family: gain(out / "runs" / family) for family in families}
    draw_transfer(list(statistics.values()), gains, out / "transfer.png")
    write_atomically(out / "RESULTS.md", report(table, gains).encode())
    click.echo((out / "RESULTS.md").read_text())


def published_protocols(task: str) -> Sequence[str]:
    """Those by which the paper uses a task."""
    benchmark = BENCHMARKS.get(task.partition("=")[0])
    return benchmark.protocols if benchmark and benchmark.protocols else ("linear",)


def evaluate(out: Path, family: str, task: str, protocol: str) -> None:
    """One encoder, task and protocol, unless it is done already."""
    done = out / "done" / "-".join((family, task.replace("/", "-"), protocol))
    if done.exists():
        return
    name, _, place = task.partition("=")
    folder, _, split = place.partition(":")
    where = [*(["--data", folder] if folder else []), *(["--split", split] if split else [])]
    encoder = ("--encoder", out / "runs" / family, "--cache", out / "cache")
    run("synpat-eval", *encoder, "--task", name, "--protocol", protocol, *where)
    done.parent.mkdir(exist_ok=True)
    done.touch()


def run(*command: object) -> str:
    """Run one of our commands and give what it prints; if it fails, so does this."""
    click.echo(f"== {' '.join(map(str, command))}", err=True)
    program = Path(sys.executable).with_name(str(command[0]))
    process = subprocess.run([program, *map(str, command[1:])], stdout=subprocess.PIPE, text=True)
    if process.returncode:
        sys.exit(process.returncode)
    return process.stdout


def gain(run: Path) -> tuple[float, float]:
    """Mean over the tasks of the encoder's lead over random-init, and half of its 95 % interval, in percent."""
    results = json.loads((run / "evaluation" / "results.json").read_text())["tasks"].values()
    leads = [task["scores"]["random-init"]["encoder_minus_this"] for task in results]
    halves = [(lead["interval95"][1] - lead["interval95"][0]) / 2 for lead in leads]
    mean, half = np.mean([lead["difference"] for lead in leads]), np.sqrt(np.sum(np.square(halves))) / len(leads)
    return 100 * float(mean), 100 * float(half)


def report(table: str, gains: Mapping[str, tuple[float, float]]) -> str:
    """The comparison, and the families in the order of their gain."""
    ranking = sorted(gains.items(), key=lambda item: -item[1][0])
    rows = [f"| {name} | {mean:+.1f} | {mean - half:+.1f} to {mean + half:+.1f} |" for name, (mean, half) in ranking]
    return "\n".join(
        [
            f"# Encoders of {len(gains)} families\n",
            table,
            "## Families by what pre-training gains\n",
            "Points over random-init, mean over the tasks, with 95 % intervals.\n",
            "| family | gain | interval |\n|---|--:|--:|",
            *rows,
            "\n![Figures with intervals](comparison.png)\n\n![Gain against what the images are like](transfer.png)\n",
        ]
    )


def draw_transfer(described: Sequence[Mapping[str, Any]], gains: Mapping[str, tuple[float, float]], path: Path) -> None:
    """Draw the gain of each family against what its images are like, with Spearman's rank correlation."""
    figure = Figure(figsize=(3.2 * len(STATISTICS), 3.4), layout="constrained")
    means, halves = np.array(list(gains.values())).T
    for axes, (name, words) in zip(figure.subplots(1, len(STATISTICS), sharey=True), STATISTICS.items(), strict=True):
        values = [np.nan if each[name] is None else each[name] for each in described]
        axes.errorbar(values, means, yerr=halves, fmt="o", markersize=4)
        for family, value, mean in zip(gains, values, means, strict=True):
            axes.annotate(family, (value, mean), fontsize=7, xytext=(3, 3), textcoords="offset points")
        found = stats.spearmanr(values, means, nan_policy="omit") if len(gains) > 2 else None
        title = f"rank correlation {found.statistic:+.2f}, p = {found.pvalue:.2f}" if found else ""  # pyright: ignore
        axes.set(xlabel=words)
        axes.set_title(title, fontsize=9)
        axes.axhline(0, color="0.8", zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("points over random-init")
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=120)


if __name__ == "__main__":
    main()
