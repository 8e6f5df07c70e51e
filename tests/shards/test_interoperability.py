"""Other people's readers read our sets, unasked."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import yaml
from webdataset import WebDataset  # pyright: ignore[reportAttributeAccessIssue]

from synpat.rendering.sampling import sample
from synpat_shards import read_manifest


@pytest.mark.filterwarnings("ignore")  # what these libraries warn of is not ours to mend
def test_webdataset_streams_every_sample(perlin_set: Path):
    urls = sorted(map(str, perlin_set.glob("*.tar")))
    stream = WebDataset(urls, shardshuffle=False).decode("l8", only="png")
    found = list(stream)
    assert [item["__key__"] for item in found] == [f"{index:010d}" for index in range(100)]
    for index, item in enumerate(found):
        assert np.array_equal(item["png"], sample("perlin", 0, index, 80, 208))
        assert int(item["cls"]) == index % 100


@pytest.mark.filterwarnings("ignore")
def test_hugging_face_datasets_load_the_folder(perlin_set: Path, tmp_path: Path):
    loaded = datasets.load_dataset(str(perlin_set), cache_dir=str(tmp_path), split="train")
    assert isinstance(loaded, datasets.Dataset)
    assert len(loaded) == read_manifest(perlin_set).spec.n
    assert {"png", "cls"} <= set(loaded.column_names)
    assert np.array_equal(np.asarray(loaded[7]["png"]), sample("perlin", 0, 7, 80, 208))


def test_the_card_names_the_shards_and_the_true_counts(perlin_set: Path):
    header = yaml.safe_load((perlin_set / "README.md").read_text().split("---")[1])
    assert header["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "*.tar"}]}]
    size = sum(path.stat().st_size for path in perlin_set.glob("*.tar"))
    assert header["dataset_info"]["splits"] == [{"name": "train", "num_bytes": size, "num_examples": 100}]


@pytest.mark.filterwarnings("ignore")
def test_hugging_face_datasets_stream_the_folder(perlin_set: Path):
    stream = datasets.load_dataset(str(perlin_set), split="train", streaming=True)
    assert [int(item["__key__"]) for item in stream] == list(range(100))


@pytest.mark.filterwarnings("ignore")
def test_timm_reads_the_set_by_its_info(perlin_set: Path):
    import synpat_train.model.timm_compat  # noqa: F401  (before timm, where torch is a CPU build)

    from timm.data.dataset_factory import create_dataset  # isort: skip

    dataset: Any = create_dataset("wds/", root=str(perlin_set), split="train", input_img_mode="L")
    read = {label: np.asarray(image) for image, label in dataset}  # classes are the indices here, as n is no more
    assert len(dataset) == len(read) == 100
    assert np.array_equal(read[42], sample("perlin", 0, 42, 80, 208))


@pytest.mark.filterwarnings("ignore")
def test_wids_reads_any_sample_by_the_index(perlin_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import wids

    monkeypatch.chdir(tmp_path)
    dataset = wids.ShardListDataset(str(perlin_set / ".synpat" / "index.json"), cache_dir=str(tmp_path))
    assert len(dataset) == 100
    item = dataset[77]
    assert item["__key__"] == "0000000077"
    assert np.array_equal(np.asarray(item[".png"].convert("L")), sample("perlin", 0, 77, 80, 208))


def croissant(folder: Path) -> subprocess.CompletedProcess[str]:
    """Read a set by its Croissant in a process of its own, as the library caches and warns at will."""
    script = (
        "import sys, mlcroissant\n"
        "dataset = mlcroissant.Dataset(jsonld=sys.argv[1])\n"
        "records = list(dataset.records(record_set='samples'))\n"
        "keys = sorted(int(record['samples/key']) for record in records)\n"
        "print(keys == list(range(100)), records[0]['samples/image'].size)\n"
    )
    command = [sys.executable, "-c", script, str(folder / ".synpat" / "croissant.json")]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"HOME": str(folder.parent)})


def test_mlcroissant_counts_the_records_and_checks_the_checksums(perlin_set: Path, tmp_path: Path):
    done = croissant(perlin_set)
    assert done.stdout == "True (208, 80)\n", done.stderr
    shutil.copytree(perlin_set, tmp_path / "damaged")
    with (tmp_path / "damaged" / "perlin-000001.tar").open("r+b") as file:
        file.seek(700)
        file.write(b"flip")
    assert croissant(tmp_path / "damaged").returncode != 0


def test_dali_finds_each_member_where_its_index_says(perlin_set: Path):
    for shard in read_manifest(perlin_set).shards:
        data = (perlin_set / shard.file).read_bytes()
        first, *lines = (perlin_set / ".synpat" / shard.file).with_suffix(".idx").read_text().splitlines()
        assert first == f"v1.2 {shard.count}" == f"v1.2 {len(lines)}"
        for index, line in enumerate(lines, shard.first_index):
            png, png_at, png_size, png_name, cls, cls_at, cls_size, cls_name = line.split()
            assert (png, cls, png_name, cls_name) == ("png", "cls", f"{index:010d}.png", f"{index:010d}.cls")
            assert data[int(png_at) :][: int(png_size)].startswith(b"\x89PNG")
            assert int(data[int(cls_at) :][: int(cls_size)]) == index % 100


def test_open_clip_finds_the_sizes_beside_the_shards(perlin_set: Path):
    sizes = json.loads((perlin_set / "sizes.json").read_text())
    assert sizes == {path.name: 25 for path in sorted(perlin_set.glob("*.tar"))}
