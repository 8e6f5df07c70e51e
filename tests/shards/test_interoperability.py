"""Readers of other projects can read shard sets."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import yaml
from webdataset import WebDataset  # pyright: ignore[reportAttributeAccessIssue]

from synpat.rendering.sampling import sample
from synpat_shards import read_manifest
from synpat_shards.sidecars import sidecars


@pytest.mark.filterwarnings("ignore")  # warnings of these libraries
def test_webdataset_streams_every_sample(perlin_set: Path):
    urls = sorted(map(str, perlin_set.glob("*.tar")))
    stream = WebDataset(urls, shardshuffle=False).decode("l8", only="png")
    items = list(stream)
    assert [item["__key__"] for item in items] == [f"{index:010d}" for index in range(100)]
    for index, item in enumerate(items):
        assert np.array_equal(item["png"], sample("perlin", 0, index, 80, 208))
        assert int(item["cls"]) == index % 100


@pytest.mark.filterwarnings("ignore")
def test_hugging_face_datasets_loads_the_folder(perlin_set: Path, tmp_path: Path):
    loaded = datasets.load_dataset(str(perlin_set), cache_dir=str(tmp_path), split="train")
    assert isinstance(loaded, datasets.Dataset)
    assert len(loaded) == read_manifest(perlin_set).spec.n
    assert {"png", "cls"} <= set(loaded.column_names)
    assert np.array_equal(np.asarray(loaded[7]["png"]), sample("perlin", 0, 7, 80, 208))


def test_the_card_has_the_shards_and_the_right_counts(perlin_set: Path):
    header = yaml.safe_load((perlin_set / "README.md").read_text().split("---")[1])
    assert header["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "*.tar"}]}]
    size = sum(path.stat().st_size for path in perlin_set.glob("*.tar"))
    assert header["dataset_info"]["splits"] == [{"name": "train", "num_bytes": size, "num_examples": 100}]


def test_the_licence_is_cc0_only_for_images_that_depend_on_no_files_of_the_user(perlin_set: Path):
    manifest = read_manifest(perlin_set)
    own = replace(manifest, spec=replace(manifest.spec, parameters={"folder": "shaders", "sha256": "0" * 64}))
    licences = [yaml.safe_load(sidecars(each)["README.md"].split(b"---")[1])["license"] for each in (manifest, own)]
    assert licences == ["cc0-1.0", "other"]
    croissants = [json.loads(sidecars(each)[".synpat/croissant.json"]) for each in (manifest, own)]
    assert ["license" in croissant for croissant in croissants] == [True, False]


@pytest.mark.filterwarnings("ignore")
def test_hugging_face_datasets_streams_the_folder(perlin_set: Path):
    stream = datasets.load_dataset(str(perlin_set), split="train", streaming=True)
    assert [int(item["__key__"]) for item in stream] == list(range(100))


@pytest.mark.filterwarnings("ignore")
def test_timm_reads_the_set(perlin_set: Path):
    import synpat_train.model.timm_compat  # noqa: F401  (before timm, if torch is a CPU build)

    from timm.data.dataset_factory import create_dataset  # isort: skip

    dataset: Any = create_dataset("wds/", root=str(perlin_set), split="train", input_img_mode="L")
    read = {label: np.asarray(image) for image, label in dataset}  # classes equal indices, because n is 100
    assert len(dataset) == len(read) == 100
    assert np.array_equal(read[42], sample("perlin", 0, 42, 80, 208))


@pytest.mark.filterwarnings("ignore")
def test_wids_reads_any_sample(perlin_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import wids

    monkeypatch.chdir(tmp_path)
    dataset = wids.ShardListDataset(str(perlin_set / ".synpat" / "index.json"), cache_dir=str(tmp_path))
    assert len(dataset) == 100
    item = dataset[77]
    assert item["__key__"] == "0000000077"
    assert np.array_equal(np.asarray(item[".png"].convert("L")), sample("perlin", 0, 77, 80, 208))


def croissant(folder: Path) -> subprocess.CompletedProcess[str]:
    """Read a set by its Croissant file in a new process, because the library caches files and emits warnings."""
    script = (
        "import sys, mlcroissant\n"
        "dataset = mlcroissant.Dataset(jsonld=sys.argv[1])\n"
        "records = list(dataset.records(record_set='samples'))\n"
        "keys = sorted(int(record['samples/key']) for record in records)\n"
        "print(keys == list(range(100)), records[0]['samples/image'].size)\n"
    )
    command = [sys.executable, "-c", script, str(folder / ".synpat" / "croissant.json")]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"HOME": str(folder.parent)})


def test_mlcroissant_reads_the_records_and_checks_the_checksums(perlin_set: Path, tmp_path: Path):
    done = croissant(perlin_set)
    assert done.stdout == "True (208, 80)\n", done.stderr
    shutil.copytree(perlin_set, tmp_path / "corrupt")
    with (tmp_path / "corrupt" / "perlin-000001.tar").open("r+b") as file:
        file.seek(700)
        file.write(b"flip")
    assert croissant(tmp_path / "corrupt").returncode != 0


def test_the_dali_index_has_the_positions_of_all_members(perlin_set: Path):
    for shard in read_manifest(perlin_set).shards:
        data = (perlin_set / shard.file).read_bytes()
        first, *lines = (perlin_set / ".synpat" / shard.file).with_suffix(".idx").read_text().splitlines()
        assert first == f"v1.2 {shard.count}" == f"v1.2 {len(lines)}"
        for index, line in enumerate(lines, shard.first_index):
            png, png_at, png_size, png_name, cls, cls_at, cls_size, cls_name = line.split()
            assert (png, cls, png_name, cls_name) == ("png", "cls", f"{index:010d}.png", f"{index:010d}.cls")
            assert data[int(png_at) :][: int(png_size)].startswith(b"\x89PNG")
            assert int(data[int(cls_at) :][: int(cls_size)]) == index % 100


def test_the_sizes_file_of_open_clip_is_right(perlin_set: Path):
    sizes = json.loads((perlin_set / "sizes.json").read_text())
    assert sizes == {path.name: 25 for path in sorted(perlin_set.glob("*.tar"))}
