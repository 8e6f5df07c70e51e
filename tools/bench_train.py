#!/usr/bin/env python3
"""Benchmark of the trainer: decoding, streaming, the cache, and training of every preset compared with plain code.

Uses large sets on a GPU and small ones without. It can also run from a checkout that is not installed.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("generators", "shards", "trainer")]
os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as in the command synpat-train

from synpat_train.entry_points import keep_memory  # noqa: E402

keep_memory()

import click  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from synpat.rendering.render import make_spec, render_set  # noqa: E402
from synpat_shards import decode_png  # noqa: E402
from synpat_train.config import Config, make_config  # noqa: E402
from synpat_train.data.decoded_cache import CachedImages  # noqa: E402
from synpat_train.data.images import Images  # noqa: E402
from synpat_train.data.shard_sets import open_sets  # noqa: E402
from synpat_train.data.shuffle import SampleOrder  # noqa: E402
from synpat_train.data.streaming import StreamedImages  # noqa: E402
from synpat_train.data.tar_index import index_shard  # noqa: E402
from synpat_train.device import peak_memory, uses_bfloat16  # noqa: E402
from synpat_train.model.flops import flops_per_sample, peak_flops  # noqa: E402
from synpat_train.model.mae import MaskedAutoencoder, patchify, standardise  # noqa: E402
from synpat_train.pretraining.train import pretrain  # noqa: E402

FAMILY = "perlin"
START = """
try:
    from synpat_train.entry_points import train
except ImportError:  # checkouts before 2026-11-26
    from synpat_train.start import train
train()
"""
READ_SECONDS = 2.0
"""Time for each way of reading."""
LOGGED = ("samples_per_s", "mfu", "data_wait", "memory_gb")
"""Measurements of a run, from its log."""
SETTLED = 2
"""Number of log lines at the start that are ignored, because the first steps are slow."""


@dataclass(frozen=True)
class Row:
    """One row of the table: a preset with changed settings."""

    name: str
    preset: str
    batch: int
    """Samples per step on a GPU."""
    settings: Mapping[str, Any]


ROWS = (
    Row("msm-mae", "msm-mae", 1024, {}),
    Row("msm-mae, streamed", "msm-mae", 1024, {"stream": True}),
    Row("m2d", "m2d", 512, {}),
    Row("audiomae", "audiomae", 256, {}),
    Row("audiomae, mask .75", "audiomae", 256, {"mask_ratio": 0.75}),
)
SAMPLES = {(80, 208): 16384, (80, 608): 8192, (128, 1024): 4096}
"""Number of rendered samples of each size on a GPU; a 32nd of it without."""


@click.command()
@click.option("--model", help="Size of the encoder.  [default: base on a GPU, tiny without]")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([r.name for r in ROWS]),
    help="Measure only this row of training. May be repeated.",
)
@click.option("--steps", type=int, help="Training steps per row.  [default: 120 on a GPU, 12 without]")
@click.option(
    "--against",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Instead, compare with another checkout on the CPU, in alternating runs of synpat-train.",
)
def main(model: str | None, only: tuple[str, ...], steps: int | None, against: Path | None) -> None:
    """Measure reading and training, and print one Markdown table.

    \b
    Examples:
      tools/bench_train.py
      tools/bench_train.py --against ../older-checkout
    """
    if against:
        with tempfile.TemporaryDirectory() as folder:
            print(comparison(Path(folder), against.resolve(), model or "tiny", steps or 32))
        return
    gpu = torch.cuda.is_available()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in SAMPLES:
            render(Path(folder), size, SAMPLES[size] // (1 if gpu else 32))
        for size in ((80, 208), (128, 1024)):
            rows += reading(Path(folder), size)
        for row in ROWS:
            if row.name in (only or [r.name for r in ROWS]):
                log(f"training {row.name}")
                rows += training(Path(folder), row, model or ("base" if gpu else "tiny"), steps or (120 if gpu else 12))
    print(table(rows, gpu))


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def render(folder: Path, size: tuple[int, int], n: int) -> None:
    log(f"rendering {n} samples of {size[0]}x{size[1]}")
    spec = make_spec(FAMILY, n, height=size[0], width=size[1], samples_per_shard=max(n // 16, 1))
    render_set(set_of(folder, size), spec, workers=len(os.sched_getaffinity(0)), progress=lambda *_: None)


def set_of(folder: Path, size: tuple[int, int]) -> Path:
    return folder / f"{size[0]}x{size[1]}"


# -- reading


def reading(folder: Path, size: tuple[int, int]) -> list[tuple[str, ...]]:
    """Return the rates of decoding, streaming and the cache."""
    log(f"reading {size[0]}x{size[1]}")
    sets = open_sets([str(set_of(folder, size))], size[0], folder / "cache")
    shard = sets[0].shards[0].path
    data = shard.read_bytes()
    files = [data[p.offset : p.offset + p.size] for p in index_shard(shard)]
    order = SampleOrder(0, tuple(s.count for s in sets[0].shards), (1.0,) * len(sets[0].shards), 16384)
    threads = min(len(os.sched_getaffinity(0)), 8)
    read = {
        "decode our PNG": rate(lambda: [decode_png(file) for file in files], len(files)),
        "stream from shards, 1 thread": batches(StreamedImages(sets, size[1], 1, skip_damaged=False), order),
        f"stream from shards, {threads} threads": batches(
            StreamedImages(sets, size[1], threads, skip_damaged=False), order
        ),
        "cache": batches(CachedImages(sets, size[1], folder / "cache"), order),
    }
    return [(f"{name}, {size[0]}x{size[1]}", f"{speed:,.0f}", "", "", "", "", "") for name, speed in read.items()]


def batches(images: Images, order: SampleOrder, batch: int = 256) -> float:
    """Return the samples per second when reading batches in the order of an epoch."""
    batch, position = min(batch, len(order)), 0

    def read() -> None:
        nonlocal position
        images.read(order.samples(0, position, position + batch), np.zeros(batch))
        position = (position + batch) % (len(order) - batch + 1)

    return rate(read, batch)


def rate(work: Callable[[], object], samples: int) -> float:
    """Return the samples per second of the fastest call: other programs can only make a call slower."""
    work()
    times, until = [], time.monotonic() + READ_SECONDS
    while time.monotonic() < until:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return samples / min(times)


# -- training


def training(folder: Path, row: Row, model: str, steps: int) -> list[tuple[str, ...]]:
    """Return the row of a run from its log, and rows of plain code for the same model."""
    config, ours = trained(folder, row, model, steps)
    rows = [
        (
            title(row, config),
            f"{ours['samples_per_s']:,.1f}",
            f"{flops_per_sample(config) / 1e9:.1f}",
            f"{ours['mfu']:.1%}",
            f"{ours['data_wait']:.1%}",
            f"{ours['memory_gb']:.1f}",
            "",
        )
    ]
    if "stream" in row.settings:
        return rows
    for precision in (torch.float32, torch.bfloat16)[: 1 + uses_bfloat16("auto", device())]:
        log(f"plain code for {row.name}, {precision}")
        plain, held = plain_rate(config, precision, max(steps // 6, 3))
        rows.append(
            (
                f"  plain eager, {'float32' if precision == torch.float32 else 'AMP bfloat16'}",
                f"{plain:,.1f}",
                f"{flops_per_sample(config) / 1e9:.1f}",
                f"{plain * flops_per_sample(config) / peak_flops(device(), precision):.1%}",
                "none read",
                f"{held:.1f}",
                f"{ours['samples_per_s'] / plain:.2f}",
            )
        )
    return rows


def trained(folder: Path, row: Row, model: str, steps: int) -> tuple[Config, dict[str, float]]:
    """Train a row on the rendered set of its size. Return its configuration and the medians of the log."""
    gpu = torch.cuda.is_available()
    small = {} if gpu else {"decoder_width": 96, "decoder_depth": 2, "decoder_heads": 3}
    settings = dict(
        row.settings, model=model, steps=steps, batch_size=row.batch if gpu else 8, log_every=max(steps // 6, 1)
    )
    config = make_config(row.preset, settings | small)
    run = folder / f"run-{row.name}"
    shards = str(set_of(folder, (config.height, config.width)))
    forget_peak_memory()
    pretrain(shards, run, config, cache=folder / "cache")
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()][SETTLED:]
    return config, {name: median(line[name] for line in lines) for name in LOGGED}


def title(row: Row, config: Config) -> str:
    return f"{row.name}: {config.model} {config.height}x{config.width}, batch {config.batch_size}"


def forget_peak_memory() -> None:
    """Release the unused memory of the GPU, and measure its peak anew."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def plain_rate(config: Config, precision: torch.dtype, steps: int) -> tuple[float, float]:
    """Return samples per second and gigabytes of memory when the same model is trained as in public implementations.

    That is: eager mode, every patch embedded by a convolution, all patches restored to their order and predicted, a
    default AdamW, and the loss copied to the host in every step. The images are already on the device as floating-point
    numbers, so no time is spent on loading data.
    """
    forget_peak_memory()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    model: Any = MaskedAutoencoder(config).to(device())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=config.betas, weight_decay=config.weight_decay)
    images = torch.randn(config.batch_size, 1, config.height, config.width, device=device())
    times = []
    for _ in range(steps):
        began = time.perf_counter()
        with torch.autocast(device().type, precision) if precision != torch.float32 else nullcontext():
            loss = plain_loss(model, images, config)
        optimizer.zero_grad()
        loss.backward()
        if config.clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        loss.item()
        times.append(time.perf_counter() - began)
    torch.set_float32_matmul_precision(before)
    return config.batch_size / median(times[1:]), peak_memory(device()) / 1e9


def plain_loss(model: Any, images: Tensor, config: Config) -> Tensor:
    """Return the loss of He et al., "Masked autoencoders are scalable vision learners", 2022, as in the paper."""
    encoder = model.encoder
    tokens = encoder.patch_embed.proj(images).flatten(2).transpose(1, 2) + encoder.pos_embed[:, 1:]
    batch, patches, width = tokens.shape
    order = torch.rand(batch, patches, device=images.device).argsort(1)
    restore, kept = order.argsort(1), order[:, : config.kept]
    tokens = tokens.gather(1, kept.unsqueeze(-1).expand(-1, -1, width))
    first = (encoder.cls_token + encoder.pos_embed[:, :1]).expand(batch, -1, -1)
    tokens = model.decoder_embed(encoder.norm(encoder.blocks(torch.cat([first, tokens], 1))))
    hidden = model.mask_token.expand(batch, patches - config.kept, -1)
    full = torch.cat([tokens[:, 1:], hidden.to(tokens.dtype)], 1)
    full = full.gather(1, restore.unsqueeze(-1).expand(-1, -1, full.shape[-1]))
    full = torch.cat([tokens[:, :1], full], 1) + model.decoder_positions
    guesses = model.decoder_predict(model.decoder_norm(model.decoder_blocks(full)))[:, 1:]
    targets = patchify(images, config.patch)
    if config.norm_pix:
        targets = standardise(targets)
    mask = (restore >= config.kept).float()
    return (((guesses.float() - targets) ** 2).mean(-1) * mask).sum() / mask.sum()


# -- two checkouts

ROUNDS = 3
"""Number of runs of each checkout, in alternation."""
DECODER = {"decoder_width": 128, "decoder_depth": 2, "decoder_heads": 4}


def comparison(folder: Path, other: Path, model: str, steps: int) -> str:
    """Return a table of the rates of two checkouts, by threads, batch size and precision."""
    cores = len(os.sched_getaffinity(0))
    lines = ["| threads | batch | precision | other, samples/s | this, samples/s | ratio | final losses |"]
    lines.append("|--:|--:|---|--:|--:|--:|---|")
    for threads in sorted({1, min(cores, 2), cores}):
        for batch in (32, 128):
            for precision in ("auto", "float32"):
                case = {"model": model, "batch_size": batch, "precision": precision, **DECODER}
                previous, current = alternating(folder, (other, ROOT), threads, steps * 32 // batch + 8, case)
                losses = f"{previous[1]:.5f}, {current[1]:.5f}"
                lines.append(
                    f"| {threads} | {batch} | {precision} | {previous[0]:,.1f} | {current[0]:,.1f} "
                    f"| {current[0] / previous[0]:.2f} | {losses} |"
                )
                log(lines[-1])
    return "\n".join([*lines, "", f"{processor()}, torch {torch.__version__}; medians of {ROUNDS} alternating runs."])


def alternating(
    folder: Path, checkouts: tuple[Path, Path], threads: int, steps: int, settings: Mapping[str, Any]
) -> list[tuple[float, float]]:
    """Return the median rate and the last loss of each checkout."""
    runs = [[command_rate(folder, each, threads, steps, settings) for each in checkouts] for _ in range(ROUNDS)]
    return [(median(rate for rate, _ in each), each[-1][1]) for each in zip(*runs, strict=True)]


def command_rate(
    folder: Path, checkout: Path, threads: int, steps: int, settings: Mapping[str, Any]
) -> tuple[float, float]:
    """Return the median rate and the last loss of one run of a checkout's command on as many cores as threads."""
    run, cores = folder / "run", sorted(os.sched_getaffinity(0))[:threads]
    shutil.rmtree(run, ignore_errors=True)
    paths = os.pathsep.join(str(checkout / part) for part in ("generators", "shards", "trainer"))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}
    shards = folder / ("this" if checkout == ROOT else "other")  # the same images, in the format of each checkout
    render = ["render", "--family", "perlin", "--n", "1024", "--out", shards]
    subprocess.run(
        [sys.executable, "-c", "from synpat.cli import main; main()", *render],
        env=environment,
        check=True,
        capture_output=True,
    )
    command = [sys.executable, "-c", START, "--out", run, "--preset", "msm-mae"]  # the default differs by checkout
    command += ["--shards", shards, "--cache", folder / f"cache-{shards.name}", "--steps", str(steps)]
    for name, value in {"log_every": max(steps // 8, 1), **settings}.items():
        command += ["--set", f"{name}={value}"]
    subprocess.run(
        command, env=environment, check=True, capture_output=True, preexec_fn=lambda: os.sched_setaffinity(0, cores)
    )
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()][SETTLED:]
    return median(line["samples_per_s"] for line in lines), lines[-1]["loss"]


# -- the table


def table(rows: list[tuple[str, ...]], gpu: bool) -> str:
    head = ("", "samples/s", "GFLOP per sample", "MFU", "waiting for data", "GB", "speed-up of synpat-train")
    lines = ["| " + " | ".join(row) + " |" for row in (head, ("---", *["--:"] * 6), *rows)]
    where = torch.cuda.get_device_name() if gpu else f"{processor()}, {torch.get_num_threads()} threads"
    note = "" if gpu else " Without a GPU: a small decoder and a small batch; MFU is relative to a matrix product."
    return "\n".join([*lines, "", f"{where}, torch {torch.__version__}, Python {platform.python_version()}.{note}"])


def processor() -> str:
    with suppress(OSError, IndexError):
        return re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[0]
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
