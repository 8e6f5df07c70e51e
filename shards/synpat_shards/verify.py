"""Whether a set is what its manifest says: every file, every byte, every sample."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .manifest import (
    MANIFEST,
    Manifest,
    SetSpec,
    ShardRecord,
    read_manifest,
    summarise,
)
from .png import decode_png
from .reading import Stream
from .shard_set import LOCK, PUBLISHING, RECORDS, SPEC
from .sidecars import INDEX_HEADER, index_line, index_name, sidecars
from .store import Location, Store, open_store
from .system import available_cores
from .tar import BLOCK, scan

FAULTS_OF_A_SHARD = 10
"""How many faults of one shard are listed: one that is damaged throughout would fill the screen."""


@dataclass(frozen=True)
class Fault:
    """Something that is not as it should be."""

    check: str
    """Which of the checks found it."""
    file: str
    """The file's name in the set."""
    words: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was looked at, and what was wrong with it."""

    location: str
    manifest: Manifest | None
    """None if the set has none that can be read."""
    checked: dict[str, int]
    """How many things each check has looked at."""
    faults: tuple[Fault, ...] = ()

    def plus(self, check: str, count: int, faults: list[Fault]) -> "Report":
        """This report with a further check."""
        return replace(self, checked=self.checked | {check: count}, faults=(*self.faults, *faults))


def verify(
    location: Location, *, quick: bool = False, progress: Callable[[ShardRecord], object] = lambda _: None
) -> Report:
    """Check a set in a folder or behind a URL.

    quick: look at the manifest and the files' sizes alone. progress: called with each shard that has been read.
    """
    store = open_store(location)
    try:
        manifest = read_manifest(store)
    except InputError as fault:
        words = str(fault).removeprefix(f"{store.name(MANIFEST)} ")
        return Report(
            location=store.url, manifest=None, checked={"manifest": 1}, faults=(Fault("manifest", MANIFEST, words),)
        )
    sizes = store.sizes()
    report = Report(location=store.url, manifest=manifest, checked={})
    report = report.plus("manifest", 1, list(_manifest_faults(manifest)))
    report = report.plus("files", len(sizes), list(_file_faults(manifest, sizes)))
    if quick:
        return report
    there = {name: data for name, data in sidecars(manifest).items() if name in sizes}
    report = report.plus(
        "sidecars", len(there), [f for name, data in there.items() for f in _differs(store, name, data)]
    )
    whole = [shard for shard in manifest.shards if sizes.get(shard.file) == shard.bytes]
    with ThreadPoolExecutor(available_cores()) as threads:
        checks = [threads.submit(_check_shard, store, manifest.spec, shard) for shard in whole]
        found: list[Fault] = []
        try:
            for shard, check in zip(whole, checks, strict=True):
                found += check.result()
                progress(shard)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    samples = sum(shard.count for shard in whole)
    for check, count in {"checksums": len(whole), "samples": samples, "pixels": samples, "indexes": len(whole)}.items():
        report = report.plus(check, count, [fault for fault in found if fault.check == check])
    return report


def _manifest_faults(manifest: Manifest) -> Iterator[Fault]:
    if summarise(manifest.spec, manifest.shards, manifest.made_with) != manifest:
        yield Fault("manifest", MANIFEST, "its mean and std are not those of its shards")


def _file_faults(manifest: Manifest, sizes: dict[str, int]) -> Iterator[Fault]:
    """Files that are missing, of another size, or not of the set."""
    due: dict[str, int | None] = {MANIFEST: None}
    due |= {name: len(data) for name, data in sidecars(manifest).items()}
    due |= {index_name(shard.file): None for shard in manifest.shards}
    due |= {shard.file: shard.bytes for shard in manifest.shards}
    for name, size in due.items():
        if name not in sizes:
            yield Fault("files", name, "is missing")
        elif size is not None and sizes[name] != size:
            yield Fault("files", name, f"has {sizes[name]} bytes instead of {size}")
    for name in sizes.keys() - due.keys() - {LOCK}:
        scaffold = name in (SPEC, PUBLISHING) or name.startswith(f"{RECORDS}/")
        words = "was left by a command that has not finished: run it again" if scaffold else "is not of the set"
        yield Fault("files", name, words)


def _differs(store: Store, name: str, data: bytes) -> Iterator[Fault]:
    try:
        if store.read(name) != data:
            yield Fault("sidecars", name, "does not agree with the manifest")
    except (FileNotFoundError, InputError) as fault:
        yield Fault("sidecars", name, str(fault))


@dataclass
class _Seen:
    """What one pass over a shard adds up."""

    count: int = 0
    pixels: Any = field(default_factory=hashlib.sha256)
    levels: int = 0
    total: float = 0.0
    squares: float = 0.0
    index: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def _check_shard(store: Store, spec: SetSpec, shard: ShardRecord) -> list[Fault]:
    """Read a shard from its first byte to its last, once."""
    seen, stream = _Seen(index=[INDEX_HEADER.format(shard.count)]), Stream(store.chunks(shard.file))
    try:
        _check_samples(stream, store.name(shard.file), spec, shard, seen)
        digest = stream.digest()
    except FileNotFoundError:
        return [Fault("checksums", shard.file, "has gone while we looked")]
    if digest != shard.sha256:
        seen.faults.insert(0, Fault("checksums", shard.file, f"has sha256 {digest} instead of {shard.sha256}"))
    if not seen.faults:
        seen.faults += _pixel_faults(shard, seen)
        try:
            if store.read(index_name(shard.file)) != "".join(seen.index).encode():
                seen.faults.append(Fault("indexes", index_name(shard.file), "does not agree with the shard"))
        except FileNotFoundError:
            pass  # said already, among the files
    return seen.faults[:FAULTS_OF_A_SHARD]


def _check_samples(stream: Stream, name: str, spec: SetSpec, shard: ShardRecord, seen: _Seen) -> None:
    extensions = ["png", *["cls"] * bool(spec.categories), *["json"] * spec.with_parameters]
    parts: dict[str, bytes] = {}
    start = 0
    try:
        for member in scan(stream, name, shard.bytes):
            if member.extension != extensions[len(parts)]:
                raise InputError(
                    f"{name} has a member {member.extension!r} in sample {member.key}: {extensions} are due"
                )
            parts[member.extension] = stream.read(member.size)
            if len(parts) < len(extensions):
                continue
            index = shard.first_index + seen.count
            if member.key != f"{index:010d}":
                raise InputError(f"{name} has sample {member.key} in the place of {index:010d}")
            _check_sample(spec, parts, index, shard.file, seen)
            seen.index.append(index_line(member.key, parts, start))
            seen.count += 1
            start = member.offset + member.size + -member.size % BLOCK
            parts = {}
        if parts or seen.count != shard.count:
            raise InputError(f"{name} has {seen.count} whole samples instead of {shard.count}")
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
            raise InputError(f"class {parts['cls'][:20]!r} is none of 0 to {spec.categories - 1}")
        if "json" in parts and not isinstance(json.loads(parts["json"]), dict):
            raise InputError("its parameters are no JSON object")
    except (ValueError, RecursionError) as fault:
        seen.faults.append(Fault("samples", file, f"sample {index}: {str(fault)[:200]}"))


def _image(data: bytes, spec: SetSpec) -> NDArray[np.uint8]:
    # The header first: what says that it is larger is not decoded at all.
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if (height, width) == (spec.height, spec.width):
        image = decode_png(data)
        if image.shape == (height, width) + (3,) * (spec.mode == "RGB"):
            return image
    raise InputError(f"its image is not {spec.height}x{spec.width} in mode {spec.mode}")


def _pixel_faults(shard: ShardRecord, seen: _Seen) -> Iterator[Fault]:
    mean = float(seen.total / seen.levels)
    std = math.sqrt(max(float(seen.squares / seen.levels) - mean**2, 0.0))
    if seen.pixels.hexdigest() != shard.pixels_sha256:
        yield Fault("pixels", shard.file, "its pixels have another digest than the manifest says")
    if (mean, std) != (shard.mean, shard.std):
        yield Fault("pixels", shard.file, f"has mean {mean} and std {std} instead of {shard.mean} and {shard.std}")
