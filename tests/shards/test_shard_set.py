"""Sets in a folder: writing, completion, validation of the manifest, and extension."""

import contextlib
import hashlib
import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synpat_shards import (
    ENCODING,
    InputError,
    Sample,
    SetSpec,
    ShardRecord,
    begin_set,
    complete_set,
    decode_png,
    finished_shards,
    lock_set,
    open_set,
    open_store,
    read_manifest,
    read_members,
    write_shard,
)
from synpat_shards.manifest import manifest_from_json, summarise, to_json
from synpat_shards.shard_set import extended

SPEC = SetSpec(
    family="ramp",
    family_version=1,
    parameters={},
    categories=3,
    seed=0,
    n=10,
    samples_per_shard=4,
    height=6,
    width=9,
    mode="L",
    render_size=None,
    with_parameters=True,
    encoding=ENCODING,
)


MANIFEST = summarise(
    SPEC,
    [
        ShardRecord(
            file=SPEC.shard_name(number),
            first_index=SPEC.shard_indices(number).start,
            count=len(SPEC.shard_indices(number)),
            bytes=2048,
            sha256="0" * 64,
            pixels_sha256="0" * 64,
            rejects=0,
            mean=1.0,
            std=1.0,
        )
        for number in range(SPEC.shard_count)
    ],
    {"synpat": "test"},
)


def ramp(index: int) -> Sample:
    image = (np.arange(54).reshape(6, 9) * (index + 1)).astype(np.uint8)
    return Sample(index=index, image=image, category=index % 3, parameters={"a": 1}, rejects=index % 2)


def fill(folder: Path) -> None:
    begin_set(open_store(folder), SPEC)
    for number in range(SPEC.shard_count):
        write_shard(open_store(folder), SPEC, number, map(ramp, SPEC.shard_indices(number)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path / "ramp")
    records = finished_shards(open_store(tmp_path / "ramp"), SPEC)
    complete_set(open_store(tmp_path / "ramp"), SPEC, [records[k] for k in range(3)], {"synpat": "test"})
    return tmp_path / "ramp"


def test_samples_are_read_back_with_class_and_parameters(folder: Path):
    manifest = open_set(folder)
    members = {}
    for shard in manifest.shards:
        data = (folder / shard.file).read_bytes()
        for m in read_members(folder / shard.file):
            members[m.key, m.extension] = data[m.offset : m.offset + m.size]
    for index in range(10):
        assert np.array_equal(decode_png(members[f"{index:010d}", "png"]), ramp(index).image)
        assert members[f"{index:010d}", "cls"] == str(index % 3).encode()
        assert members[f"{index:010d}", "json"] == b'{"a": 1}'
    assert len(members) == 30


def test_the_manifest_describes_every_shard(folder: Path):
    manifest = read_manifest(folder)
    assert [(s.file, s.first_index, s.count) for s in manifest.shards] == [
        ("ramp-000000.tar", 0, 4),
        ("ramp-000001.tar", 4, 4),
        ("ramp-000002.tar", 8, 2),
    ]
    for shard in manifest.shards:
        pixels = np.stack([ramp(i).image for i in range(shard.first_index, shard.first_index + shard.count)])
        assert shard.sha256 == hashlib.sha256((folder / shard.file).read_bytes()).hexdigest()
        assert shard.pixels_sha256 == hashlib.sha256(pixels.tobytes()).hexdigest()
        assert (shard.mean, shard.std) == pytest.approx((pixels.mean(), pixels.std()))
        assert shard.bytes == (folder / shard.file).stat().st_size
    pixels = np.stack([ramp(i).image for i in range(10)])
    assert (manifest.mean, manifest.std) == pytest.approx((pixels.mean(), pixels.std()))
    assert sum(shard.rejects for shard in manifest.shards) == 5


def test_sha256sum_verifies_the_checksums(folder: Path):
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)


def test_a_finished_folder_contains_only_the_set(folder: Path):
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    shards = {shard.file for shard in read_manifest(folder).shards}
    sidecars = {f".synpat/{name}" for name in ("manifest.json", "index.json", "croissant.json")}
    indexes = {f".synpat/{name.removesuffix('.tar')}.idx" for name in shards}
    people = {"README.md", "SHA256SUMS", "_info.json", "sizes.json"}
    assert names == shards | people | {".synpat"} | sidecars | indexes


def test_an_interrupted_shard_leaves_no_files(tmp_path: Path):
    def fails():
        yield ramp(0)
        raise OSError(28, "No space left on device")

    begin_set(open_store(tmp_path / "ramp"), SPEC)
    with pytest.raises(OSError, match="No space left"):
        write_shard(open_store(tmp_path / "ramp"), SPEC, 0, fails())
    assert [path.name for path in (tmp_path / "ramp").iterdir()] == [".synpat"]
    assert finished_shards(open_store(tmp_path / "ramp"), SPEC) == {}


def test_only_shards_with_the_recorded_bytes_count_as_finished(tmp_path: Path):
    folder = tmp_path / "ramp"
    fill(folder)
    changed = bytearray((folder / "ramp-000001.tar").read_bytes())
    changed[700] ^= 1
    (folder / "ramp-000001.tar").write_bytes(changed)
    (folder / "ramp-000002.tar").unlink()
    assert list(finished_shards(open_store(folder), SPEC)) == [0]


def test_another_specification_is_rejected_with_the_differences(folder: Path):
    with pytest.raises(ValueError, match="seed is 0, not 5"):
        begin_set(open_store(folder), replace(SPEC, seed=5))
    begin_set(open_store(folder), SPEC)  # the same specification is accepted


def test_a_folder_with_other_files_is_rejected_and_not_changed(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="is not empty and contains no shard set"):
        begin_set(open_store(tmp_path), SPEC)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_missing_or_truncated_shard_is_reported(folder: Path):
    path = folder / "ramp-000001.tar"
    path.write_bytes(path.read_bytes()[:-512])
    with pytest.raises(ValueError, match=r"ramp-000001.tar has \d+ bytes instead of \d+"):
        open_set(folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"ramp-000001.tar is missing"):
        open_set(folder)


def other_files(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").touch()


def partly_published(folder: Path) -> None:
    open_store(folder).put(".synpat/publishing.json", b"{}")


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: None, r"x does not exist\. The sets next to it are perlin$"),
        (lambda folder: folder.touch(), "x is a file: pass the folder or the URL of a shard set"),
        (Path.mkdir, "x is empty: it contains no shard set"),
        (lambda folder: (folder / ".cache").mkdir(parents=True), "x is empty: it contains no shard set"),
        (other_files, r"x has no .synpat/manifest.json: it is not a shard set. It contains notes.txt"),
        (lambda folder: fill(folder / "ramp"), "x is not a shard set, but contains the sets ramp: pass .*x/ramp"),
        (fill, "x has no .synpat/manifest.json: its rendering has not finished"),
        (partly_published, "x is the target of a `synpat publish` that has not finished: run it again"),
    ],
)
def test_a_folder_without_a_set_is_rejected_with_what_it_contains(prepare, words: str, tmp_path: Path):
    (tmp_path / "perlin").mkdir()
    (tmp_path / "perlin" / "perlin-000000.tar").touch()
    prepare(tmp_path / "x")
    with pytest.raises(InputError, match=words):
        read_manifest(tmp_path / "x")


def test_a_misspelt_set_is_rejected_with_the_nearest_one(tmp_path: Path):
    fill(tmp_path / "ramp")
    with pytest.raises(InputError, match=r"rmap does not exist: did you mean ramp\?"):
        read_manifest(tmp_path / "rmap")


def corrupt(part: str = "", **changes: object):
    """Return a function that changes the manifest, its specification or its first shard."""

    def change(content: dict[str, Any]) -> object:
        place = {"": content, "spec": content["spec"], "shard": content["shards"][0]}[part]
        place |= changes
        return content

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (corrupt(schema=99), "has schema 99, this synpat supports 2 and 3: update synpat"),
        (corrupt(schema="x" * 9999), "has schema x+, this"),
        (corrupt(surprise=1), "is corrupt: unknown field 'surprise'"),
        (corrupt(mean=float("nan")), "is corrupt: mean must be float, got nan"),
        (corrupt(mean=True), "is corrupt: mean must be float, got True"),
        (corrupt(made_with={"synpat": 1}), "is corrupt: made_with must be str, got 1"),
        (corrupt(shards=[{"file": "x"}]), "is corrupt"),
        (corrupt(shards=[]), "lists 0 shards instead of 3"),
        (corrupt(shards={}), "is corrupt: shards must be .*, got {}"),
        (corrupt(spec=None), "is corrupt: spec must be .*, got None"),
        (corrupt("spec", n="10"), "is corrupt: n must be int, got '10'"),
        (corrupt("spec", n=-1), "n and samples_per_shard must be 1 or more"),
        (corrupt("spec", n=10**12), "maximum is 10000: use more samples per shard"),
        (corrupt("spec", samples_per_shard=0), "n and samples_per_shard must be 1 or more"),
        (corrupt("spec", family="../evil"), "family must consist of"),
        (corrupt("spec", height=10**9), "height and width must be between"),
        (corrupt("spec", render_size=[1]), r"is corrupt: render_size must be .*, got \[1\]"),
        (corrupt("spec", mode="P"), "mode must be L or RGB"),
        (corrupt("spec", extended_at=[5, 2]), "extended_at must be strictly increasing"),
        (corrupt("shard", file="../../x.tar"), "is not valid: shard 0 must be ramp-000000.tar"),
        (corrupt("shard", file="/etc/passwd"), "is not valid: shard 0 must be ramp-000000.tar"),
        (corrupt("shard", file="ramp-000001.tar"), "is not valid: shard 0 must be ramp-000000.tar"),
        (corrupt("shard", count=5), "is not valid: shard 0 must be"),
        (corrupt("shard", bytes=-1), "must be 0 or more"),
        (corrupt("shard", sha256="0" * 63), "must be 64 hexadecimal digits"),
        (lambda c: [c], "is corrupt: it must be a JSON object"),
        (lambda c: [[]] * 100_000, "is too large"),
    ],
)
def test_an_invalid_manifest_is_reported_in_one_line(change, words: str, folder: Path):
    path = folder / ".synpat" / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=words) as error:
        read_manifest(folder)
    assert len(str(error.value)) < 500
    assert "\n" not in str(error.value)


@given(data=st.data())
def test_a_manifest_with_a_random_value_is_read_or_rejected(data: st.DataObject):
    content = json.loads(to_json(MANIFEST))
    place = data.draw(st.sampled_from([content, content["spec"], content["shards"][0]]))
    junk = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=3)
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(junk)
    with contextlib.suppress(ValueError):
        read = manifest_from_json(json.dumps(content).encode(), "manifest.json")
        assert read.spec.shard_count == len(read.shards)
        assert all("/" not in shard.file for shard in read.shards)


@given(data=st.binary(max_size=300))
def test_random_bytes_are_rejected_as_a_manifest(data: bytes):
    with pytest.raises(ValueError, match=r"^manifest\.json "):
        manifest_from_json(data, "manifest.json")


@pytest.mark.parametrize("data", [b"[" * 20_000, b"[" * 2000 + b"]" * 2000, b'{"schema": 2' + b"0" * 5000 + b"}"])
def test_json_that_would_exhaust_the_parser_is_rejected(data: bytes):
    with pytest.raises(ValueError, match="m is "):
        manifest_from_json(data, "m")


def test_a_huge_manifest_is_rejected_before_it_is_read(folder: Path):
    with (folder / ".synpat" / "manifest.json").open("r+b") as file:
        file.truncate(10 << 30)
    with pytest.raises(ValueError, match="is too large: it has 10737418240 bytes"):
        read_manifest(folder)


def test_an_extension_records_where_a_shard_is_not_full():
    assert extended(SPEC, 20) == replace(SPEC, n=20, extended_at=(10,))
    assert extended(extended(SPEC, 20), 30) == replace(SPEC, n=30, extended_at=(10, 20))
    assert extended(extended(SPEC, 18), 30) == replace(SPEC, n=30, extended_at=(10,))
    assert extended(replace(SPEC, n=8), 20) == replace(SPEC, n=20)


@given(n=st.integers(1, 60), size=st.integers(1, 9), steps=st.lists(st.integers(1, 30), max_size=4))
def test_an_extension_keeps_existing_shards_and_covers_all_samples(n: int, size: int, steps: list[int]):
    spec = replace(SPEC, n=n, samples_per_shard=size)
    for step in steps:
        before = [spec.shard_indices(number) for number in range(spec.shard_count)]
        spec = extended(spec, spec.n + step)
        after = [spec.shard_indices(number) for number in range(spec.shard_count)]
        assert after[: len(before)] == before
        assert [index for indices in after for index in indices] == list(range(spec.n))
        assert all(1 <= len(indices) <= size for indices in after)


def test_a_manifest_that_is_not_json_is_rejected(folder: Path):
    (folder / ".synpat" / "manifest.json").write_bytes(b"\xff{")
    with pytest.raises(ValueError, match="is not valid JSON"):
        read_manifest(folder)


def test_a_manifest_of_schema_2_is_read_as_one_without_a_resize_filter(folder: Path):
    before, path = read_manifest(folder), folder / ".synpat" / "manifest.json"
    content = json.loads(path.read_text())
    del content["spec"]["resize_filter"]
    path.write_text(json.dumps(content | {"schema": 2}))
    assert read_manifest(folder) == before


def test_specifications_survive_json(tmp_path: Path):
    spec = replace(SPEC, render_size=(256, 256), parameters={"octaves": 2})
    begin_set(open_store(tmp_path / "s"), spec)
    begin_set(open_store(tmp_path / "s"), spec)
    assert asdict(spec)["render_size"] == (256, 256)


def test_a_failed_writer_releases_the_lock(perlin_set: Path):
    before = sorted(perlin_set.rglob("*"))
    with pytest.raises(ValueError, match="in the middle"), lock_set(open_store(perlin_set)):
        raise ValueError("in the middle")
    assert sorted(perlin_set.rglob("*")) == before
