"""Argument types that all programs share."""

import click
import pytest

from synpat_shards.command_line import Count


@pytest.mark.parametrize(
    ("text", "count"),
    [("7", 7), ("100_000", 100_000), ("1e5", 100_000), ("100k", 100_000), ("0.1M", 100_000), ("2.5e3", 2500)],
)
def test_counts_have_short_forms(text: str, count: int):
    assert Count().convert(text, None, None) == count


@pytest.mark.parametrize("text", ["", "k", "0", "-3", "1.5", "nan", "inf", "1e30", "100K", "1e-4k", "ten"])
def test_other_texts_are_refused(text: str):
    with pytest.raises(click.BadParameter, match="is not a whole number of 1 or more"):
        Count().convert(text, None, None)
