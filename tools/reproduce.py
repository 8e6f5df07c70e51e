#!/usr/bin/env python3
"""Reproduce the paper's table (families x encoders x tasks) and write RESULTS.md, at one of five scales.

The script runs the commands and computes the ranking at the end. Finished steps are not repeated, and interrupted ones
are continued.
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
    """Size of a reproduction."""

    families: Sequence[str]
    images: int
    """Number of images of each family."""
    paintings: Sequence[str]
    """native: paint at the size of the images. published: at the published size, with the published parameters."""
    training: str
    """Options of synpat-train."""
    protocols: Sequence[str]
    """Protocols of synpat-eval; if empty, those of the paper for each task."""


CHEAP = tuple(name for name, family in FAMILIES.items() if not family.expensive)
PAINTINGS = ("native", "published")
TINY = "--model tiny --set hog_weight=0"
"""Options of the small scales, which predict pixels alone, as the paper does."""
SCALES: Mapping[str, Scale] = {
    "smoke": Scale(
        families=("perlin", "ifs"),
        images=64,
        paintings=PAINTINGS,
        training=f"{TINY} --batch-size 8 --steps 4",
        protocols=("logistic",),
    ),
    "short": Scale(
        families=CHEAP,
        images=10_000,
        paintings=PAINTINGS,
        training=f"{TINY} --batch-size 32 --steps 1500",
        protocols=("logistic",),
    ),
    "cpu": Scale(
        families=CHEAP,
        images=50_000,
        paintings=PAINTINGS,
        training=f"{TINY} --batch-size 32 --steps 9375",
        protocols=("logistic",),
    ),
    "gpu": Scale(
        families=("perlin", "dead-leaves-shapes", "shaders", "white-noise"),
        images=100_000,
        paintings=("published",),
        training="--preset msm-mae --model base --batch-size 1024 --epochs 200",
        protocols=("linear", "logistic"),
    ),
    "paper": Scale(
        families=tuple(FAMILIES),
        images=100_000,
        paintings=("published",),
        training="--preset msm-mae --model base --batch-size 1024 --epochs 300",
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
"""Statistics of `synpat stats` with which the gain is compared, and their labels."""


@click.command()
@click.option("--scale", type=click.Choice(list(SCALES)), required=True, help="Size of the reproduction.")
@click.option(
    "--family",
    "families",
    type=click.Choice(list(FAMILIES)),
    multiple=True,
    help="Use only this family. May be repeated.  [default: those of the scale]",
)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="TASK[=DIR[:SPLIT]]",
    help="Task, and folder of its data if it needs one: see `synpat-eval tasks`. May be repeated.",
    default=("gm-instrument", "gm-pitch"),
    show_default=True,
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("reproduction"),
    show_default=True,
    help="Folder for all results.",
)
def main(scale: str, families: tuple[str, ...], tasks: tuple[str, ...], out: Path) -> None:
    """Render, pre-train and evaluate one encoder for each family, then compare them.

    Families with a published size are painted at the size of the images, at the published size, or both, as two sets.

    smoke takes minutes and checks that all steps work. short takes about 10 minutes per set on one core, cpu an hour.
    gpu takes about 20 minutes per set on an H100. paper takes a day per set on an H100 and needs the data sets.

    \b
    Example:
      tools/reproduce.py --scale short --family perlin --task gm-pitch --task folder=audio/fsdd:speaker_fold
    """
    chosen = SCALES[scale]
    sets = {
        name: options
        for family in families or chosen.families
        for painting in chosen.paintings
        for name, options in [painted(family, painting)]
    }
    for name, options in sets.items():
        run("synpat", "render", "--n", chosen.images, *options, "--out", out / "sets" / name)
    for name in sets:
        shards = ("--shards", out / "sets" / name, "--cache", out / "cache" / "decoded")
        run("synpat-train", *shards, "--out", out / "runs" / name, *chosen.training.split())
        for task in tasks:
            for protocol in chosen.protocols or published_protocols(task):
                evaluate(out, name, task, protocol)
    table = run("synpat-eval", "compare", *(out / "runs" / name for name in sets), "--out", out / "comparison.png")
    statistics = json.loads(run("synpat", "stats", *(out / "sets" / name for name in sets), "--json"))
    gains = dict(sorted(((name, gain(out / "runs" / name)) for name in sets), key=lambda item: -item[1][0]))
    draw_transfer([statistics[str(out / "sets" / name)] for name in gains], gains, out / "transfer.png")
    write_atomically(out / "RESULTS.md", report(table, gains).encode())
    click.echo((out / "RESULTS.md").read_text())


def painted(family: str, painting: str) -> tuple[str, Sequence[str]]:
    """Return the name of a set, and the options of synpat render that paint it."""
    size = FAMILIES[family].published_size
    if painting == "native" or size is None:
        return family, ("--family", family)
    given = [f"--param={key}={str(value).lower()}" for key, value in FAMILIES[family].published_parameters.items()]
    return f"{family}-{size[0]}x{size[1]}", ("--family", family, "--render-size", "published", *given)


def published_protocols(task: str) -> Sequence[str]:
    """Return the protocols with which the paper evaluates a task."""
    benchmark = BENCHMARKS.get(task.partition("=")[0])
    return benchmark.protocols if benchmark and benchmark.protocols else ("linear",)


def evaluate(out: Path, encoder: str, task: str, protocol: str) -> None:
    """Evaluate one encoder on one task with one protocol, unless this has already been done."""
    done = out / "done" / "-".join((encoder, task.replace("/", "-"), protocol))
    if done.exists():
        return
    name, _, place = task.partition("=")
    folder, _, split = place.partition(":")
    where = [*(["--data", folder] if folder else []), *(["--split", split] if split else [])]
    run(
        "synpat-eval",
        "--encoder",
        out / "runs" / encoder,
        "--cache",
        out / "cache",
        "--task",
        name,
        "--protocol",
        protocol,
        *where,
    )
    done.parent.mkdir(exist_ok=True)
    done.touch()


def run(*command: object) -> str:
    """Run a command of synpat and return its output. If it fails, exit with its exit code."""
    click.echo(f"== {' '.join(map(str, command))}", err=True)
    program = Path(sys.executable).with_name(str(command[0]))
    process = subprocess.run([program, *map(str, command[1:])], stdout=subprocess.PIPE, text=True)
    if process.returncode:
        sys.exit(process.returncode)
    return process.stdout


def gain(run: Path) -> tuple[float, float]:
    """Return the gain over random-init, mean over the tasks, and half of its 95 % interval, in percentage points."""
    results = json.loads((run / "evaluation" / "results.json").read_text())["tasks"].values()
    gains = [task["scores"]["random-init"]["encoder_minus_this"] for task in results]
    halves = [(gain["interval95"][1] - gain["interval95"][0]) / 2 for gain in gains]
    mean, half = np.mean([gain["difference"] for gain in gains]), np.sqrt(np.sum(np.square(halves))) / len(gains)
    return 100 * float(mean), 100 * float(half)


def report(table: str, gains: Mapping[str, tuple[float, float]]) -> str:
    """Return the comparison and a ranking of the sets, as Markdown. gains: by set, the largest first."""
    rows = [
        f"| {rank} | {name} | {mean:+.1f} | {mean - half:+.1f} to {mean + half:+.1f} |"
        for rank, (name, (mean, half)) in enumerate(gains.items(), 1)
    ]
    return "\n".join(
        [
            f"# Encoders of {len(gains)} sets of patterns\n",
            table,
            "## Sets by gain of pre-training\n",
            "Percentage points over random-init, mean over the tasks, with 95 % confidence intervals.\n",
            "| rank | set | gain | interval |\n|--:|---|--:|--:|",
            *rows,
            "\n![Figures with intervals](comparison.png)\n\n![Gain against statistics of the images](transfer.png)\n",
        ]
    )


def draw_transfer(described: Sequence[Mapping[str, Any]], gains: Mapping[str, tuple[float, float]], path: Path) -> None:
    """Plot the gain of each set against the statistics of its images, with Spearman's rank correlation.

    described, gains: by set, the largest gain first. The numbers in the plot are these ranks.
    """
    figure = Figure(figsize=(3.2 * len(STATISTICS), 3.4), layout="constrained")
    means, halves = np.array(list(gains.values())).T
    for axes, (name, words) in zip(figure.subplots(1, len(STATISTICS), sharey=True), STATISTICS.items(), strict=True):
        values = [np.nan if each[name] is None else each[name] for each in described]
        axes.errorbar(values, means, yerr=halves, fmt="o", markersize=4)
        for rank, (value, mean) in enumerate(zip(values, means, strict=True), 1):
            axes.annotate(str(rank), (value, mean), fontsize=7, xytext=(3, 3), textcoords="offset points")
        test = stats.spearmanr(values, means, nan_policy="omit") if len(gains) > 2 else None
        title = f"rank correlation {test.statistic:+.2f}, p = {test.pvalue:.2f}" if test else ""  # pyright: ignore
        axes.set(xlabel=words)
        axes.set_title(title, fontsize=9)
        axes.axhline(0, color="0.8", zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("points over random-init")
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=120)


if __name__ == "__main__":
    main()
