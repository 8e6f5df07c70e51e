#!/usr/bin/env python3
"""Benchmark of evaluation: speed of decoding audio, and of embedding clips compared with the forward pass alone.

Uses generated audio and a GPU if there is one.
"""

import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
import numpy as np
import soundfile
import torch

from synpat_train.audio.front_end import FRONT_ENDS
from synpat_train.evaluation.probes.embedding import (
    EmbeddingContext,
    Normalisation,
    batches_of_equal_steps,
    embed,
    encoder_embedder,
)
from synpat_train.evaluation.tasks.recordings import Recordings, decode
from synpat_train.model.encoder import Encoder, random_encoder
from synpat_train.model.vit import build_vit

RATE, SECONDS = 16_000, 4.0
FILES = 1000
KINDS = (("wav", 16_000, 1), ("flac", 16_000, 1), ("wav", 44_100, 2), ("ogg", 44_100, 1))
"""Suffix, sample rate in Hz and number of channels of each kind of file."""
BATCH = 64
CLIPS = {"tiny": 256, "base": 64}
"""Number of clips to embed on a CPU for each size of model; a hundred times as many on a GPU."""


@click.command()
def main() -> None:
    """Measure the speed of decoding and embedding, and print two Markdown tables.

    \b
    Example:
      tools/bench_eval.py
    """
    threads = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as scratch:
        click.echo("| files of 4 s | clip-seconds/s | per core |\n|---|--:|--:|")
        for suffix, rate, channels in KINDS:
            speed = decoding(Path(scratch), suffix, rate, channels)
            click.echo(f"| {suffix}, {rate} Hz, {channels} channels | {speed:,.0f} | {speed / threads:,.0f} |")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    click.echo(f"\n| on {name} | clips/s | forward pass alone | share |\n|---|--:|--:|--:|")
    for size in CLIPS:
        total, alone = embedding(size, device)
        click.echo(f"| ViT-{size}, clips of 4 s | {total:,.1f} | {alone:,.1f} | {total / alone:.0%} |")


def decoding(scratch: Path, suffix: str, rate: int, channels: int) -> float:
    """Return the seconds of audio decoded per second, on all cores and with writing to the cache."""
    folder = scratch / f"{suffix}-{rate}"
    folder.mkdir()
    noise = np.random.default_rng(0).normal(scale=0.1, size=(round(rate * SECONDS), channels))
    names = [f"{index}.{suffix}" for index in range(FILES)]
    soundfile.write(
        folder / names[0], np.cumsum(noise, axis=0) / 50, rate
    )  # red noise, which compresses like recorded sound
    for name in names[1:]:
        (folder / name).write_bytes((folder / names[0]).read_bytes())
    began = time.perf_counter()
    decode(folder, names, folder / "cache", "decode")
    return FILES * SECONDS / (time.perf_counter() - began)


def embedding(size: str, device: str) -> tuple[float, float]:
    """Return the clips per second from decoded audio to embeddings, and for the forward pass alone."""
    vit = build_vit(size, 80, 208, 16)
    encoder = random_encoder(Encoder(vit, 80, 208, 16, features=5 * vit.embed_dim), 0)
    encoder.vit.to(device)
    clips = CLIPS[size] * (100 if device == "cuda" else 1)
    samples = np.random.default_rng(0).integers(-9000, 9000, round(clips * SECONDS * RATE), dtype=np.int16)
    lengths = np.full(clips, round(SECONDS * RATE))
    recordings = Recordings(samples=samples, starts=np.cumsum(lengths) - lengths, lengths=lengths, digest="noise")
    front_end, embedder = FRONT_ENDS[80], encoder_embedder(encoder)
    context = EmbeddingContext(front_end=front_end, normalisation=Normalisation(-7, 4), device=device)
    batches = batches_of_equal_steps(recordings, encoder, context, BATCH)
    inputs = [torch.randn(80, front_end.frames(int(lengths[0])), device=device) for _ in batches[0]]

    def total() -> None:
        embedded = embed(recordings, [embedder], context, batches, "embed")
        assert sum(len(each) for (each,) in embedded) == clips

    def alone() -> None:
        with torch.inference_mode():
            for _ in batches:
                embedder.embed(inputs).cpu()

    alone()  # warm-up
    return clips / seconds(total), clips / seconds(alone)


def seconds(work) -> float:
    """Return the shortest of three running times in seconds."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


if __name__ == "__main__":
    main()
