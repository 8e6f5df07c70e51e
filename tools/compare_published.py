#!/usr/bin/env python3
"""Compare rendered sets with images of the published programs, by statistics of each image.

The folder tests/tools/published has one table per family and size, with one row per image of the published program.
Two tests are applied: a two-sample Kolmogorov-Smirnov test of each statistic, with Bonferroni's correction, and
Hotelling's two-sample test (1931) of all statistics together, on normal scores, which also finds a difference between
statistics that are correlated within a family.
"""

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from synpat.commands.options import StoreType
from synpat.families import Image
from synpat.inspection.statistics import constant_patches, entropy, level_counts, set_images
from synpat.painting.image import convert_mode
from synpat_shards import InputError, Store, read_manifest

PUBLISHED = Path(__file__).parents[1] / "tests" / "tools" / "published"
SIGNIFICANT = 0.001
"""A set differs from the published images if the p-value of one of the two tests is smaller."""
BINS = 19
"""Number of frequency bands of equal logarithmic width for the slope of the spectrum."""
NAMES = (
    "mean",
    "std",
    "entropy",
    "total_variation",
    "anisotropy",
    "slope",
    "autocorrelation_1",
    "autocorrelation_4",
    "autocorrelation_16",
    "constant_patches",
    "equal_neighbours",
    "levels",
)

Table = NDArray[np.float64]
"""Statistics of images: [image, statistic], in the order of NAMES."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """P-values of the comparison of a set with published images."""

    statistics: Mapping[str, float]
    """P-value of the Kolmogorov-Smirnov test of each statistic, multiplied by the number of statistics; at most 1."""
    together: float
    """P-value of Hotelling's test of all statistics together."""

    @property
    def differs(self) -> bool:
        return min(self.together, *self.statistics.values()) < SIGNIFICANT


@click.command()
@click.argument("stores", metavar="SET...", nargs=-1, required=True, type=StoreType())
@click.option("--samples", type=click.IntRange(min=1), default=300, show_default=True, help="Images of each set.")
def main(stores: tuple[Store, ...], samples: int) -> None:
    """Print the mean of each statistic in the published images and in SET, and the p-values.

    The exit code is 1 if a set differs. A set must have the size of the published images:

    \b
    Example:
      synpat render --family wmm --n 300 --size 128x128 --out sets/wmm
      tools/compare_published.py sets/wmm
    """
    different = False
    for store in stores:
        spec = read_manifest(store).spec
        published = published_table(spec.family, spec.height, spec.width)
        ours = measured(image for image, _ in islice(set_images(store, samples), samples))
        comparison = compare(published, ours)
        click.echo(f"{store.url}: {len(ours)} images, compared with {len(published)} published ones")
        for n, (name, p) in enumerate(comparison.statistics.items()):
            click.echo(f"  {name:20}{np.nanmean(published[:, n]):10.3f}{np.nanmean(ours[:, n]):10.3f}   p = {p:.2g}")
        verdict = "DIFFERENT" if comparison.differs else "no significant difference"
        click.echo(f"  {'all together':40}   p = {comparison.together:.2g}: {verdict}")
        different |= comparison.differs
    sys.exit(different)


def published_table(family: str, height: int, width: int) -> Table:
    """Return the statistics of the published images of a family. Raises InputError if there are none of this size."""
    path = PUBLISHED / f"{family}-{height}.csv"
    if height != width or not path.exists():
        known = ", ".join(sorted(each.stem for each in PUBLISHED.glob("*.csv")))
        raise InputError(f"no published statistics of {family} at {height}x{width}: render one of {known}")
    return read_table(path)


def read_table(path: Path) -> Table:
    """Read the statistics of images, one row per image."""
    with path.open(newline="") as file:
        return np.array([[float(row[name]) for name in NAMES] for row in csv.DictReader(file)])


def measured(images: Iterable[Image]) -> Table:
    """Return the statistics of images, converted to grey."""
    return np.array([_statistics(convert_mode(image, "L")) for image in images])


def compare(published: Table, ours: Table) -> Comparison:
    """Compare the statistics of two groups of images. Statistics that are NaN in an image are not compared there."""
    alone = (
        stats.ks_2samp(*(each[np.isfinite(each)] for each in pair)) for pair in zip(published.T, ours.T, strict=True)
    )
    corrected = [min(1.0, len(NAMES) * float(test.pvalue)) for test in alone]  # pyright: ignore[reportAttributeAccessIssue]
    return Comparison(statistics=dict(zip(NAMES, corrected, strict=True)), together=_hotelling(published, ours))


def _hotelling(first: Table, second: Table) -> float:
    """Return the p-value of Hotelling's test for equal means of the normal scores of two groups."""
    first, second = (group[np.isfinite(group).all(1)] for group in (first, second))
    values = np.concatenate([first, second])
    varying = [column for column in values.T if len(np.unique(column)) > len(values) / 10]
    scores = stats.norm.ppf((stats.rankdata(np.array(varying), axis=1) - 0.5) / len(values)).T
    a, b = np.split(scores, [len(first)])
    size, rest = len(a) * len(b) / len(values), len(values) - 2
    difference = a.mean(0) - b.mean(0)
    within = ((len(a) - 1) * np.cov(a.T) + (len(b) - 1) * np.cov(b.T)) / rest
    # Directions in which the groups hardly vary, because two statistics are nearly equal, are ignored.
    variances, axes = np.linalg.eigh(np.atleast_2d(within))
    used = variances > 1e-3 * variances[-1]
    squared = size * float(np.sum((difference @ axes[:, used]) ** 2 / variances[used]))
    count = int(used.sum())
    return float(stats.f.sf(squared * (rest - count + 1) / (rest * count), count, rest - count + 1))


def _statistics(image: Image) -> Sequence[float]:
    """Return the statistics of a grey image, in the order of NAMES."""
    levels = image.astype(np.float64)
    along_x, along_y = np.diff(levels, axis=1), np.diff(levels, axis=0)
    variation_x, variation_y = np.abs(along_x).mean(), np.abs(along_y).mean()
    values = (
        levels.mean(),
        levels.std(),
        entropy(image),
        variation_x + variation_y,
        np.log((variation_x + 1e-9) / (variation_y + 1e-9)),
        _slope(levels),
        *(_autocorrelation(levels, distance) for distance in (1, 4, 16)),
        constant_patches(image),
        ((along_x == 0).mean() + (along_y == 0).mean()) / 2,
        np.count_nonzero(level_counts(image)),
    )
    return [float(value) for value in values]


def _slope(levels: NDArray[np.float64]) -> float:
    """Return the slope of the logarithm of the power over that of the frequency; NaN for a constant image.

    The bands start at two periods per shorter side and end at 0.5 cycles per pixel. There is no window.
    """
    lowest = 2 / min(levels.shape)
    power = np.abs(np.fft.fft2(levels - levels.mean())).ravel() ** 2
    frequency = np.hypot(np.fft.fftfreq(levels.shape[0])[:, None], np.fft.fftfreq(levels.shape[1])).ravel()
    inside = (frequency > lowest) & (frequency < 0.5)
    band = np.digitize(frequency[inside], np.geomspace(lowest, 0.5, BINS + 1))
    members, powers, frequencies = (
        np.bincount(band, weights, BINS + 1) for weights in (None, power[inside], frequency[inside])
    )
    used = powers > 0
    if used.sum() < 4:
        return float("nan")
    x, y = (np.log(total[used] / members[used]) for total in (frequencies, powers))
    return float(np.polyfit(x, y, 1)[0])


def _autocorrelation(levels: NDArray[np.float64], distance: int) -> float:
    """Return the mean of the autocorrelations along both axes at a distance in pixels; NaN for a constant image."""
    centred = levels - levels.mean()
    variance = float((centred**2).mean())
    along = (centred[:, distance:] * centred[:, :-distance]).mean(), (centred[distance:] * centred[:-distance]).mean()
    return float(np.mean(along)) / variance if variance else float("nan")


if __name__ == "__main__":
    main()
