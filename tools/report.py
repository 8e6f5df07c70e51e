"""The report of the demo: one HTML page that contains its images. This is a module of demo.py, not a script."""

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from synpat.inspection.sheet import contact_sheet
from synpat_shards import encode_png, read_manifest, write_atomically

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem } img { max-width: 100%; image-rendering: pixelated }
table { border-collapse: collapse; width: 100% } td, th { padding: .35rem .6rem; text-align: left }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
tr + tr td { border-top: 1px solid #d8dee4 }
.bar { position: relative; background: #eaeef2; height: 1.1rem; min-width: 14rem }
.bar i { position: absolute; left: 0; top: 0; bottom: 0; background: #8c959f } .ours .bar i { background: #0969da }
.bar b { position: absolute; top: 35%; bottom: 35%; background: #1b1f24 }
.ours td { font-weight: 600 } figcaption, .note { color: #57606a; font-size: .9rem } figure { margin: 0 }
"""


def write_report(demo: Path, families: Sequence[str]) -> Path:
    """Write report.html from the results of the demo's commands, and return its path."""
    results = json.loads((demo / "evaluation" / "results.json").read_text())
    sections = (
        "<h1>synpat: from patterns to recorded sound</h1>",
        "<p>An audio encoder that was trained without audio: it was pre-trained to reconstruct masked parts of the "
        "patterns below. Then its weights were frozen, and a linear probe was trained on recordings.</p>",
        "<h2>The patterns</h2>",
        _picture(encode_png(contact_sheet(families, 4, 80, 208, seed=0)), "Four samples of each family."),
        _set_table(demo, families),
        "<h2>Pre-training</h2>",
        _loss_curve(demo / "run" / "log.jsonl"),
        _picture(
            max((demo / "run" / "reconstructions").glob("*.png")).read_bytes(),
            "Visible patches, reconstruction by the decoder, and original.",
        ),
        "<h2>Results on recorded sound</h2>",
        *(_task(name, task) for name, task in results["tasks"].items()),
        '<p class="note">Accuracy of a linear probe on test clips; the black line is the 95 % confidence interval. '
        "random-init is the same encoder before pre-training, mean of three seeds; log-mel is the mean and standard "
        "deviation of each mel band. The demo trains for minutes on about ten thousand patterns, which may not be "
        "enough to exceed a random encoder; see RESULTS.md for longer runs.</p>",
    )
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>synpat demo</title><style>{STYLE}</style>'
    path = demo / "report.html"
    write_atomically(path, (page + "\n".join(sections) + "</html>\n").encode())
    return path


def _picture(png: bytes, caption: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<figure><img alt="" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'


def _set_table(demo: Path, families: Sequence[str]) -> str:
    rows = []
    for family in families:
        manifest = read_manifest(demo / "sets" / family)
        size = sum(shard.bytes for shard in manifest.shards) / 1e6
        cells = (manifest.spec.n, f"{size:.1f}", f"{manifest.mean:.1f}", f"{manifest.std:.1f}")
        rows.append(f"<tr><td>{family}</td>" + "".join(f'<td class="number">{cell}</td>' for cell in cells))
    heads = "".join(f'<th class="number">{head}</th>' for head in ("samples", "MB", "mean grey", "std"))
    return f"<table><tr><th>family{heads}{''.join(rows)}</table>"


def _loss_curve(log: Path) -> str:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([line["step"] for line in lines], [line["loss"] for line in lines], color="#0969da")
    axes.set(xlabel="step", ylabel="loss on masked patches")
    axes.spines[["top", "right"]].set_visible(False)
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg")
    svg = drawing.getvalue()
    return svg[svg.index("<svg") :]


def _task(name: str, task: dict[str, Any]) -> str:
    rows = []
    for contestant, score in task["scores"].items():
        low, high = (100 * bound for bound in score["interval95"])
        accuracy = 100 * score["value"]
        bar = f'<div class="bar"><i style="width:{accuracy:.1f}%"></i>'
        bar += f'<b style="left:{low:.1f}%;width:{max(high - low, 0.3):.1f}%"></b></div>'
        rows.append(
            f"<tr{' class=ours' if contestant == 'encoder' else ''}><td>{html.escape(contestant)}</td>"
            f'<td class="number">{accuracy:.1f} %</td><td>{bar}</td></tr>'
        )
    facts = f"{task['clips']} clips, {task['classes']} classes, {len(task['folds'])} folds"
    return f"<h3>{name}</h3><p>{facts}; chance is {100 / task['classes']:.1f} %.</p><table>{''.join(rows)}</table>"
