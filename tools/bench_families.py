#!/usr/bin/env python3
"""Benchmark of all families, compared with the published generators.

Families and encoders are timed on one thread by processor time, which other programs on the machine hardly affect. The
complete `synpat render` is timed by wall time on all cores. A family without its extra or checkpoint is skipped with a
message.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest.mock import patch

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import click
import cv2

from synpat.families import FAMILIES
from synpat.rendering.render import make_spec, render_set
from synpat.rendering.sampling import paint
from synpat_shards import decode_png, encode_png, shard_set, write_atomically

REPORT = Path(__file__).parents[1] / "docs" / "bench_families.json"
SMALL, LARGE = (80, 208), (128, 1024)
SHORT = (32, 32)
"""Size for the warm-up of feature-vis, which takes a minute per image at its native size."""
SECONDS = 1.0
"""Processor time for each family at each size; at least one sample is painted."""
PIPELINE_SECONDS = 4.0
"""Intended processor time per core for rendering a complete set."""
KEPT = 300
"""Maximum number of images for timing the encoders."""

# Native side in pixels, and seconds per image of the published generator on one thread. CPU times of 2026-11-26, with
# the published settings: Baradad et al. 2021 (dead leaves, statistical, StyleGAN), Kataoka et al. 2020 (FractalDB,
# one file of the four that a rendering gives) and 2022 (RCDB), Takashima et al. 2023 (VisualAtom), Anderson and
# Farrell 2022 (IFS). Earlier times on another machine: stylegan-random, feature visualisations, and shaders (Baradad
# et al. 2022: 7 ms, and 8 ms to compile, on llvmpipe).
# fmt: off
REFERENCE_RESULTS = {
    "dead-leaves-squares": (128, 0.247), "dead-leaves-oriented": (128, 0.272), "dead-leaves-shapes": (128, 0.324),
    "spectrum": (128, 0.062), "wmm": (128, 1.249), "spectrum-color": (128, 0.091), "spectrum-color-wmm": (128, 1.239),
    "stylegan-random": (256, 0.78), "stylegan-highfreq": (256, 0.855), "stylegan-sparse": (256, 0.886),
    "stylegan-oriented": (256, 0.917), "feature-vis-random": (256, 65.0), "feature-vis-dead-leaves": (256, 65.0),
    "fractaldb": (362, 0.858), "visual-atom": (512, 0.106), "rcdb": (512, 0.0129), "ifs": (224, 0.0073),
    "shaders": (256, 0.015),
}
# fmt: on
UNPUBLISHED_SIDE = 256
"""Side of the square images for families without a published time."""


@click.command()
@click.option(
    "--family",
    type=click.Choice(list(FAMILIES)),
    multiple=True,
    help="Measure only this family. May be repeated.  [default: all]",
)
@click.option("--out", type=click.Path(path_type=Path), default=REPORT, show_default=True, help="JSON file to write.")
@click.option("--table", is_flag=True, help="Do not measure: print the JSON file as a Markdown table.")
def main(family: tuple[str, ...], out: Path, table: bool) -> None:
    """Measure families and write docs/bench_families.json, after each family. With --family, results of other families
    are kept.

    \b
    Example:
      tools/bench_families.py --family perlin --out perlin.json
    """
    report: dict[str, Any] = json.loads(out.read_bytes()) if out.exists() and (family or table) else {"families": {}}
    if not table:
        report |= {
            "command": "make bench",
            "date": date.today().isoformat(),
            "machine": f"{processor()}, {cores()} cores",
            "versions": {p: version(p) for p in ("synpat", "numpy", "numba", "isal", "opencv-python-headless")},
        }
        out.parent.mkdir(exist_ok=True)
        for name in family or FAMILIES:
            click.echo(f"measuring {name}", err=True)
            try:
                measured = {**report["families"], name: measure(name)}
            except (ValueError, ImportError, OSError) as error:
                click.echo(f"skipped: {name}: {error}", err=True)
                continue
            report["families"] = {each: measured[each] for each in FAMILIES if each in measured}
            write_atomically(out, (json.dumps(report, indent=1) + "\n").encode())
    click.echo(markdown(report))


def measure(family: str) -> dict[str, object]:
    """Return all results of one family: times in milliseconds, sizes in bytes."""
    side, published = REFERENCE_RESULTS.get(family, (UNPUBLISHED_SIDE, None))
    native = sample_times(family, side, side)
    small = sample_times(family, *SMALL)
    total, overhead = total_times(family, small["render_ms"] + small["encode_ms"])
    return {
        "first_start_s": first_start_seconds(family),
        "80x208": small,
        "128x1024": sample_times(family, *LARGE),
        "native": {"side": side, "published_ms": published and published * 1000} | native,
        "times_faster": published and published * 1000 / native["render_ms"],
        "whole_ms": total,
        "lost_share": overhead,
        "images_per_s": images_per_second(family, total),
    }


def sample_times(family: str, height: int, width: int) -> dict[str, float]:
    """Return means over images: times of the family with rejected draws, times and sizes of our and OpenCV's PNG."""
    paint(family, 0, 0, *(SHORT if family.startswith("feature-vis") else (height, width)))  # compiles the kernels
    images, rejects = [], []
    with clocked_family(family) as times:
        while sum(times) < SECONDS:
            sample = paint(family, 0, len(rejects), height, width)
            rejects.append(sample.rejects)
            images += [sample.image] if len(images) < KEPT else []
    files, theirs = [encode_png(image) for image in images], [cv2.imencode(".png", image)[1] for image in images]
    return {
        "render_ms": sum(times) * 1000 / len(rejects),
        "encode_ms": mean_ms(encode_png, images),
        "decode_ms": mean_ms(decode_png, files),
        "bytes": fmean(map(len, files)),
        "opencv_encode_ms": mean_ms(lambda image: cv2.imencode(".png", image), images),
        "opencv_bytes": fmean(map(len, theirs)),
        "rejects_per_image": fmean(rejects),
    }


@contextmanager
def clocked_family(family: str) -> Iterator[list[float]]:
    """Record the processor time in seconds of every call of `draw` and `render` in the context."""
    model, times = FAMILIES[family], []
    with (
        patch.object(model, "draw", clocked(model.draw, times)),
        patch.object(model, "render", clocked(model.render, times)),
    ):
        yield times


def clocked(function: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    """Return a function that appends the processor time of each call to `times`."""

    def timed(*arguments: object) -> object:
        began = time.process_time()
        try:
            return function(*arguments)
        finally:
            times.append(time.process_time() - began)

    return timed


def mean_ms(function: Callable[[Any], object], items: list[Any]) -> float:
    began = time.process_time()
    for item in items:
        function(item)
    return (time.process_time() - began) * 1000 / len(items)


def total_times(family: str, least_ms: float) -> tuple[float, float]:
    """Return the processor time per image in ms for a set rendered by one worker, and the share of the overhead.

    The overhead is the time that is spent neither in the family nor in the PNG encoder.
    """
    spec = make_spec(family, max(int(1000 * SECONDS / least_ms), 3), height=SMALL[0], width=SMALL[1])
    encoding: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        clocked_family(family) as painting,
        patch.object(shard_set, "encode_png", clocked(encode_png, encoding)),
    ):
        began = time.process_time()
        render_set(Path(folder), spec, workers=1, progress=lambda *_: None)
        total = time.process_time() - began
    # One more image than spec.n is painted, to check the specification.
    return total * 1000 / (spec.n + 1), 1 - sum(painting + encoding) / total


def images_per_second(family: str, total_ms: float) -> float:
    """Return the rate that `synpat render` prints on all cores, from the start of its workers to the finished set."""
    n = max(int(1000 * PIPELINE_SECONDS / total_ms) * cores(), 4)
    options = (
        f"--family {family} --n {n} --size {SMALL[0]}x{SMALL[1]} --samples-per-shard {min(1000, -(-n // cores()))}"
    )
    with tempfile.TemporaryDirectory() as folder:
        command = [Path(sys.executable).with_name("synpat"), "render", *options.split(), "--out", folder]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    rate = re.search(r"^Rendered .* ([\d,.]+) images/s", output, re.MULTILINE)
    assert rate, output
    return float(rate[1].replace(",", ""))


def first_start_seconds(family: str) -> float:
    """Return the seconds until the first sample is painted in a process without compiled kernels."""
    code = f"import time; b = time.monotonic(); from synpat import sample; sample({family!r}, 0, 0, 80, 208); "
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        done = subprocess.run(
            [sys.executable, "-c", code + "print(time.monotonic() - b)"],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
    return float(done.stdout)


def markdown(report: dict) -> str:
    """Return a report as a Markdown table."""
    lines = [
        "| family | ms at 80x208 | ms at 128x1024 | native side | ms at native side | published ms | times faster "
        "| PNG ms | PNG bytes | rejects | overhead | images/s, all cores | first start, s |",
        "|---|" + "--:|" * 12,
    ]
    for name, f in report["families"].items():
        small, native = f["80x208"], f["native"]
        published = f"{native['published_ms']:.4g} | {f['times_faster']:.3g}" if f["times_faster"] else " | "
        lines.append(
            f"| {name} | {small['render_ms']:.3g} | {f['128x1024']['render_ms']:.3g} | {native['side']} "
            f"| {native['render_ms']:.3g} | {published} | {small['encode_ms']:.2g} | {small['bytes']:.0f} "
            f"| {small['rejects_per_image']:.1%} | {f['lost_share']:.0%} | {f['images_per_s']:,.0f} "
            f"| {f['first_start_s']:.0f} |"
        )
    versions = ", ".join(f"{program} {number}" for program, number in report["versions"].items())
    return "\n".join([*lines, "", f"`{report['command']}`, {report['date']}, {report['machine']}; {versions}."])


def processor() -> str:
    with suppress(OSError):
        return re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[0]
    return platform.processor() or platform.machine()


def cores() -> int:
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    main()
