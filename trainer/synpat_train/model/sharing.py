"""Encoders at URLs: downloading into the user's cache, publishing, and the checksums of their files."""

import hashlib
from pathlib import Path

from synpat_shards import InputError, Location, Store, atomic_file, is_unrelated, is_url, open_store, some
from synpat_train.cache import default_cache
from synpat_train.progress import print_message

WEIGHTS, DESCRIPTION = "model.safetensors", "config.json"
ENCODER_FILES = (DESCRIPTION, WEIGHTS)
"""Files of an exported encoder, in timm's `local-dir:` layout."""
SUMS = "SHA256SUMS"
"""Checksums of these files, for `sha256sum -c`. Encoders of other programs do not have this file."""
CARD = "README.md"
HUB = "hf-hub:"
"""Prefix with which timm names a repository of the Hugging Face Hub."""


def is_remote(location: str | Path) -> bool:
    """Return True for a URL, and for hf-hub:USER/NAME."""
    return is_url(location) or str(location).startswith(HUB)


def open_location(location: Location) -> Store:
    """Return the store of a folder, of a URL, or of hf-hub:USER/NAME."""
    text = str(location)
    return open_store(f"hf://{text.removeprefix(HUB)}" if text.startswith(HUB) else location)


def checksums(folder: Path) -> str:
    """Return the content of SHA256SUMS for the encoder in a folder."""
    return "".join(f"{_sha256(folder / name)}  {name}\n" for name in ENCODER_FILES)


def check_files(folder: Path) -> None:
    """Raise InputError if a file of an encoder differs from its checksum, if the folder has checksums."""
    for name, digest in (_parse((folder / SUMS).read_text()) if (folder / SUMS).exists() else {}).items():
        if _sha256(folder / name) != digest:
            raise InputError(f"{folder / name} is corrupt: it differs from {SUMS}. Export or download it again")


def download(location: str) -> Path:
    """Return a local folder with the encoder at a URL, in the user's cache. Files that are already there are reused.

    Raises InputError if there is no encoder or if a checksum is wrong, OSError if the store cannot be reached.
    """
    store = open_location(location)
    if not store.exists(DESCRIPTION):
        store = store.child("encoder")  # of a copied run folder
    if missing := [name for name in ENCODER_FILES if not store.exists(name)]:
        raise InputError(
            f"{open_location(location).url} contains no encoder: {' and '.join(missing)} do not exist there"
        )
    names = [name for name in (SUMS, DESCRIPTION) if store.exists(name)]
    small = {name: store.read(name) for name in names}
    digests = _parse(small.get(SUMS, b"").decode(errors="replace"))
    identity = "\n".join([store.url, str(store.size(WEIGHTS)), *(hashlib.sha256(small[n]).hexdigest() for n in small)])
    folder = default_cache() / "encoders" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS, *names):
        if not (folder / name).exists():
            print_message(f"downloading {store.name(name)}")
            _fetch(store, name, folder / name, digests.get(name))
    return folder


def push(folder: Path, location: Location) -> str:
    """Publish the encoder in a folder, with its model card, to another folder or URL. Return its location.

    The description is written last, so that a reader never sees an incomplete encoder. An interrupted upload is
    continued. Raises InputError if the target has other content, or another encoder.
    """
    check_files(folder)
    target, sums = open_location(location), checksums(folder).encode()
    others = [name for name in target.sizes() if not is_unrelated(name)]
    if others and SUMS not in others:
        raise InputError(f"{target.url} is not empty, but contains {some(others)}: choose another target")
    if target.claim(SUMS, sums) != sums:
        raise InputError(f"{target.url} contains another encoder: choose another target, or remove that encoder")
    for name in (WEIGHTS, CARD, DESCRIPTION):
        if (folder / name).exists():
            with (folder / name).open("rb") as file:
                target.put(name, file)
    return target.url


def _fetch(store: Store, name: str, to: Path, sha256: str | None) -> None:
    digest = hashlib.sha256()
    with atomic_file(to) as file:
        for piece in store.chunks(name):
            file.write(piece)
            digest.update(piece)
        if sha256 not in (None, digest.hexdigest()):
            raise InputError(f"{store.name(name)} is corrupt: it differs from {SUMS}. Publish it again")


def _parse(sums: str) -> dict[str, str]:
    """Return the checksums of the files of an encoder, by name."""
    lines = (line.split() for line in sums.splitlines())
    return {words[1]: words[0] for words in lines if len(words) == 2 and words[1] in ENCODER_FILES}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
