"""Verification: every difference between a set and its manifest is reported, and a valid set has no fault."""

import hashlib
import io
import json
import shutil
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from synpat_shards import Report, verify

SHARD = "perlin-000001.tar"


@pytest.fixture
def folder(perlin_set: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(perlin_set, tmp_path / "set"))


def edit_manifest(folder: Path, change: Callable[[dict], object]) -> None:
    path = folder / ".synpat" / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=1) + "\n")


def faults(report: Report) -> set[tuple[str, str]]:
    return {(fault.check, fault.file) for fault in report.faults}


def test_a_valid_set_has_no_fault(folder: Path):
    seen = []
    report = verify(folder, progress=lambda shard: seen.append(shard.file))
    assert report.faults == ()
    assert report.checked["samples"] == 100
    assert seen == [f"perlin-{number:06d}.tar" for number in range(4)]


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "check", "file", "words", "seen_by_quick"),
    [
        (lambda f: (f / SHARD).unlink(), "files", SHARD, "is missing", True),
        (lambda f: (f / SHARD).write_bytes(b""), "files", SHARD, "has 0 bytes instead of", True),
        (lambda f: (f / "notes.txt").touch(), "files", "notes.txt", "is not part of the set", True),
        (lambda f: (f / "x").mkdir() or (f / "x" / "y").touch(), "files", "x/y", "is not part of the set", True),
        (lambda f: (f / ".synpat" / "spec.json").touch(), "files", ".synpat/spec.json", "has not finished", True),
        (lambda f: (f / "sizes.json").unlink(), "files", "sizes.json", "is missing", True),
        (lambda f: flip(f / "README.md", 99), "sidecars", "README.md", "does not match the manifest", False),
        (lambda f: flip(f / "SHA256SUMS", 9), "sidecars", "SHA256SUMS", "does not match the manifest", False),
        (lambda f: flip(f / SHARD, 700), "checksums", SHARD, "has sha256", False),
        (lambda f: flip(f / SHARD, 700), "samples", SHARD, "sample 25: ", False),
        (lambda f: flip(f / SHARD, 3), "samples", SHARD, "there is no ustar header at byte", False),
        (
            lambda f: flip(f / ".synpat" / "perlin-000001.idx", 20),
            "indexes",
            ".synpat/perlin-000001.idx",
            "does not match the shard",
            False,
        ),
        (
            lambda f: edit_manifest(f, lambda m: m.update(mean=1.0)),
            "manifest",
            ".synpat/manifest.json",
            "differ from those of its shards",
            True,
        ),
        (
            lambda f: edit_manifest(f, lambda m: m["shards"][1].update(pixels_sha256="0" * 64)),
            "pixels",
            SHARD,
            "the digest of its pixels differs",
            False,
        ),
        (lambda f: edit_manifest(f, lambda m: m["shards"][1].update(std=1.0)), "pixels", SHARD, "and 1.0", True),
        (lambda f: edit_manifest(f, lambda m: m["spec"].update(height=79)), "samples", SHARD, "is not 79x208", False),
        (lambda f: edit_manifest(f, lambda m: m["spec"].update(mode="RGB")), "samples", SHARD, "mode RGB", True),
        (
            lambda f: edit_manifest(f, lambda m: m["spec"].update(categories=9)),
            "samples",
            SHARD,
            "is not between 0 and 8",
            True,
        ),
        (
            lambda f: edit_manifest(f, lambda m: m["spec"].update(with_parameters=True)),
            "samples",
            SHARD,
            "'png' in sample 0000000026: expected ['png', 'cls', 'json']",
            True,
        ),
        (
            lambda f: edit_manifest(f, lambda m: m.update(schema=7)),
            "manifest",
            ".synpat/manifest.json",
            "has schema 7",
            True,
        ),
    ],
)
def test_every_fault_is_reported(
    damage: Callable[[Path], object], check: str, file: str, words: str, seen_by_quick: bool, folder: Path
):
    damage(folder)
    all_faults = verify(folder).faults
    assert (check, file) in {(fault.check, fault.file) for fault in all_faults}
    assert any(words in fault.words for fault in all_faults)
    assert bool(verify(folder, quick=True).faults) == seen_by_quick


def repack(folder: Path, change: Callable[[str, bytes], tuple[str, bytes]]) -> None:
    """Replace the members of a shard, and its size and checksum in the manifest."""
    path = folder / SHARD
    with tarfile.open(path) as tar:
        members = [(entry.name, tar.extractfile(entry).read()) for entry in tar]  # pyright: ignore[reportOptionalMemberAccess]
    path.unlink()
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            (entry := tarfile.TarInfo()).name, data = change(name, data)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_manifest(folder, lambda m: m["shards"][1].update(sha256=digest, bytes=path.stat().st_size))


def test_exchanged_images_are_detected(folder: Path):
    with tarfile.open(folder / SHARD) as tar:
        images = {entry.name: tar.extractfile(entry).read() for entry in tar}  # pyright: ignore[reportOptionalMemberAccess]
    swap = {"0000000025.png": "0000000026.png", "0000000026.png": "0000000025.png"}
    repack(folder, lambda name, data: (name, images[swap[name]] if name in swap else data))
    assert ("pixels", SHARD) in faults(verify(folder))


def test_a_wrong_key_is_detected(folder: Path):
    repack(folder, lambda name, data: (name.replace("000000004", "000000009"), data))
    assert any("instead of 0000000040" in fault.words for fault in verify(folder).faults)


def test_an_image_with_a_huge_size_in_its_header_is_not_decoded(folder: Path):
    huge = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + 2 * (1 << 16).to_bytes(4) + b"\x08\0\0\0\0" + bytes(100)
    repack(folder, lambda name, data: (name, huge if name == "0000000030.png" else data))
    assert any("sample 30: its image is not 80x208" in fault.words for fault in verify(folder).faults)


def test_an_image_without_pixels_is_a_fault(folder: Path):
    """Pillow raises an IndexError on this file, which was found by fuzzing."""
    header = b"\0\0\0\rIHDR" + (208).to_bytes(4) + (80).to_bytes(4) + b"\x08\0\0\0\0"
    empty = b"\x89PNG\r\n\x1a\n" + header + zlib.crc32(header[4:]).to_bytes(4) + b"\0\0\0\0IEND\xaeB`\x82"
    repack(folder, lambda name, data: (name, empty if name == "0000000030.png" else data))
    assert any("sample 30: not a valid PNG" in fault.words for fault in verify(folder).faults)


def test_files_of_systems_and_tools_are_no_faults(folder: Path):
    (folder / ".cache" / "huggingface" / "download").mkdir(parents=True)
    (folder / "lost+found").mkdir()
    for name in (".gitattributes", ".cache/huggingface/download/README.md.metadata", ".DS_Store", "._x.tar", "log"):
        (folder / name).touch()
    assert not verify(folder).faults
    (folder / "x.tar").touch()
    assert faults(verify(folder)) == {("files", "x.tar")}


def test_a_folder_without_a_set_is_a_fault(tmp_path: Path):
    (fault,) = verify(tmp_path).faults
    assert (fault.check, fault.file) == ("manifest", ".synpat/manifest.json")
    assert "is empty: it contains no shard set" in fault.words


def test_a_set_at_a_url_is_verified_like_one_in_a_folder(folder: Path, s3: str):
    from synpat_shards import open_store, publish

    publish(folder, s3)
    assert verify(s3) == replace(verify(folder), location=s3)
    data = bytearray((folder / SHARD).read_bytes())
    data[700] ^= 1
    open_store(s3).put(SHARD, bytes(data))
    assert {("checksums", SHARD), ("samples", SHARD)} <= faults(verify(s3))
