"""Copying a finished set to where others find it: a store behind a URL, or another folder.

The manifest goes last, so that a reader never sees a set that is not whole. While it is on its way, a small file says
which set it is: the same one is taken up where it was left, a different one is refused.
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

from .errors import InputError
from .manifest import (
    FOLDER,
    MANIFEST,
    Manifest,
    ShardRecord,
    read_manifest,
    to_json,
)
from .shard_set import PUBLISHING, SPEC, open_set, remove_working_files
from .sidecars import index_name, sidecars
from .store import CHUNK, Location, Store, open_store

UPLOADS = 4
"""Shards on their way at once."""


def publish(
    source: Location, target: Location, progress: Callable[[ShardRecord, bool], object] = lambda *_: None
) -> Manifest:
    """Copy a finished set, shards that are there and verified left out, its manifest last.

    progress: called with each shard, and whether it was there already. Raises InputError if the source is not what
    its manifest says, or if the target holds anything else.
    """
    here, there = open_store(source), open_store(target)
    manifest = open_set(here)
    _claim(there, manifest)
    sizes = there.sizes()
    uploads = 1 if there.protocol == "hf" else UPLOADS  # each file is a commit there, and two at once collide
    with ThreadPoolExecutor(uploads) as threads:
        copying = {threads.submit(_copy_shard, here, there, shard, sizes): shard for shard in manifest.shards}
        try:
            for copy in as_completed(copying):
                progress(copying[copy], copy.result())
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    for name, data in sidecars(manifest).items():
        if name not in sizes or there.read(name) != data:
            there.put(name, data)
    _confirm(there, manifest)
    if MANIFEST not in sizes or read_manifest(there) != manifest:
        there.put(MANIFEST, to_json(manifest))
    remove_working_files(there)
    return manifest


def _claim(there: Store, manifest: Manifest) -> None:
    """Make the target ours. Raises InputError if it is another set's, or not empty."""
    if there.exists(SPEC):
        raise InputError(f"{there.url} is being filled by `synpat render`: finish that first, or choose another place")
    _refuse_another(there, manifest)
    filled = any(not name.startswith(f"{FOLDER}/") for name in there.sizes())
    # Asked after the listing, and in this order: whoever filled it was there first, and is now, or left a manifest.
    if filled and not (there.exists(PUBLISHING) or there.exists(MANIFEST)):
        raise InputError(f"{there.url} is not empty and holds no shard set: choose another place")
    digest = hashlib.sha256(to_json(manifest)).hexdigest()
    claim = json.dumps({"set": _in_words(manifest), "manifest_sha256": digest}).encode()
    if there.claim(PUBLISHING, claim) != claim:
        raise InputError(
            f"another set is being published to {there.url}: choose another place. If that was given up, remove it, "
            f"{PUBLISHING} with it"
        )
    try:
        _refuse_another(there, manifest)  # which may have been finished, and its claim taken away, since we looked
    except InputError:
        there.remove(PUBLISHING)
        raise


def _refuse_another(there: Store, manifest: Manifest) -> None:
    if not there.exists(MANIFEST):
        return
    old = read_manifest(there)
    if old.shards != manifest.shards[: len(old.shards)] or not _is_the_same_but_longer(old, manifest):
        raise InputError(
            f"{there.url} holds another set ({_in_words(old)}; this one is {_in_words(manifest)}): "
            "choose another place, or remove that one"
        )


def _is_the_same_but_longer(old: Manifest, new: Manifest) -> bool:
    return old.spec == replace(new.spec, n=old.spec.n, extended_at=old.spec.extended_at)


def _in_words(manifest: Manifest) -> str:
    spec = manifest.spec
    digest = hashlib.sha256(to_json(manifest)).hexdigest()[:8]
    return f"{spec.n} samples of {spec.family} with seed {spec.seed}, digest {digest}"


def _copy_shard(here: Store, there: Store, shard: ShardRecord, sizes: dict[str, int]) -> bool:
    """Copy a shard and its index; whether both were there. The index comes first: it is worth nothing alone."""
    index = here.read(index_name(shard.file))
    if index_name(shard.file) not in sizes or there.read(index_name(shard.file)) != index:
        there.put(index_name(shard.file), index)
    with _opened(here, shard.file) as file:
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        while piece := file.read(CHUNK):
            sha256.update(piece)
            md5.update(piece)
        if sha256.hexdigest() != shard.sha256:
            raise InputError(f"{here.name(shard.file)} is damaged: render it again before it is published")
        if sizes.get(shard.file) == shard.bytes and (
            there.md5(shard.file) == md5.hexdigest() or there.sha256(shard.file) == shard.sha256
        ):
            return True
        file.seek(0)
        there.put(shard.file, file)
    return False


@contextmanager
def _opened(store: Store, name: str) -> Iterator[BinaryIO]:
    """A file to read more than once; one behind a URL is fetched for that into a file without a name."""
    if store.is_local:
        with Path(store.root, name).open("rb") as file:
            yield file
    else:
        with TemporaryFile() as file:
            for piece in store.chunks(name):
                file.write(piece)
            file.seek(0)
            yield file


def _confirm(there: Store, manifest: Manifest) -> None:
    """See that everything has arrived at its full size."""
    sizes = there.sizes()
    for shard in manifest.shards:
        if sizes.get(shard.file) != shard.bytes:
            raise InputError(
                f"{there.name(shard.file)} has {sizes.get(shard.file, 0)} bytes after {shard.bytes} were sent: "
                "run the same command again"
            )
