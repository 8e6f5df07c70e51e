"""Tar files: the standard library reads the written files, and the reader rejects invalid ones."""

import io
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synpat_shards import read_members
from synpat_shards.tar import EXTENSIONS, scan, write_end, write_sample

keys = st.from_regex(r"[0-9a-z_]{1,40}", fullmatch=True)
parts = st.dictionaries(st.sampled_from(EXTENSIONS), st.binary(max_size=2000), min_size=1)


def tar_of(samples: dict[str, dict[str, bytes]]) -> bytes:
    file = io.BytesIO()
    for key, members in samples.items():
        write_sample(file, key, members)
    write_end(file)
    return file.getvalue()


@given(samples=st.dictionaries(keys, parts, max_size=5))
def test_the_standard_library_reads_what_was_written(samples: dict[str, dict[str, bytes]]):
    with tarfile.open(fileobj=io.BytesIO(tar_of(samples))) as tar:
        contents = {entry.name: tar.extractfile(entry).read() for entry in tar}  # pyright: ignore[reportOptionalMemberAccess]
    assert contents == {f"{key}.{ext}": data for key, members in samples.items() for ext, data in members.items()}


@given(key=keys, size=st.integers(0, 8**11 - 1))
def test_headers_equal_those_of_the_standard_library(key: str, size: int):
    from synpat_shards.tar import _header

    entry = tarfile.TarInfo(f"{key}.png")
    entry.size, entry.mode, entry.mtime = size, 0o444, 0
    assert _header(f"{key}.png", size) == entry.tobuf(tarfile.USTAR_FORMAT)


def test_members_have_the_right_positions(tmp_path: Path):
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of({"1": {"png": b"first", "cls": b"7"}, "2": {"png": b"x" * 513, "cls": b""}}))
    data = path.read_bytes()
    members = [(m.key, m.extension, data[m.offset : m.offset + m.size]) for m in read_members(path)]
    assert members == [("1", "png", b"first"), ("1", "cls", b"7"), ("2", "png", b"x" * 513), ("2", "cls", b"")]


@given(data=st.lists(st.tuples(st.binary(max_size=2000), st.integers(0, 99)), max_size=5))
def test_samples_are_read_back(data: list[tuple[bytes, int]]):
    samples = {f"{key:010d}": {"png": png, "cls": b"%d" % number} for key, (png, number) in enumerate(data)}
    tar = tar_of(samples)
    actual: dict[str, dict[str, bytes]] = {}
    for m in scan(io.BytesIO(tar), "a.tar", len(tar)):
        actual.setdefault(m.key, {})[m.extension] = tar[m.offset : m.offset + m.size]
    assert actual == samples


@given(seed=st.randoms(use_true_random=False), cut=st.integers(0, 4000), flips=st.integers(0, 3))
def test_random_bytes_are_read_as_samples_or_rejected(seed: random.Random, cut: int, flips: int):
    tar = bytearray(tar_of({f"{key:010d}": {"png": bytes(600), "cls": b"1"} for key in range(3)}))
    for _ in range(flips):
        tar[seed.randrange(len(tar))] = seed.randrange(256)
    tar = bytes(tar[: len(tar) - cut])
    try:
        members = list(scan(io.BytesIO(tar), "a.tar", len(tar)))
    except ValueError as error:
        message = str(error)
        assert message.startswith("a.tar ")
        assert "\n" not in message
    else:
        assert {m.extension for m in members} <= set(EXTENSIONS)
        assert all(m.offset + m.size <= len(tar) for m in members)


def malicious(name: str = "1.png", data: bytes = b"", **fields: object) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry.tobuf(tarfile.GNU_FORMAT) + data.ljust(-(-len(data) // 512) * 512, b"\0")


END = bytes(1024)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (malicious("../1.png") + END, "only regular files"),
        (malicious("/etc/passwd.png") + END, "only regular files"),
        (malicious("a/1.png") + END, "only regular files"),
        (malicious("a\\1.png") + END, "only regular files"),
        (malicious(type=tarfile.SYMTYPE, linkname="/etc/passwd") + END, "only regular files"),
        (malicious(type=tarfile.LNKTYPE, linkname="/etc/passwd") + END, "only regular files"),
        (malicious(type=tarfile.CHRTYPE) + END, "only regular files"),
        (malicious(type=tarfile.BLKTYPE) + END, "only regular files"),
        (malicious(type=tarfile.FIFOTYPE) + END, "only regular files"),
        (malicious(type=tarfile.DIRTYPE) + END, "only regular files"),
        (malicious(type=tarfile.GNUTYPE_SPARSE) + END, "only regular files"),
        (malicious(type=tarfile.XHDTYPE, data=b"20 path=../../x.png\n") + END, "only regular files"),
        (malicious(type=tarfile.GNUTYPE_LONGNAME, data=b"../../x.png\0") + END, "only regular files"),
        (malicious("nodot") + END, "only regular files"),
        (malicious("1.pickle") + END, "only regular files"),
        (malicious("1.pyd") + END, "only regular files"),
        (malicious("1.png.pkl") + END, "only regular files"),
        (malicious("1.\u202epng") + END, "only regular files"),
        (malicious("1\n.png") + END, r"'1\\n\.png'|only regular"),
        (malicious(size=10 << 30) + END, "not a valid tar|maximum is"),
        (malicious(size=(8 << 30) - 1) + END, "maximum is"),
        (malicious(size=5000) + END, "is truncated"),
        (malicious() + malicious() + END, "duplicate"),
        (malicious("2.png") + malicious("1.png") + END, "keys must be increasing"),
        (malicious("1.png") + malicious("1.cls") + malicious("2.png") + END, "sample 2 has no member cls"),
        (malicious("1.png") + malicious("2.json") + END, "out of order"),
        (malicious("1.png") + malicious("2.png") + malicious("2.cls") + END, "duplicate or out of order"),
        (malicious(), "two zero blocks at the end are missing"),
        (malicious() + bytes(512), "must end with at least two zero blocks"),
        (malicious() + END + malicious("2.png") + END, "must end with at least two zero blocks"),
        (malicious() + END + bytes(1 << 20), "must end with at least two zero blocks"),
        (b"\1" * 2048, "not a valid tar"),
        (b"", "is truncated"),
        (malicious()[:300], "is truncated"),
        (malicious().replace(b"1.png", b"2.png") + END, "not a valid tar"),
    ],
)
def test_invalid_shards_are_rejected_with_the_name_of_the_file(data: bytes, words: str, tmp_path: Path):
    path = tmp_path / "bad.tar"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"bad\.tar.*({words})") as error:
        list(read_members(path))
    assert "\n" not in str(error.value)
