"""The report of the demo: one HTML page that contains its images. This is a module of demo.py, not a script."""

import base64
import html
import io
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from synpat.families import FAMILIES
from synpat.inspection.sheet import contact_sheet
from synpat_shards import available_cores, encode_png, read_manifest, write_atomically

STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --page: #fff; --line: #d8dee4; --soft: #eaeef2; --note: #57606a;
  --ours: #0969da; --other: #8c959f }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --page: #0d1117; --line: #30363d; --soft: #21262d;
  --note: #9198a1; --ours: #4493f8; --other: #6e7681 } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: var(--text);
  background: var(--page) }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem } .verdict { font-size: 1.2rem }
img, svg { max-width: 100%; height: auto } img { image-rendering: pixelated } svg { background: #fff }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100% }
td, th { padding: .35rem .6rem; text-align: left }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tr + tr td { border-top: 1px solid var(--line) }
.bar { position: relative; background: var(--soft); height: 1.1rem; min-width: 8rem }
.bar i { position: absolute; left: 0; top: 0; bottom: 0; background: var(--other) }
.ours .bar i { background: var(--ours) }
.bar b { position: absolute; top: 35%; bottom: 35%; background: var(--text) }
@media (max-width: 34rem) { th:nth-child(3), td:nth-child(3) { display: none } }
.ours td { font-weight: 600 } figcaption, .note { color: var(--note); font-size: .9rem } figure { margin: 0 }
pre { background: var(--soft); padding: .8rem; overflow-x: auto }
"""
TITLES = {"gm-instrument": "instrument families", "gm-pitch": "pitches"}


def write_report(demo: Path, family: str, commands: Mapping[str, str], seconds: Mapping[str, int]) -> Path:
    """Write report.html from the results of the demo's commands, and return its path."""
    tasks = json.loads((demo / "evaluation" / "results.json").read_text())["tasks"]
    log = [json.loads(line) for line in (demo / "run" / "log.jsonl").read_text().splitlines()]
    affordable = [name for name, model in FAMILIES.items() if not model.expensive]
    sections = (
        "<h1>synpat: from patterns to recorded sound</h1>",
        f'<p class="verdict">{_verdict(demo, family, log, seconds, tasks)}</p>',
        "<p>The encoder was pre-trained to reconstruct masked parts of rendered patterns. Then its weights were "
        "frozen, and "
        "a linear classifier was trained on recordings. No recording was used for pre-training.</p>",
        "<h2>Results on recorded instruments</h2>",
        *(_task(name, task) for name, task in tasks.items()),
        '<p class="note">Accuracy on test clips by logistic regression; the dark line is the 95 % confidence interval. '
        "random-init is the same encoder before pre-training, mean of three seeds; log-mel is the mean and standard "
        "deviation of each mel band. The bars start at 0.</p>",
        "<h2>What it was trained on</h2>",
        _picture(
            encode_png(contact_sheet({family: None}, 4, 80, 208, seed=0)),
            f"Four of the {read_manifest(demo / 'sets' / family).spec.n:,} patterns of the family {family}. The "
            "height is "
            "frequency, with the lowest band in the first row, and the width is two seconds.",
        ),
        "<h2>Pre-training</h2>",
        _loss_curve(log),
        '<p class="note">The loss is the mean squared error of standardised masked patches. A loss of 1 is that of '
        "predicting the mean of each patch.</p>",
        _picture(
            max((demo / "run" / "reconstructions").glob("*.png")).read_bytes(),
            "Left: what the encoder sees, with masked patches in grey. Middle: the reconstruction of the masked "
            "patches. "
            "Right: the original.",
        ),
        "<h2>All families</h2>",
        _picture(
            encode_png(contact_sheet(dict.fromkeys(affordable), 4, 80, 208, seed=0)),
            "Four samples of each family of synpat.",
        ),
        "<h2>Repeat it</h2>",
        f"<pre>{html.escape(chr(10).join(commands.values()).replace(f'{demo}/', ''))}</pre>",
        f'<p class="note">{_machine()}. {_durations(seconds)} More steps give a better encoder: change --steps, or see '
        "RESULTS.md.</p>",
    )
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    page = f'<!doctype html><html lang="en">{head}<title>synpat demo</title><style>{STYLE}</style>'
    path = demo / "report.html"
    write_atomically(path, (page + "\n".join(sections) + "</html>\n").encode())
    return path


def _verdict(
    demo: Path, family: str, log: list[dict[str, Any]], seconds: Mapping[str, int], tasks: Mapping[str, Any]
) -> str:
    views = log[-1]["step"] * 32
    start = (
        f"After {seconds['pre-train'] / 60:.0f} minutes of pre-training on {views:,} views of "
        f"{read_manifest(demo / 'sets' / family).spec.n:,} patterns, the encoder"
    )
    return f"{start} {' and '.join(_lead(TITLES.get(name.split(' ')[0], name), task) for name, task in tasks.items())}."


def _lead(title: str, task: dict[str, Any]) -> str:
    """Return how much better or worse the encoder is than a random one, honest in both directions."""
    result = task["scores"]["random-init"]["encoder_minus_this"]
    points = 100 * result["difference"]
    low, high = (100 * bound for bound in result["interval95"])
    interval = f"{abs(points):.1f} points (95 % interval {low:+.1f} to {high:+.1f})"
    if low <= 0 <= high:
        return f"does not differ significantly from a random one on {title}: {points:+.1f} points ({low:+.1f} to "
        f"{high:+.1f})"
    return f"classifies {title} {'better' if points > 0 else 'worse'} than a random one by {interval}"


def _picture(png: bytes, caption: str) -> str:
    data = base64.b64encode(png).decode()
    text = html.escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def _loss_curve(log: list[dict[str, Any]]) -> str:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([line["step"] for line in log], [line["loss"] for line in log], color="#0969da", label="loss")
    axes.axhline(1, color="0.5", linewidth=1, linestyle="--", label="predicting the mean of each patch")
    axes.set(xlabel="step", ylabel="loss on masked patches")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg", metadata={"Date": None})
    svg = drawing.getvalue()
    label = f"Loss over {log[-1]['step']} steps, {np.round(log[-1]['loss'], 3)} at the end"
    return svg[svg.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _task(name: str, task: dict[str, Any]) -> str:
    rows = []
    for contestant, score in task["scores"].items():
        low, high = (100 * bound for bound in score["interval95"])
        accuracy = 100 * score["value"]
        bar = f'<div class="bar"><i style="width:{accuracy:.1f}%"></i>'
        bar += f'<b style="left:{low:.1f}%;width:{max(high - low, 0.3):.1f}%"></b></div>'
        lead = score["encoder_minus_this"]
        bounds = " to ".join(f"{100 * bound:+.1f}" for bound in lead["interval95"])
        difference = "" if contestant == "encoder" else f"{100 * lead['difference']:+.1f} ({bounds})"
        rows.append(
            f"<tr{' class=ours' if contestant == 'encoder' else ''}><td>{html.escape(contestant)}</td>"
            f'<td class="number">{accuracy:.1f} %</td><td>{bar}</td><td class="number">{difference}</td></tr>'
        )
    facts = f"{task['clips']:,} clips, {task['classes']} classes, {len(task['folds'])} folds"
    heads = '<tr><th>features<th class="number">accuracy<th><th class="number">encoder minus this'
    table = f'<div class="scroll"><table>{heads}{"".join(rows)}</table></div>'
    return f"<h3>{html.escape(name)}</h3><p>{facts}; chance is {100 / task['classes']:.1f} %.</p>{table}"


def _durations(seconds: Mapping[str, int]) -> str:
    return "Seconds: " + ", ".join(f"{stage} {time}" for stage, time in seconds.items()) + "."


def _machine() -> str:
    return f"{platform.machine()}, {available_cores()} cores, Python {platform.python_version()}"
