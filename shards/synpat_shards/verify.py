"""Verification of a set against its manifest: every file, every byte, every sample."""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .files import is_unrelated
from .manifest import (
    MANIFEST,
    PUBLISHING,
    SPEC,
    Manifest,
    SetSpec,
    ShardRecord,
    read_manifest,
    summarise,
)
from .moments import mean_and_std
from .png import decode_png, png_size
from .reading import Stream
from .shard_set import LOCK, RECORDS
from .sidecars import INDEX_HEADER, index_line, index_name, sidecars
from .store import Location, Store, open_store
from .system import available_cores
from .tar import BLOCK, scan

FAULTS_OF_A_SHARD = 10
"""Maximum number of listed faults per shard."""


@dataclass(frozen=True)
class Fault:
    """A difference between a set and its manifest."""

    check: str
    """Name of the check that found it."""
    file: str
    """Name of the file in the set."""
    words: str
    """Description of the fault."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Result of the verification of a set."""

    location: str
    """Path or URL of the set."""
    manifest: Manifest | None
    """Manifest of the set; None if it cannot be read."""
    checked: dict[str, int]
    """Number of checked items by name of the check."""
    faults: tuple[Fault, ...] = ()
    """Faults found by all checks."""

    def plus(self, check: str, count: int, faults: list[Fault]) -> "Report":
        """Return this report with the result of a further check."""
        return replace(self, checked=self.checked | {check: count}, faults=(*self.faults, *faults))


def verify(
    location: Location, *, quick: bool = False, progress: Callable[[ShardRecord], object] = lambda _: None
) -> Report:
    """Verify a set in a folder or at a URL.

    quick: check only the manifest and the sizes of the files. progress: called with the record of each shard after it
    has been read.
    """
    store = open_store(location)
    try:
        manifest = read_manifest(store)
    except InputError as fault:
        words = str(fault).removeprefix(f"{store.name(MANIFEST)} ")
        return Report(
            location=store.url, manifest=None, checked={"manifest": 1}, faults=(Fault("manifest", MANIFEST, words),)
        )
    expected = _expected_sizes(manifest)
    sizes = store.sizes(expected)
    report = Report(location=store.url, manifest=manifest, checked={})
    report = report.plus("manifest", 1, list(_manifest_faults(manifest)))
    report = report.plus("files", len(sizes), list(_file_faults(expected, sizes)))
    if quick:
        return report
    existing = {name: data for name, data in sidecars(manifest).items() if name in sizes}
    report = report.plus(
        "sidecars", len(existing), [f for name, data in existing.items() for f in _differs(store, name, data)]
    )
    shards = [shard for shard in manifest.shards if sizes.get(shard.file) == shard.bytes]
    with ThreadPoolExecutor(available_cores()) as threads:
        checks = [threads.submit(_check_shard, store, manifest.spec, shard) for shard in shards]
        faults: list[Fault] = []
        try:
            for shard, check in zip(shards, checks, strict=True):
                faults += check.result()
                progress(shard)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    samples = sum(shard.count for shard in shards)
    counts = {"checksums": len(shards), "samples": samples, "pixels": samples, "indexes": len(shards)}
    for check, count in counts.items():
        report = report.plus(check, count, [fault for fault in faults if fault.check == check])
    return report


def _manifest_faults(manifest: Manifest) -> Iterator[Fault]:
    if summarise(manifest.spec, manifest.shards, manifest.made_with) != manifest:
        yield Fault("manifest", MANIFEST, "its mean and std differ from those of its shards")


def _expected_sizes(manifest: Manifest) -> dict[str, int | None]:
    """Return the sizes of all files of a set in bytes, by name; None if the manifest does not determine it."""
    sizes: dict[str, int | None] = {MANIFEST: None}
    sizes |= {name: len(data) for name, data in sidecars(manifest).items()}
    sizes |= {index_name(shard.file): None for shard in manifest.shards}
    return sizes | {shard.file: shard.bytes for shard in manifest.shards}


def _file_faults(expected: dict[str, int | None], sizes: dict[str, int]) -> Iterator[Fault]:
    """Yield a fault for each file that is missing, has another size, or is not part of the set."""
    for name, size in expected.items():
        if name not in sizes:
            yield Fault("files", name, "is missing")
        elif size is not None and sizes[name] != size:
            yield Fault("files", name, f"has {sizes[name]} bytes instead of {size}")
    for name in sizes.keys() - expected.keys() - {LOCK}:
        if is_unrelated(name):
            continue
        is_working_file = name in (SPEC, PUBLISHING) or name.startswith(f"{RECORDS}/")
        unfinished = "is a working file of a command that has not finished: run that command again"
        words = unfinished if is_working_file else "is not part of the set"
        yield Fault("files", name, words)


def _differs(store: Store, name: str, data: bytes) -> Iterator[Fault]:
    try:
        if store.read(name) != data:
            yield Fault("sidecars", name, "does not match the manifest")
    except (FileNotFoundError, InputError) as fault:
        yield Fault("sidecars", name, str(fault))


@dataclass
class _Seen:
    """Results of one pass over a shard."""

    count: int = 0
    pixels: Any = field(default_factory=hashlib.sha256)
    levels: int = 0
    total: float = 0.0
    squares: float = 0.0
    index: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def _check_shard(store: Store, spec: SetSpec, shard: ShardRecord) -> list[Fault]:
    """Read a shard once and return its faults."""
    seen, stream = _Seen(index=[INDEX_HEADER.format(shard.count)]), Stream(store.chunks(shard.file))
    try:
        _check_samples(stream, store.name(shard.file), spec, shard, seen)
        digest = stream.digest()
    except FileNotFoundError:
        return [Fault("checksums", shard.file, "was removed during the verification")]
    if digest != shard.sha256:
        seen.faults.insert(0, Fault("checksums", shard.file, f"has sha256 {digest} instead of {shard.sha256}"))
    if not seen.faults:
        seen.faults += _pixel_faults(shard, seen)
        try:
            if store.read(index_name(shard.file)) != "".join(seen.index).encode():
                seen.faults.append(Fault("indexes", index_name(shard.file), "does not match the shard"))
        except FileNotFoundError:
            pass  # reported by the check of the files
    return seen.faults[:FAULTS_OF_A_SHARD]


def _check_samples(stream: Stream, name: str, spec: SetSpec, shard: ShardRecord, seen: _Seen) -> None:
    extensions = ["png", *["cls"] * bool(spec.categories), *["json"] * spec.with_parameters]
    parts: dict[str, bytes] = {}
    start = 0
    try:
        for member in scan(stream, name, shard.bytes):
            if member.extension != extensions[len(parts)]:
                raise InputError(
                    f"{name} has a member {member.extension!r} in sample {member.key}: expected {extensions}"
                )
            parts[member.extension] = stream.read(member.size)
            if len(parts) < len(extensions):
                continue
            index = shard.first_index + seen.count
            if member.key != f"{index:010d}":
                raise InputError(f"{name} has sample {member.key} instead of {index:010d}")
            _check_sample(spec, parts, index, shard.file, seen)
            seen.index.append(index_line(member.key, parts, start))
            seen.count += 1
            start = member.offset + member.size + -member.size % BLOCK
            parts = {}
        if parts or seen.count != shard.count:
            raise InputError(f"{name} has {seen.count} complete samples instead of {shard.count}")
    except InputError as fault:
        seen.faults.append(Fault("samples", shard.file, str(fault).removeprefix(f"{name} ")))


def _check_sample(spec: SetSpec, parts: dict[str, bytes], index: int, file: str, seen: _Seen) -> None:
    try:
        image = _image(parts["png"], spec)
        seen.pixels.update(np.ascontiguousarray(image).data)
        levels = image.astype(np.float64).ravel()
        seen.levels += levels.size
        seen.total += levels.sum()
        seen.squares += float(levels @ levels)
        if "cls" in parts and not (parts["cls"].isdigit() and int(parts["cls"][:20]) < spec.categories):
            raise InputError(f"class {parts['cls'][:20]!r} is not between 0 and {spec.categories - 1}")
        if "json" in parts and not isinstance(json.loads(parts["json"]), dict):
            raise InputError("its parameters are not a JSON object")
    except (ValueError, RecursionError) as fault:
        seen.faults.append(Fault("samples", file, f"sample {index}: {str(fault)[:200]}"))


def _image(data: bytes, spec: SetSpec) -> NDArray[np.uint8]:
    # The header is checked first, so that an image of another size is not decoded.
    if png_size(data) == (spec.height, spec.width):
        image = decode_png(data)
        if image.shape == (spec.height, spec.width) + (3,) * (spec.mode == "RGB"):
            return image
    raise InputError(f"its image is not {spec.height}x{spec.width} in mode {spec.mode}")


def _pixel_faults(shard: ShardRecord, seen: _Seen) -> Iterator[Fault]:
    mean, std = mean_and_std(seen.levels, float(seen.total), float(seen.squares))
    if seen.pixels.hexdigest() != shard.pixels_sha256:
        yield Fault("pixels", shard.file, "the digest of its pixels differs from the manifest")
    if (mean, std) != (shard.mean, shard.std):
        yield Fault("pixels", shard.file, f"has mean {mean} and std {std} instead of {shard.mean} and {shard.std}")
