"""The index of the images in a tar written by synpat or by another program."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from synpat_shards import encode_png, read_members
from synpat_train.data.tar_index import index_shard


def tar(path: Path, members: dict[str, bytes], style: int = tarfile.USTAR_FORMAT) -> Path:
    with tarfile.open(path, "w", format=style) as file:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return path


def test_index_of_a_synpat_shard_matches_the_shard_reader(perlin_set: Path):
    shard = perlin_set / "perlin-000001.tar"
    expected = [(m.key, m.offset, m.size) for m in read_members(shard) if m.extension == "png"]
    assert [(image.key, image.offset, image.size) for image in index_shard(shard)] == expected


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_images_of_any_tar_are_found_and_other_members_skipped(style: int, tmp_path: Path):
    long = "a/" + 60 * "long" + ".jpg"
    members = {"x/1.png": b"one", "x/1.cls": b"7", "2.JPEG": b"two", "2.pyd": b"bad", "3.seg.png": b"no"}
    members |= {} if style == tarfile.USTAR_FORMAT else {long: b"four"}
    path = tar(tmp_path / "t.tar", members, style)
    data = path.read_bytes()
    indexed = {image.key: data[image.offset : image.offset + image.size] for image in index_shard(path)}
    expected = {"x/1": b"one", "2": b"two"}
    assert indexed == (expected if style == tarfile.USTAR_FORMAT else expected | {long[:-4]: b"four"})


@pytest.mark.parametrize("length", [100, 700, 5000])
def test_error_for_truncated_tar_names_it(length: int, perlin_set: Path, tmp_path: Path):
    truncated = tmp_path / "truncated.tar"
    truncated.write_bytes((perlin_set / "perlin-000000.tar").read_bytes()[:length])
    with pytest.raises(ValueError, match=r"truncated\.tar is (truncated|not a valid tar)"):
        index_shard(truncated)


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_tar_truncated_between_two_images_is_rejected(style: int, tmp_path: Path):
    path = tar(tmp_path / "truncated.tar", {"é1.png": b"one", "é2.png": b"two"}, style)
    second = path.read_bytes().index(b"two")
    start = path.read_bytes().index(b"one") + 512
    assert start < second
    os.truncate(path, start)
    with pytest.raises(ValueError, match=r"truncated\.tar is not a valid tar file: it has no end marker"):
        index_shard(path)


def test_image_with_a_huge_size_in_its_header_is_rejected(tmp_path: Path):
    path = tar(tmp_path / "t.tar", {"1.png": small_png()})
    data = bytearray(path.read_bytes())
    entry = tarfile.TarInfo("1.png")
    entry.size = 1 << 32
    data[:512] = entry.tobuf(tarfile.USTAR_FORMAT)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"has a member '1\.png' of 4294967296 bytes"):
        index_shard(path)


def small_png() -> bytes:
    import numpy as np

    return encode_png(np.zeros((1, 1), np.uint8))
