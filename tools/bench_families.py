"""How fast every family is, kernel by kernel and as a whole, beside the published generators.

Families and encoders are timed on one thread by processor time, which other programs on the machine hardly add to; the
whole `synpat render` by the clock, on all cores. A family whose extra or checkpoint is missing is named and left out.
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
from synpat_shards import decode_png, encode_png, shard_set

REPORT = Path(__file__).parents[1] / "docs" / "bench_families.json"
SMALL, LARGE = (80, 208), (128, 1024)
SHORT = (32, 32)
"""Where feature-vis, which takes a minute an image at its native size, is tried out."""
SECONDS = 1.0
"""Processor time given to each family at each size; at least one sample is painted."""
PIPELINE_SECONDS = 4.0
"""Processor time on each core that the rendering of the whole set should take."""
KEPT = 300
"""Images that the encoders are timed on, at most."""

# Native side in pixels, and seconds an image of the published generator on one thread. Measured by running each at its
# own settings on one machine: Baradad et al. 2021 (dead leaves, statistical, StyleGAN, feature visualisations), Kataoka
# et al. 2020 (FractalDB, one file of the four that a rendering gives) and 2022 (RCDB), Takashima et al. 2023
# (VisualAtom), Anderson and Farrell 2022 (IFS), Baradad et al. 2022 (shaders: 7 ms, and 8 ms to compile, on llvmpipe).
# fmt: off
REFERENCE_RESULTS = {
    "dead-leaves-squares": (256, 1.14), "dead-leaves-oriented": (256, 1.32), "dead-leaves-shapes": (256, 1.43),
    "spectrum": (256, 0.147), "wmm": (256, 1.39), "spectrum-color": (256, 0.224), "spectrum-color-wmm": (256, 1.83),
    "stylegan-random": (256, 0.78), "stylegan-highfreq": (256, 0.76), "stylegan-sparse": (256, 1.3),
    "stylegan-oriented": (256, 0.86), "feature-vis-random": (256, 65.0), "feature-vis-dead-leaves": (256, 65.0),
    "fractaldb": (362, 1.3), "visual-atom": (512, 0.192), "rcdb": (512, 0.031), "ifs": (256, 0.0138),
    "shaders": (256, 0.015),
}
# fmt: on
UNPUBLISHED_SIDE = 256
"""Side of the square that families without a published time are painted at."""


@click.command()
@click.option("--family", type=click.Choice(list(FAMILIES)), multiple=True, help="Measure these alone.  [default: all]")
@click.option("--out", type=click.Path(path_type=Path), default=REPORT, show_default=True, help="JSON to write.")
@click.option("--table", is_flag=True, help="Measure nothing: print the JSON as a Markdown table.")
def main(family: tuple[str, ...], out: Path, table: bool) -> None:
    """Time families and write docs/bench_families.json. With --family, the others keep what is in it.

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
        for name in family or FAMILIES:
            click.echo(f"measuring {name}", err=True)
            try:
                report["families"][name] = measure(name)
            except (ValueError, ImportError, OSError) as refusal:
                click.echo(f"left out: {name}: {refusal}", err=True)
        report["families"] = {name: report["families"][name] for name in FAMILIES if name in report["families"]}
        out.parent.mkdir(exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n")
    click.echo(markdown(report))


def measure(family: str) -> dict[str, object]:
    """All figures of one family: times in milliseconds, sizes in bytes."""
    side, published = REFERENCE_RESULTS.get(family, (UNPUBLISHED_SIDE, None))
    native = sample_times(family, side, side)
    small = sample_times(family, *SMALL)
    whole, lost = whole_times(family, small["render_ms"] + small["encode_ms"])
    return {
        "first_start_s": first_start_seconds(family),
        "80x208": small,
        "128x1024": sample_times(family, *LARGE),
        "native": {"side": side, "published_ms": published and published * 1000} | native,
        "times_faster": published and published * 1000 / native["render_ms"],
        "whole_ms": whole,
        "lost_share": lost,
        "images_per_s": images_per_second(family, whole),
    }


def sample_times(family: str, height: int, width: int) -> dict[str, float]:
    """Means over images: of the family, rejected draws included, and of the PNG, ours and OpenCV's."""
    paint(family, 0, 0, *(SHORT if family.startswith("feature-vis") else (height, width)))  # compiles
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
    """Seconds of processor time of every drawing of parameters and every painting, while the context lasts."""
    model, times = FAMILIES[family], []
    with (
        patch.object(model, "draw", clocked(model.draw, times)),
        patch.object(model, "render", clocked(model.render, times)),
    ):
        yield times


def clocked(function: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    """The function, which notes how long each call took."""

    def noting(*arguments: object) -> object:
        began = time.process_time()
        try:
            return function(*arguments)
        finally:
            times.append(time.process_time() - began)

    return noting


def mean_ms(function: Callable[[Any], object], items: list[Any]) -> float:
    began = time.process_time()
    for item in items:
        function(item)
    return (time.process_time() - began) * 1000 / len(items)


def whole_times(family: str, least_ms: float) -> tuple[float, float]:
    """Of a set rendered by one worker: processor time of an image, and the share of it that goes neither into the
    family nor into the encoder."""
    spec = make_spec(family, max(int(1000 * SECONDS / least_ms), 3), height=SMALL[0], width=SMALL[1])
    encoding: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        clocked_family(family) as painting,
        patch.object(shard_set, "encode_png", clocked(encode_png, encoding)),
    ):
        began = time.process_time()
        render_set(Path(folder), spec, workers=1, progress=lambda *_: None)
        whole = time.process_time() - began
    return whole * 1000 / (spec.n + 1), 1 - sum(painting + encoding) / whole  # one is painted to try the family out


def images_per_second(family: str, whole: float) -> float:
    """What `synpat render` says of itself on all cores, from the start of its workers to the finished set."""
    n = max(int(1000 * PIPELINE_SECONDS / whole) * cores(), 4)
    options = (
        f"--family {family} --n {n} --size {SMALL[0]}x{SMALL[1]} --samples-per-shard {min(1000, -(-n // cores()))}"
    )
    with tempfile.TemporaryDirectory() as folder:
        command = [Path(sys.executable).with_name("synpat"), "render", *options.split(), "--out", folder]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    rate = re.search(r"([\d,.]+) images/s, [\d.]+ MB/s\n*$", said)
    assert rate, said
    return float(rate[1].replace(",", ""))


def first_start_seconds(family: str) -> float:
    """Until the first sample is painted, in a process that finds no compiled kernel."""
    code = f"import time; b = time.monotonic(); from synpat import sample; sample({family!r}, 0, 0, 80, 208); "
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        done = subprocess.run(
            [sys.executable, "-c", code + "print(time.monotonic() - b)"],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
    return float(done.stdout)


def markdown(report: dict) -> str:
    """The README's table of a report."""
    lines = [
        "| family | ms at 80x208 | ms at 128x1024 | native side | ms there | published ms | times faster "
        "| PNG ms | PNG bytes | rejects | lost | images/s, all cores | first start, s |",
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
