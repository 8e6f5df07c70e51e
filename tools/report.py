"""The report of the demo: one HTML page that contains its images. This is a module of demo.py, not a script."""

import base64
import html
import io
import json
import platform
import subprocess
import wave
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from demo_evidence import Evidence, on_a_plane
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

import synpat
from synpat import Patterns
from synpat_shards import (
    BLUE,
    GREY,
    PAGE_STYLE,
    PLOT_STYLE,
    available_cores,
    read_manifest,
    write_atomically,
)
from synpat_train.audio import SAMPLE_RATE
from synpat_train.evaluation.results import percent, points
from synpat_train.pretraining.run_folder import read_config

STYLE = """
.verdict { font-size: 1.2rem } table { width: 100% } .scroll { overflow-x: auto }
td.number, th.number { text-align: right; white-space: nowrap }
.bar { position: relative; background: var(--soft); height: 1.1rem; min-width: 8rem }
.bar i { position: absolute; left: 0; top: 0; bottom: 0; background: var(--other) }
.ours .bar i { background: var(--ours) }
.bar u { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--text); opacity: .5 }
.bar b { position: absolute; top: 35%; bottom: 35%; background: var(--text) }
@media (max-width: 34rem) { th:nth-child(3), td:nth-child(3), .note span { display: none } }
.ours td { font-weight: 600 } .note { color: var(--note); font-size: .9rem } figure { margin: 0 0 1.5rem }
.notes { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 0 1rem }
audio { width: 100% } .right span { color: #1a7f37 } .wrong span { color: #cf222e }
pre { background: var(--soft); padding: .8rem; overflow-x: auto }
"""
DOCS = Path(__file__).parents[1] / "docs"
"""Has the contact sheet of all families, and the measured gains by the number of patterns from RESULTS.md."""
GO_ON = (
    "",
    "# a better encoder, about 40 minutes on two cores",
    "synpat render --family soundscape --n 60k --out sets/soundscape",
    "synpat-train --shards sets/soundscape --out runs/soundscape --steps 17k",
    "# your own recordings: a folder with audio files and metadata.csv",
    "synpat-eval --encoder demo/run --task folder --data my-recordings",
)
TITLES = {"gm-instrument": "instrument families", "gm-pitch": "pitches"}


@rc_context(PLOT_STYLE)
def write_report(
    demo: Path, family: str, commands: Mapping[str, str], seconds: Mapping[str, int], evidence: Evidence
) -> Path:
    """Write report.html from the results of the demo's commands, and return its path."""
    tasks = json.loads((demo / "evaluation" / "results.json").read_text())["tasks"]
    log = [json.loads(line) for line in (demo / "run" / "log.jsonl").read_text().splitlines()]
    patterns = Patterns(family, seed=0, n=read_manifest(demo / "sets" / family).spec.n)
    config = read_config(demo / "run")
    sections = (
        "<h1>synpat: from patterns to recorded sound</h1>",
        f'<p class="verdict">{_verdict(patterns, config.batch_size, log, tasks)}</p>',
        "<p>The encoder was pre-trained to reconstruct masked parts of rendered patterns. Then its weights were "
        "frozen, and a linear classifier was trained on recorded instruments. No recording was used for "
        "pre-training.</p>",
        "<h2>Results on recorded instruments</h2>",
        *(_task(name, task) for name, task in tasks.items()),
        '<p class="note">Accuracy on test clips by logistic regression. random-init is the same encoder before '
        "pre-training, mean of three seeds; log-mel is the mean and standard deviation of each mel band. <span>The "
        "bars start at 0, the short thick line is the 95 % confidence interval, and the thin line marks "
        "chance.</span></p>",
        "<h2>Patterns and recordings</h2>",
        _figure(
            _spectrograms(patterns, evidence),
            f"Above: four of the {len(patterns):,} patterns, painted by formulas. Below: log-mel spectrograms of four "
            "recorded notes of the evaluation. Both have the same colours, the height is frequency and the width is "
            "time.",
        ),
        "<h2>Listen</h2>",
        "<p>One note of each of six instrument families, and what a classifier that was not trained on it answers.</p>",
        '<div class="notes">' + "".join(_note(evidence, clip) for clip in evidence.examples(6)) + "</div>",
        "<h2>What the encoder has learned</h2>",
        _figure(
            _planes(evidence),
            f"The {len(evidence.labels):,} notes as points, before and after pre-training. Notes with similar "
            "embeddings are close (t-SNE). The colour is the instrument family, which neither encoder was told.",
        ),
        _figure(
            _confusion(evidence),
            "Answers of the classifier on the embeddings of the pre-trained encoder, for the notes that it was not "
            "trained on. Rows are the true families, and the numbers are percent of the row.",
        ),
        "<h2>Pre-training</h2>",
        _figure(
            _loss_curve(log),
            f"Loss over {log[-1]['step']:,} steps; {log[-1]['loss']:.3f} at the end. The loss is "
            "the mean squared error of standardised patches and of their histograms of oriented gradients: the masked "
            f"ones and, with a weight of {config.visible_weight:g}, the visible ones.",
        ),
        _picture(
            max((demo / "run" / "reconstructions").glob("*.png")).read_bytes(),
            f"Left: the input with {100 * config.mask_ratio:.0f} % of its patches masked (grey). Middle: what the "
            "decoder predicts for the masked patches. Right: the original pattern. The decoder predicts standardised "
            "patches; their brightness and contrast are taken from the original.",
        ),
        "<h2>How accuracy grows with training</h2>",
        _figure(
            _growth(),
            "From RESULTS.md, not from this run: the mean gain over random weights on five tasks, by the "
            "number of patterns that were seen in training. Bars are 95 % intervals over clips and random weights. "
            "These trainings had targets without noise.",
        ),
        "<h2>All families</h2>",
        _picture(
            (DOCS / "families.png").read_bytes(),
            "Four samples of each family of synpat. Only soundscape is used in this demo.",
        ),
        "<h2>Repeat it and go on</h2>",
        f"<pre>{html.escape(chr(10).join([*commands.values(), *GO_ON]).replace(f'{demo}/', ''))}</pre>",
        f'<p class="note">{_machine()}. {_durations(seconds)}</p>',
    )
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    page = f'<!doctype html><html lang="en">{head}<title>synpat demo</title><style>{PAGE_STYLE}{STYLE}</style>'
    path = demo / "report.html"
    write_atomically(path, (page + "\n".join(sections) + "</html>\n").encode())
    return path


def _verdict(patterns: Patterns, batch_size: int, log: list[dict[str, Any]], tasks: Mapping[str, Any]) -> str:
    views, seconds = log[-1]["step"] * batch_size, training_seconds(log, batch_size)
    time = f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.0f} seconds"
    start = f"After {time} of pre-training on {views:,} views of {len(patterns):,} patterns, the encoder"
    return f"{start} {' and '.join(lead(TITLES.get(name.split(' ')[0], name), task) for name, task in tasks.items())}."


def training_seconds(log: list[dict[str, Any]], batch_size: int) -> float:
    """Return the time of all steps, also of a run that was interrupted."""
    steps = [0, *(line["step"] for line in log)]
    return sum(
        (end - start) * batch_size / line["samples_per_s"]
        for (start, end), line in zip(pairwise(steps), log, strict=True)
    )


def lead(title: str, task: dict[str, Any]) -> str:
    """Return how much better or worse the encoder is than a random one, honest in both directions."""
    result = task["scores"]["random-init"]["encoder_minus_this"]
    difference = 100 * result["difference"]
    low, high = result["interval95"]
    interval = f"points (95 % interval {percent((low, high), '+.1f')})"
    if low <= 0 <= high:
        return f"does not differ significantly from a random one on {title}: {difference:+.1f} {interval}"
    comparison = "better" if difference > 0 else "worse"
    return f"classifies {title} {comparison} than a random one by {abs(difference):.1f} {interval}"


def _picture(png: bytes, caption: str) -> str:
    data = base64.b64encode(png).decode()
    text = html.escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def _figure(figure: Figure, caption: str) -> str:
    """Return a figure of matplotlib as a picture, with its caption as the alternative text."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    return _picture(data.getvalue(), caption)


def _spectrograms(patterns: Patterns, evidence: Evidence) -> Figure:
    figure = Figure(figsize=(9, 3.6))
    axes = figure.subplots(2, 4)
    notes = [evidence.spectrogram(clip) for clip in evidence.examples(4)]
    for axis, image in zip(axes.flat, [*patterns[:4], *notes], strict=True):
        axis.imshow(image, origin="lower", aspect="auto", cmap="magma")
        axis.set(xticks=[], yticks=[])
    axes[0, 0].set_ylabel("patterns")
    axes[1, 0].set_ylabel("recordings")
    return figure


def _planes(evidence: Evidence) -> Figure:
    figure = Figure(figsize=(9, 5))
    axes = figure.subplots(1, 2)
    for axis, title, features in (
        (axes[0], "random weights", evidence.random),
        (axes[1], "after pre-training", evidence.trained),
    ):
        points = on_a_plane(features)
        for family, name in enumerate(evidence.names):
            members = points[evidence.labels == family]
            colour = colormaps["tab20"](family)
            axis.scatter(members[:, 0], members[:, 1], s=5, color=colour, label=name if axis is axes[0] else None)
        axis.set(title=title, xticks=[], yticks=[])
    figure.legend(loc="outside lower center", ncols=5, markerscale=3)
    return figure


def _confusion(evidence: Evidence) -> Figure:
    shares = evidence.confusion()
    figure = Figure(figsize=(8, 6.5))
    axis = figure.subplots()
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(shares >= 0.05), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axis.text(column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=8)
    ticks = range(len(evidence.names))
    axis.set_xticks(ticks, evidence.names, rotation=45, ha="right")
    axis.set_yticks(ticks, evidence.names)
    axis.set(xlabel="answer", ylabel="true family")
    return figure


def _note(evidence: Evidence, clip: int) -> str:
    """Return a player for a note, with the classifier's answer."""
    samples = np.rint(evidence.task.recordings.waveform(clip) * 32767).astype("<i2")
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())
    sound = base64.b64encode(data.getvalue()).decode()
    scores, truth = evidence.scores[clip], evidence.labels[clip]
    answer = int(scores.argmax())
    mark, name = ("✓", "right") if answer == truth else ("✗", "wrong")
    text = f"{evidence.names[truth]}: the answer is {evidence.names[answer]} ({100 * scores[answer]:.0f} %)"
    return (
        f'<figure class="{name}"><audio controls aria-label="{text}" src="data:audio/wav;base64,{sound}"></audio>'
        f'<figcaption><span aria-label="{name}">{mark}</span> {text}</figcaption></figure>'
    )


def _loss_curve(log: list[dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(9, 3.2))
    axes = figure.subplots()
    axes.plot([line["step"] for line in log], [line["loss"] for line in log], color=BLUE)
    axes.set(xlabel="step", ylabel="loss")
    return figure


def _growth() -> Figure:
    points = json.loads((DOCS / "growth.json").read_text())["points"]
    figure = Figure(figsize=(9, 3.2))
    axes = figure.subplots()
    views, gains, intervals = zip(*((p["views"], p["gain"], p["interval"]) for p in points), strict=True)
    axes.errorbar(views, gains, yerr=intervals, marker="o", capsize=4, color=BLUE)
    axes.axhline(0, color=GREY, linewidth=1, linestyle="--")
    axes.set(xscale="log", xlabel="patterns seen in training", ylabel="mean gain in points")
    axes.set_xticks(views)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.minorticks_off()
    return figure


def _task(name: str, task: dict[str, Any]) -> str:
    rows = []
    for contestant, score in task["scores"].items():
        low, high = (100 * bound for bound in score["interval95"])
        accuracy = 100 * score["value"]
        bar = f'<div class="bar"><i style="width:{accuracy:.1f}%"></i>'
        bar += f'<u style="left:{100 / task["classes"]:.1f}%"></u>'
        bar += f'<b style="left:{low:.1f}%;width:{max(high - low, 0.3):.1f}%"></b></div>'
        minus = score["encoder_minus_this"]
        difference = "" if contestant == "encoder" else points(minus["difference"], minus["interval95"])
        rows.append(
            f"<tr{' class=ours' if contestant == 'encoder' else ''}><td>{html.escape(contestant)}</td>"
            f'<td class="number">{accuracy:.1f} %</td><td>{bar}</td><td class="number">{difference}</td></tr>'
        )
    facts = f"{task['clips']:,} clips, {task['classes']} classes, {len(task['folds'])} folds"
    heads = '<tr><th>features<th class="number">accuracy<th><th class="number">encoder minus this'
    table = f'<div class="scroll"><table>{heads}{"".join(rows)}</table></div>'
    return f"<h3>{html.escape(name)}</h3><p>{facts}; chance is {100 / task['classes']:.1f} %.</p>{table}"


def _durations(seconds: Mapping[str, int]) -> str:
    return (
        "Seconds of the last start of each stage: "
        + ", ".join(f"{stage} {time}" for stage, time in seconds.items())
        + "."
    )


def _machine() -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=DOCS, capture_output=True, text=True)
    version = f"synpat {synpat.__version__}" + (f", commit {commit.stdout.strip()}" if commit.returncode == 0 else "")
    return f"{version}, {platform.machine()}, {available_cores()} cores, Python {platform.python_version()}"
