"""Copying of a finished set to a URL or another folder.

The manifest is written last, so that a reader never sees an incomplete set. During the copy, a small file identifies
the set. The same set can then be continued after an interruption; a different one is rejected.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from .errors import InputError, some
from .manifest import (
    MANIFEST,
    PUBLISHING,
    SPEC,
    Manifest,
    ShardRecord,
    read_manifest,
    to_json,
)
from .shard_set import open_set, other_files, remove_working_files
from .sidecars import index_name, sidecars
from .store import CHUNK, Location, Store, open_store

UPLOADS = 4
"""Number of simultaneous uploads of shards."""


def publish(
    source: Location, target: Location, progress: Callable[[ShardRecord, bool], object] = lambda *_: None
) -> Manifest:
    """Copy a finished set and write its manifest last. Shards that exist with the right checksum are skipped.

    progress: called with each shard record, and True if the shard was already present. Raises InputError if the source
    does not match its manifest, or if the target has other content.
    """
    origin, destination = open_store(source), open_store(target)
    manifest = open_set(origin)
    _claim(destination, manifest)
    sizes = destination.sizes()
    uploads = 1 if destination.protocol == "hf" else UPLOADS  # on Hugging Face each file is a commit; two would collide
    with ThreadPoolExecutor(uploads) as threads:
        copying = {threads.submit(_copy_shard, origin, destination, shard, sizes): shard for shard in manifest.shards}
        try:
            for copy in as_completed(copying):
                progress(copying[copy], copy.result())
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    for name, data in sidecars(manifest).items():
        if name not in sizes or destination.read(name) != data:
            destination.put(name, data)
    _confirm(destination, manifest)
    if MANIFEST not in sizes or read_manifest(destination) != manifest:
        destination.put(MANIFEST, to_json(manifest))
    remove_working_files(destination)
    return manifest


def _claim(target: Store, manifest: Manifest) -> None:
    """Reserve the target for this set. Raises InputError if it belongs to another set or has other files."""
    if target.exists(SPEC):
        raise InputError(
            f"{target.url} is being written by `synpat render`: finish that first, or choose another target"
        )
    _reject_other_set(target, manifest)
    others = other_files(target)
    # These checks come after the listing and in this order. Another publisher writes PUBLISHING before its first file
    # and MANIFEST before it removes PUBLISHING, so one of the two exists if the files are those of a set.
    if others and not (target.exists(PUBLISHING) or target.exists(MANIFEST)):
        raise InputError(
            f"{target.url} is not empty and contains no shard set, but {some(others)}: choose another target"
        )
    digest = hashlib.sha256(to_json(manifest)).hexdigest()
    claim = json.dumps({"set": _description(manifest), "manifest_sha256": digest}).encode()
    if target.claim(PUBLISHING, claim) != claim:
        raise InputError(
            f"another set is being published to {target.url}: choose another target. If that upload was abandoned, "
            f"remove its files and {PUBLISHING}"
        )
    try:
        _reject_other_set(target, manifest)  # another one may have been finished since the first check
    except InputError:
        target.remove(PUBLISHING)
        raise


def _reject_other_set(target: Store, manifest: Manifest) -> None:
    if not target.exists(MANIFEST):
        return
    old = read_manifest(target)
    if old.shards != manifest.shards[: len(old.shards)] or not _is_extension(old, manifest):
        raise InputError(
            f"{target.url} contains another set ({_description(old)}; this one is {_description(manifest)}): "
            "choose another target, or remove that set"
        )


def _is_extension(old: Manifest, new: Manifest) -> bool:
    """Return True if two sets have the same specification, except for the number of samples."""
    return old.spec == replace(new.spec, n=old.spec.n, extended_at=old.spec.extended_at)


def _description(manifest: Manifest) -> str:
    spec = manifest.spec
    digest = hashlib.sha256(to_json(manifest)).hexdigest()[:8]
    return f"{spec.n} samples of {spec.family} with seed {spec.seed}, digest {digest}"


def _copy_shard(source: Store, target: Store, shard: ShardRecord, sizes: dict[str, int]) -> bool:
    """Copy a shard after its index. Return True if the shard was already present."""
    index = source.read(index_name(shard.file))
    if index_name(shard.file) not in sizes or target.read(index_name(shard.file)) != index:
        target.put(index_name(shard.file), index)
    with _opened(source, shard.file) as file:
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        while piece := file.read(CHUNK):
            sha256.update(piece)
            md5.update(piece)
        if sha256.hexdigest() != shard.sha256:
            raise InputError(f"{source.name(shard.file)} is corrupt: render it again before publishing the set")
        if sizes.get(shard.file) == shard.bytes and (
            target.md5(shard.file) == md5.hexdigest() or target.sha256(shard.file) == shard.sha256
        ):
            return True
        file.seek(0)
        target.put(shard.file, file)
    return False


@contextmanager
def _opened(store: Store, name: str) -> Iterator[BinaryIO]:
    """Open a file that can be read more than once. A remote file is copied to an unnamed temporary file."""
    if store.is_local:
        with Path(store.root, name).open("rb") as file:
            yield file
    else:
        with TemporaryFile() as file:
            for piece in store.chunks(name):
                file.write(piece)
            file.seek(0)
            yield file


def _confirm(target: Store, manifest: Manifest) -> None:
    """Check that all shards exist with the right size. Raises InputError otherwise."""
    sizes = target.sizes()
    for shard in manifest.shards:
        if sizes.get(shard.file) != shard.bytes:
            raise InputError(
                f"{target.name(shard.file)} has {sizes.get(shard.file, 0)} bytes instead of {shard.bytes} after the "
                "upload: run the same command again"
            )
