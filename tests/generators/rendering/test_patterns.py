"""Patterns as a sequence: the samples of a shard set, and what a DataLoader of torch makes of them."""

import sys

import numpy as np
import pytest
from torch.utils.data import DataLoader

from synpat import Patterns, make_spec, paint, render_set, sample
from synpat.families import FAMILIES
from synpat_shards import InputError, open_store, read_images


def test_equals_the_samples_of_a_shard_set(tmp_path):
    manifest = render_set(tmp_path, make_spec("perlin", 5, height=32, width=48, seed=3), 1, lambda *_: None)
    patterns = Patterns("perlin", size=(32, 48), seed=3, n=5)
    for image, (rendered, _) in zip(patterns, read_images(open_store(tmp_path), manifest, range(5)), strict=True):
        np.testing.assert_array_equal(image, rendered)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # on one core
@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_data_loader_reads_it_in_processes(start, workers):
    patterns = Patterns("perlin", size=(16, 16), n=6, labels=True)
    loader = DataLoader(
        patterns,  # pyright: ignore[reportArgumentType]  (torch takes any sequence, its stub only its own class)
        batch_size=4,
        num_workers=workers,
        multiprocessing_context=start,
    )
    images, labels = zip(*loader, strict=True)
    assert [batch.shape for batch in images] == [(4, 16, 16), (2, 16, 16)]
    np.testing.assert_array_equal(np.concatenate(images), [image for image, _ in patterns])
    assert [int(label) for batch in labels for label in batch] == [label for _, label in patterns]


def test_an_endless_sequence_is_read_by_a_data_loader():
    endless = Patterns("white-noise", size=(8, 8))
    loader = iter(DataLoader(endless, batch_size=2))  # pyright: ignore[reportArgumentType]
    next(loader)
    np.testing.assert_array_equal(next(loader)[1], sample("white-noise", 0, 3, 8, 8))


def test_images_can_be_painted_at_another_size():
    (image,) = Patterns("perlin", size=(8, 8), n=1, render_size=(32, 32))
    np.testing.assert_array_equal(image, paint("perlin", 0, 0, 8, 8, render_size=(32, 32)).image)


def test_a_slice_keeps_the_indices():
    patterns = Patterns("perlin", size=(8, 8), n=10)
    np.testing.assert_array_equal(patterns[4:][1], sample("perlin", 0, 5, 8, 8))
    np.testing.assert_array_equal(patterns[-1], sample("perlin", 0, 9, 8, 8))
    assert len(patterns[2:8:3]) == 2


def test_ends_after_n_samples():
    assert len(list(Patterns("perlin", size=(8, 8), n=3))) == 3
    with pytest.raises(IndexError):
        Patterns("perlin", size=(8, 8), n=3)[3]
    assert len(Patterns("perlin")) == sys.maxsize


@pytest.mark.parametrize(
    "family", [name for name, model in FAMILIES.items() if not (model.categories or model.expensive)]
)
def test_labels_of_a_family_without_classes_are_refused(family):
    with pytest.raises(InputError, match="has no classes"):
        Patterns(family, labels=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": "perln"}, "Did you mean 'perlin'"),
        ({"size": (0, 8)}, "height and width must be between 1"),
        ({"seed": -1}, "seed and index must be 0 or more"),
        ({"n": 0}, "n must be 1 or more"),
    ],
)
def test_invalid_arguments_are_refused_at_once(arguments, message):
    with pytest.raises(InputError, match=message):
        Patterns(**{"family": "perlin"} | arguments)
