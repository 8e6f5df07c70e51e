"""Tar: the standard library agrees with what is written; the reader trusts nothing."""

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synpat_shards import read_members
from synpat_shards.tar import write_end, write_sample

keys = st.from_regex(r"[0-9a-z_]{1,40}", fullmatch=True)
parts = st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.binary(max_size=2000), min_size=1, max_size=3)


def tar_of(samples: dict[str, dict[str, bytes]]) -> bytes:
    file = io.BytesIO()
    for key, members in samples.items():
        write_sample(file, key, members)
    write_end(file)
    return file.getvalue()


@given(samples=st.dictionaries(keys, parts, max_size=5))
def test_the_standard_library_reads_what_was_written(samples: dict[str, dict[str, bytes]]):
    with tarfile.open(fileobj=io.BytesIO(tar_of(samples))) as tar:
        found = {entry.name: tar.extractfile(entry).read() for entry in tar}  # pyright: ignore[reportOptionalMemberAccess]
    assert found == {f"{key}.{ext}": data for key, members in samples.items() for ext, data in members.items()}


@given(key=keys, size=st.integers(0, 8**11 - 1))
def test_headers_are_the_standard_librarys_to_the_byte(key: str, size: int):
    from synpat_shards.tar import _header

    entry = tarfile.TarInfo(f"{key}.png")
    entry.size, entry.mode, entry.mtime = size, 0o444, 0
    assert _header(f"{key}.png", size) == entry.tobuf(tarfile.USTAR_FORMAT)


def test_members_are_found_where_they_lie(tmp_path: Path):
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of({"1": {"png": b"first", "cls": b"7"}, "2": {"png": b"x" * 513}}))
    data = path.read_bytes()
    found = [(m.key, m.extension, data[m.offset : m.offset + m.size]) for m in read_members(path)]
    assert found == [("1", "png", b"first"), ("1", "cls", b"7"), ("2", "png", b"x" * 513)]


def hostile(**fields: object) -> bytes:
    entry = tarfile.TarInfo("1.png")
    for name, value in fields.items():
        setattr(entry, name, value)
    return entry.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (hostile(name="../1.png"), "only regular files"),
        (hostile(name="/etc/passwd.png"), "only regular files"),
        (hostile(type=tarfile.SYMTYPE, linkname="/etc/passwd"), "only regular files"),
        (hostile(type=tarfile.CHRTYPE), "only regular files"),
        (hostile(name="nodot"), "only regular files"),
        (hostile(size=10 << 30), "is the most"),
        (hostile(size=5000), "is torn"),
        (b"\1" * 2048, "no whole tar"),
        (tar_of({"1": {"png": b"abc"}})[:300], "no whole tar"),
    ],
)
def test_anything_but_plain_samples_is_refused_with_the_file_named(data: bytes, words: str, tmp_path: Path):
    path = tmp_path / "bad.tar"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"bad\.tar.*{words}"):
        list(read_members(path))
