"""Other people's readers read our sets, unasked."""

from pathlib import Path

import datasets
import numpy as np
import pytest
from webdataset import WebDataset  # pyright: ignore[reportAttributeAccessIssue]

from synpat.sampling import sample
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
    assert len(loaded) == read_manifest(perlin_set).recipe.n
    assert {"png", "cls"} <= set(loaded.column_names)
    assert np.array_equal(np.asarray(loaded[7]["png"]), sample("perlin", 0, 7, 80, 208))
