#!/usr/bin/env python3
"""Fuzz the readers of tar files, manifests and PNG images.

Each input must either be read or be rejected by a ValueError with a one-line message.
Members that the tar reader accepts must equal those of the standard library, and reading in pieces must give the same
result. Needs atheris: pip install atheris
"""

import argparse
import io
import json
import random
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

TARGETS = ("tar", "manifest", "png")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="Example: tools/fuzz_readers.py tar 600")
    parser.add_argument("target", choices=TARGETS, help="reader to fuzz")
    parser.add_argument("seconds", type=int, help="duration")
    return parser.parse_args()


# Before the imports below, so that --help works without atheris.
ARGUMENTS = arguments()

import atheris  # noqa: E402  # pyright: ignore[reportMissingImports]
import numpy as np  # noqa: E402

with atheris.instrument_imports(include=["synpat_shards", "json"]):  # pyright: ignore[reportAttributeAccessIssue]
    from synpat_shards import decode_png, encode_png, scan
    from synpat_shards.manifest import SetSpec, ShardRecord, manifest_from_json, summarise, to_json
    from synpat_shards.reading import Stream
    from synpat_shards.tar import write_end, write_sample


def one_line(read: Callable[[], object]) -> object:
    """Return the result of `read`, or None if it raised a ValueError with a one-line message."""
    try:
        return read()
    except ValueError as error:
        if "\n" in str(error) or len(str(error)) > 1000:
            raise AssertionError("the message is longer than a line") from error
        return None


def fuzz_tar(data: bytes) -> None:
    members = one_line(lambda: list(scan(io.BytesIO(data), "a.tar", len(data))))
    pieces = (data[start : start + 100] for start in range(0, len(data), 100))
    assert members == one_line(lambda: list(scan(Stream(pieces), "a.tar", len(data))))
    if isinstance(members, list) and members:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            expected = [(entry.name, entry.offset_data, entry.size) for entry in tar]
        assert expected == [(f"{m.key}.{m.extension}", m.offset, m.size) for m in members]


def fuzz_manifest(data: bytes) -> None:
    manifest = one_line(lambda: manifest_from_json(data, "manifest.json"))
    if manifest is not None:
        assert manifest == manifest_from_json(to_json(manifest), "again")  # pyright: ignore[reportArgumentType]


def fuzz_png(data: bytes) -> None:
    image = one_line(lambda: decode_png(data))
    assert image is None or (isinstance(image, np.ndarray) and image.dtype == np.uint8)


def tar_seed() -> bytes:
    file = io.BytesIO()
    for key in range(2):
        write_sample(file, f"{key:010d}", {"png": b"x" * 20, "cls": b"1"})
    write_end(file)
    return file.getvalue()


def manifest_seed() -> bytes:
    spec = SetSpec(
        family="perlin",
        family_version=1,
        parameters={"octaves": 2},
        categories=100,
        seed=0,
        n=7,
        samples_per_shard=4,
        height=8,
        width=8,
        mode="L",
        render_size=(16, 16),
        with_parameters=True,
        encoding="png",
        extended_at=(6,),
    )
    shards = [
        ShardRecord(
            file=spec.shard_name(number),
            first_index=spec.shard_indices(number).start,
            count=len(spec.shard_indices(number)),
            bytes=1,
            sha256="0" * 64,
            pixels_sha256="f" * 64,
            rejects=0,
            mean=1.5,
            std=2.0,
        )
        for number in range(spec.shard_count)
    ]
    return json.dumps(json.loads(to_json(summarise(spec, shards, {"synpat": "1"})))).encode()


FUZZERS = {
    "tar": (fuzz_tar, tar_seed()),
    "manifest": (fuzz_manifest, manifest_seed()),
    "png": (fuzz_png, encode_png(np.arange(96, dtype=np.uint8).reshape(8, 12))),
}


def with_right_checksums(data: bytes) -> bytes:
    """Correct the checksums of all headers of a tar, so that mutations are not rejected by the checksum."""
    blocks = bytearray(data)
    for start in range(0, len(blocks) - 511, 512):
        if blocks[start + 257 : start + 262] == b"ustar":
            blocks[start + 148 : start + 156] = b" " * 8
            blocks[start + 148 : start + 156] = b"%06o\0 " % sum(blocks[start : start + 512])
    return bytes(blocks)


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """Mutate data with atheris. In half of the cases the checksums are corrected afterwards."""
    changed = atheris.Mutate(data, most)
    return with_right_checksums(changed)[:most] if random.Random(seed).random() < 0.5 else changed


def main() -> None:
    name = ARGUMENTS.target
    target, seed = FUZZERS[name]
    with tempfile.TemporaryDirectory() as corpus:
        (Path(corpus) / "seed").write_bytes(seed)
        options = [
            sys.argv[0],
            f"-max_total_time={ARGUMENTS.seconds}",
            "-max_len=8192",
            "-rss_limit_mb=512",
            "-timeout=2",
            corpus,
        ]
        mutator = {"custom_mutator": mutate} if name == "tar" else {}
        atheris.Setup(options, target, **mutator)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
