"""The images of shard sets: decoded once, read in an order that depends on seed and epoch alone."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from synpat.render import make_recipe, render_set
from synpat.sampling import sample
from synpat_train.data import batch_indices, epoch_order, open_images


def test_every_sample_is_read_at_its_index(perlin_set: Path, tmp_path: Path):
    images = open_images([perlin_set], 80, 208, tmp_path)
    indices = np.array([99, 0, 37])
    assert np.array_equal(images.batch(indices), np.stack([sample("perlin", 0, i, 80, 208) for i in (99, 0, 37)]))


def test_the_cache_is_read_the_second_time(perlin_set: Path, tmp_path: Path):
    open_images([perlin_set], 80, 208, tmp_path)
    [cached] = tmp_path.iterdir()
    written = cached.stat().st_mtime_ns
    open_images([perlin_set], 80, 208, tmp_path)
    assert [(path, path.stat().st_mtime_ns) for path in tmp_path.iterdir()] == [(cached, written)]


def test_sets_stand_one_after_the_other_and_share_their_statistics(perlin_set: Path, tmp_path: Path):
    render_set(tmp_path / "noise", make_recipe("white-noise", 50), workers=1, progress=lambda *_: None)
    images = open_images([perlin_set, tmp_path / "noise"], 80, 208, tmp_path / "cache")
    everything = images.batch(np.arange(150))
    assert np.array_equal(everything[100], sample("white-noise", 0, 0, 80, 208))
    assert (images.mean, images.std) == pytest.approx((everything.mean(), everything.std()))


def test_every_epoch_is_another_permutation_and_the_same_again():
    first, second = (epoch_order(0, epoch, 1000).copy() for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(1000))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, epoch_order(0, 0, 1000))
    assert not np.array_equal(first, epoch_order(1, 0, 1000))


def test_no_sample_comes_twice_in_an_epoch():
    seen = np.concatenate([batch_indices(3, step, 32, 100) for step in range(3)])
    assert len(set(seen)) == 96
    assert np.array_equal(batch_indices(3, 3, 32, 100), epoch_order(3, 1, 100)[:32])


def change_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Path.unlink, "perlin-000002.tar is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "perlin-000002.tar has 5000 bytes instead of"),
        (change_a_byte, "perlin-000002.tar is damaged: its checksum"),
    ],
)
def test_a_damaged_set_is_refused_with_the_file_named_and_no_cache_left(fault, words, perlin_set: Path, tmp_path: Path):
    shutil.copytree(perlin_set, tmp_path / "set")
    fault(tmp_path / "set" / "perlin-000002.tar")
    with pytest.raises(ValueError, match=words):
        open_images([tmp_path / "set"], 80, 208, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))


def test_a_set_of_another_size_is_refused_with_the_way_out(perlin_set: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"holds 80x208 images in mode L, the model reads 128x1024.*--size 128x1024"):
        open_images([perlin_set], 128, 1024, tmp_path)
