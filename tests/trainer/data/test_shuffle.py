"""The order of the samples is a pure function of seed and epoch."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synpat_train.data.shuffle import SampleOrder


def epoch(order: SampleOrder, number: int = 0) -> list[int]:
    return order.samples(number, 0, len(order)).tolist()


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    window=st.none() | st.integers(1, 50),
    cuts=st.lists(st.integers(0, 320), max_size=5),
)
def test_epoch_is_a_permutation_for_any_sequence_of_reads(counts: list[int], window: int | None, cuts: list[int]):
    order = SampleOrder(0, tuple(counts), (1.0,) * len(counts), window)
    assert sorted(epoch(order)) == list(range(sum(counts)))
    bounds = sorted({0, len(order), *(cut for cut in cuts if cut < len(order))})
    pieces = [order.samples(0, start, stop) for start, stop in itertools.pairwise(bounds)]
    assert np.concatenate(pieces).tolist() == epoch(order)


@pytest.mark.parametrize("window", [None, 100])
def test_epochs_and_seeds_have_different_orders(window: int | None):
    first, again, other = (SampleOrder(seed, (50,) * 20, (1.0,) * 20, window) for seed in (0, 0, 1))
    assert epoch(first) == epoch(again)
    assert epoch(first) != epoch(other)
    assert epoch(first) != epoch(first, 1)


def test_samples_of_a_window_are_from_few_shards():
    order = SampleOrder(0, (50,) * 20, (1.0,) * 20, 100)
    for start in range(0, 1000, 100):
        assert len(set(order.samples(0, start, start + 100) // 50)) == 2


@pytest.mark.parametrize("window", [None, 64])
def test_weights_are_the_numbers_of_repetitions_in_an_epoch(window: int | None):
    order = SampleOrder(0, (40, 40, 20), (2.0, 0.5, 1.0), window)
    repetitions = np.bincount(epoch(order), minlength=100)
    assert repetitions[:40].tolist() == [2] * 40
    assert sorted(repetitions[40:80]) == [0] * 20 + [1] * 20
    assert repetitions[80:].tolist() == [1] * 20
    assert len(order) == len(epoch(order, 1)) == 120
    assert set(epoch(order)) != set(epoch(order, 1))
