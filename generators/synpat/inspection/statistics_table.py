"""Statistics of sets as a table and as plots."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from synpat_shards import PLOT_STYLE, MissingDependencyError
from synpat_shards.text_table import text_table

from .statistics import Statistics, ring_frequencies

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLOCKS = " ▁▂▃▄▅▆▇█"
BINS = 16
"""Number of bins of the small histogram in the table."""

COLUMNS = {
    "images": "images",
    "mean": "mean",
    "std": "std",
    "entropy": "entropy, bits",
    "total_variation": "total variation",
    "slope": "spectral slope",
    "constant_patches": "constant patches",
    "png_bytes": "PNG bytes",
}
"""Fields of Statistics that are single numbers, and their headings."""
LEVELS = "levels 0..255"
"""Heading of the small histogram."""


def table(sets: Mapping[str, Statistics]) -> str:
    """Return a table as text, with a row for each set."""
    rows = []
    for name, figures in sets.items():
        numbers = [getattr(figures, field) for field in COLUMNS]
        rows.append([name, *("none" if n is None else _short(n) for n in numbers), _small_histogram(figures)])
    return text_table(["set", *COLUMNS.values(), LEVELS], rows, optional=[LEVELS])


def _short(number: float) -> str:
    return f"{number:.0f}" if number == round(number) or number >= 1000 else f"{number:.3g}"


def _small_histogram(figures: Statistics) -> str:
    shares = np.reshape(figures.histogram, (BINS, -1)).sum(1)
    heights = np.ceil(shares / shares.max() * (len(BLOCKS) - 1))
    return "".join(BLOCKS[int(height)] for height in heights)


def picture(sets: Mapping[str, Statistics]) -> bytes:
    """Return a PNG file that compares the histograms, spectra and other statistics of sets.

    Raises MissingDependencyError if matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        raise MissingDependencyError(
            "--out needs matplotlib, which is not installed: pip install matplotlib"
        ) from missing
    with rc_context(PLOT_STYLE):
        return _png(_draw(Figure(figsize=(14, 6 + 0.35 * len(sets))), sets))


def _draw(figure: "Figure", sets: Mapping[str, Statistics]) -> "Figure":
    """Draw the comparison into an empty figure and return it."""
    bars = [field for field in COLUMNS if field != "images"]
    grid = figure.add_gridspec(2, len(bars), height_ratios=(5, 1 + 0.35 * len(sets)))
    levels, spectra = figure.add_subplot(grid[0, :4]), figure.add_subplot(grid[0, 4:])
    styles = [(f"C{number % 10}", "-" if number < 10 else "--") for number in range(len(sets))]
    for (name, figures), (colour, line) in zip(sets.items(), styles, strict=True):
        levels.plot(figures.histogram, color=colour, linestyle=line, label=name, linewidth=1)
        # The scale of a spectrum depends on the contrast, which is in the table. Only the shapes are compared here.
        power = np.array(figures.spectrum)
        spectra.plot(ring_frequencies()[1:], np.sqrt(power / max(power.sum(), 1e-9))[1:], color=colour, linestyle=line)
    levels.set(title="grey levels", xlabel="level", ylabel="share of pixels", yscale="log")
    levels.legend(fontsize="small", ncols=2)
    spectra.set(
        title="spectrum",
        xlabel="cycles per pixel",
        ylabel="amplitude, normalised to power 1",
        xscale="log",
        yscale="log",
    )
    for column, field in enumerate(bars):
        chart = figure.add_subplot(grid[1, column])
        values = [getattr(figures, field) or 0.0 for figures in sets.values()]
        chart.barh(range(len(sets)), values, color=[colour for colour, _ in styles])
        chart.set(title=COLUMNS[field], yticks=range(len(sets)), yticklabels=list(sets) if column == 0 else [])
        chart.invert_yaxis()
    return figure


def _png(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()
