"""How fast audio is decoded, and how near the embedding of clips comes to the encoder's own forward pass.

Both in one call, on the device at hand and on audio that is made up here.
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
"""Suffix, Hz and channels."""
BATCH = 64
CLIPS = {"tiny": 256, "base": 64}
"""Of SECONDS each, that are embedded on a processor; on a GPU a hundred times as many."""


@click.command()
def main() -> None:
    """Print both tables."""
    threads = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as scratch:
        click.echo("| files of 4 s | clip-seconds/s | on each core |\n|---|--:|--:|")
        for suffix, rate, channels in KINDS:
            found = decoding(Path(scratch), suffix, rate, channels)
            click.echo(f"| {suffix}, {rate} Hz, {channels} | {found:,.0f} | {found / threads:,.0f} |")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    click.echo(f"\n| on {name} | clips/s | forward pass alone | share |\n|---|--:|--:|--:|")
    for size in CLIPS:
        whole, alone = embedding(size, device)
        click.echo(f"| ViT-{size}, clips of 4 s | {whole:,.1f} | {alone:,.1f} | {whole / alone:.0%} |")


def decoding(scratch: Path, suffix: str, rate: int, channels: int) -> float:
    """Seconds of audio decoded in a second, on all cores and into the cache."""
    folder = scratch / f"{suffix}-{rate}"
    folder.mkdir()
    noise = np.random.default_rng(0).normal(scale=0.1, size=(round(rate * SECONDS), channels))
    names = [f"{index}.{suffix}" for index in range(FILES)]
    soundfile.write(folder / names[0], np.cumsum(noise, axis=0) / 50, rate)  # red, so that it compresses like sound
    for name in names[1:]:
        (folder / name).write_bytes((folder / names[0]).read_bytes())
    began = time.perf_counter()
    decode(folder, names, folder / "cache", "decode")
    return FILES * SECONDS / (time.perf_counter() - began)


def embedding(size: str, device: str) -> tuple[float, float]:
    """Clips a second from decoded audio to embeddings, and through the encoder alone."""
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

    def whole() -> None:
        found = embed(recordings, [embedder], context, batches, "embed")
        assert sum(len(each) for (each,) in found) == clips

    def alone() -> None:
        with torch.inference_mode():
            for _ in batches:
                embedder.embed(inputs).cpu()

    alone()  # warms up
    return clips / seconds(whole), clips / seconds(alone)


def seconds(work) -> float:
    """The least of three."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


if __name__ == "__main__":
    main()
