"""A set in a folder: whole or refused, and never half-written under a final name."""

import hashlib
import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from synpat_shards import (
    ENCODING,
    Recipe,
    Sample,
    begin_set,
    complete_set,
    decode_png,
    finished_shards,
    open_set,
    read_manifest,
    read_members,
    write_shard,
)

RECIPE = Recipe(
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
    via=None,
    with_parameters=True,
    encoding=ENCODING,
)


def ramp(index: int) -> Sample:
    image = (np.arange(54).reshape(6, 9) * (index + 1)).astype(np.uint8)
    return Sample(index=index, image=image, category=index % 3, parameters=b'{"a": 1}', rejects=index % 2)


def fill(folder: Path) -> None:
    begin_set(folder, RECIPE)
    for number in range(RECIPE.shard_count):
        write_shard(folder, RECIPE, number, map(ramp, RECIPE.shard_indices(number)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path / "ramp")
    records = finished_shards(tmp_path / "ramp", RECIPE)
    complete_set(tmp_path / "ramp", RECIPE, [records[k] for k in range(3)], {"synpat": "test"})
    return tmp_path / "ramp"


def test_samples_come_back_in_order_with_class_and_parameters(folder: Path):
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


def test_the_manifest_tells_the_truth_about_every_shard(folder: Path):
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


def test_coreutils_verify_the_checksums(folder: Path):
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)


def test_a_finished_folder_holds_the_set_and_nothing_else(folder: Path):
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    shards = {shard.file for shard in read_manifest(folder).shards}
    assert names == shards | {"README.md", "SHA256SUMS", ".synpat", ".synpat/manifest.json"}


def test_an_interrupted_shard_leaves_nothing(tmp_path: Path):
    def breaks_off():
        yield ramp(0)
        raise OSError(28, "No space left on device")

    begin_set(tmp_path / "ramp", RECIPE)
    with pytest.raises(OSError, match="No space left"):
        write_shard(tmp_path / "ramp", RECIPE, 0, breaks_off())
    assert [path.name for path in (tmp_path / "ramp").iterdir()] == [".synpat"]
    assert finished_shards(tmp_path / "ramp", RECIPE) == {}


def test_only_shards_with_the_recorded_bytes_count_as_finished(tmp_path: Path):
    folder = tmp_path / "ramp"
    fill(folder)
    changed = bytearray((folder / "ramp-000001.tar").read_bytes())
    changed[700] ^= 1
    (folder / "ramp-000001.tar").write_bytes(changed)
    (folder / "ramp-000002.tar").unlink()
    assert list(finished_shards(folder, RECIPE)) == [0]


def test_another_recipe_is_refused_with_the_difference_named(folder: Path):
    with pytest.raises(ValueError, match="seed is 0 there and 5 here"):
        begin_set(folder, replace(RECIPE, seed=5))
    begin_set(folder, RECIPE)  # the same one is welcome


def test_a_folder_with_other_things_is_refused_and_untouched(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="is not empty and holds no shard set"):
        begin_set(tmp_path, RECIPE)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_missing_or_torn_shard_is_named(folder: Path):
    path = folder / "ramp-000001.tar"
    path.write_bytes(path.read_bytes()[:-512])
    with pytest.raises(ValueError, match=r"ramp-000001.tar has \d+ bytes instead of \d+"):
        open_set(folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"ramp-000001.tar is missing"):
        open_set(folder)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"has no .synpat/manifest.json"):
        read_manifest(tmp_path)


def damage(**changes: object):
    return lambda content: content | changes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (damage(schema=99), "has schema 99, this synpat reads 1: update synpat"),
        (damage(surprise=1), "is damaged: unknown surprise"),
        (damage(shards=[{"file": "x"}]), "is damaged"),
        (damage(recipe=None), "is damaged"),
        (lambda c: c | {"shards": [c["shards"][0] | {"file": "../../x.tar"}]}, "lies outside the set"),
        (lambda c: [c], "is damaged: not an object"),
    ],
)
def test_a_manifest_that_is_not_ours_is_refused(change, words: str, folder: Path):
    path = folder / ".synpat" / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=words):
        read_manifest(folder)


def test_a_manifest_that_is_no_json_is_refused(folder: Path):
    (folder / ".synpat" / "manifest.json").write_bytes(b"\xff{")
    with pytest.raises(ValueError, match="is no JSON"):
        read_manifest(folder)


def test_recipes_survive_json(tmp_path: Path):
    recipe = replace(RECIPE, via=(256, 256), parameters={"octaves": 2})
    begin_set(tmp_path / "s", recipe)
    begin_set(tmp_path / "s", recipe)
    assert asdict(recipe)["via"] == (256, 256)
