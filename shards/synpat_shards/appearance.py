"""The appearance of all pages and plots: one style sheet, and one set of parameters of matplotlib."""

from typing import Any

PAGE_STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --page: #fff; --line: #d8dee4; --soft: #eaeef2; --note: #57606a;
  --ours: #0969da; --other: #8c959f }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --page: #0d1117; --line: #30363d; --soft: #21262d;
  --note: #9198a1; --ours: #4493f8; --other: #6e7681 } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: var(--text);
  background: var(--page) }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem }
img { max-width: 100%; height: auto; background: #fff }
table { border-collapse: collapse }
td, th { padding: .35rem .6rem; text-align: left; vertical-align: top; font-variant-numeric: tabular-nums }
tr + tr td { border-top: 1px solid var(--line) }
figure { margin: 0 } figcaption { color: var(--note); font-size: .9rem }
"""
PLOT_STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
"""For `matplotlib.rc_context`."""
BLUE, GREY = "#0969da", "#8c959f"
"""Colours of the encoder or the curve that a plot is about, and of what it is compared with."""
