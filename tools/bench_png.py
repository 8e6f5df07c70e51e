#!/usr/bin/env python3
"""Benchmark of PNG encoders on every family: encode time, decode time and size. It is the basis of png.py's settings.

Uses one thread. Times are milliseconds per image, best of several rounds over the same images.
"""

import struct
import time
import zlib
from collections.abc import Callable, Sequence

import click
import cv2
import numpy as np

from synpat.families import FAMILIES, Image
from synpat.rendering.sampling import sample
from synpat_shards import decode_png, encode_png

IMAGES, ROUNDS = 20, 5


def opencv(*options: int) -> Callable[[Image], bytes]:
    """Return OpenCV's encoder with options of cv2.imencode."""
    return lambda image: cv2.imencode(".png", image, options)[1].tobytes()


def by_zlib(kind: int, level: int) -> Callable[[Image], bytes]:
    """Return an encoder with one filter for all rows (0 none, 2 up) and zlib."""

    def encode(image: Image) -> bytes:
        height, width = image.shape
        filtered = np.full((height, 1 + width), kind, np.uint8)
        filtered[0, 1:] = image[0]
        filtered[1:, 1:] = image[1:] - image[:-1] if kind else image[1:]
        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        parts = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), level)), (b"IEND", b""))
        chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)

    return encode


WRITERS: dict[str, Callable[[Image], bytes]] = {
    "opencv level 1": opencv(cv2.IMWRITE_PNG_COMPRESSION, 1),
    "none, stored": by_zlib(0, 0),
    "up, zlib 1": by_zlib(2, 1),
    "up, isal 1 (ours)": encode_png,
}


def best(work: Callable[[], object]) -> float:
    """Return the milliseconds per image of the fastest of several rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times) / IMAGES


def measure(images: Sequence[Image], encode: Callable[[Image], bytes]) -> tuple[float, float, float]:
    """Return encode time and decode time in milliseconds and size in kilobytes, per image."""
    files = [encode(image) for image in images]
    assert all(np.array_equal(decode_png(file), image) for file, image in zip(files, images, strict=True))
    arrays = [np.frombuffer(file, np.uint8) for file in files]
    encoding = best(lambda: [encode(image) for image in images])
    decoding = best(lambda: [cv2.imdecode(array, cv2.IMREAD_GRAYSCALE) for array in arrays])
    return encoding, decoding, sum(map(len, files)) / len(files) / 1e3


@click.command()
@click.option("--size", default="80x208", show_default=True, help="Height and width in pixels.")
def main(size: str) -> None:
    """Print a Markdown table: encode ms / decode ms / KB for each family and encoder.

    \b
    Example:
      tools/bench_png.py --size 80x208
    """
    cv2.setNumThreads(1)
    height, width = map(int, size.split("x"))
    print(f"| {size} | " + " | ".join(WRITERS) + " |\n" + "|---" * (1 + len(WRITERS)) + "|")
    for family in (name for name, family in FAMILIES.items() if not family.expensive):
        images = [sample(family, 0, index, height, width) for index in range(IMAGES)]
        cells = (f"{e:.3f} / {d:.3f} / {kb:.1f}" for e, d, kb in (measure(images, w) for w in WRITERS.values()))
        print(f"| {family} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
