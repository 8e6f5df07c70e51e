"""Tables fit the terminal; words and numbers stay complete."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synpat_shards.text_table import text_table

HEAD = ("task", "content", "clips", "95 % interval")
ROWS = [("esc50", "environmental sounds", "2,000", "45.1 to 62.3"), ("us8k", "urban sounds", "8,732", "1.0 to 2.0")]


def test_a_table_that_fits_is_aligned_with_numbers_on_the_right():
    assert text_table(HEAD, ROWS, width=80).splitlines() == [
        "task   content               clips  95 % interval",
        "esc50  environmental sounds  2,000   45.1 to 62.3",
        "us8k   urban sounds          8,732     1.0 to 2.0",
    ]


def test_columns_are_left_out_before_texts_are_wrapped():
    assert text_table(HEAD, ROWS, width=40, optional=["clips"]).splitlines() == [
        "task   content             95 % interval",
        "esc50  environmental        45.1 to 62.3",
        "       sounds",
        "us8k   urban sounds           1.0 to 2.0",
    ]


def test_rows_become_lists_if_the_words_do_not_fit_side_by_side():
    assert text_table(HEAD, ROWS[:1], width=24).splitlines() == [
        "esc50",
        "  content: environmental",
        "    sounds",
        "  clips: 2,000",
        "  95 % interval: 45.1 to",
        "    62.3",
    ]


words = st.text("abc-/", min_size=1, max_size=9)
texts = st.lists(words, min_size=1, max_size=6).map(" ".join)
numbers = st.floats(-1e6, 1e6).map("{:,.3f}".format)


@pytest.mark.parametrize("width", [40, 80])
@given(rows=st.lists(st.tuples(texts, numbers, texts, numbers), min_size=1, max_size=4))
def test_no_line_is_too_long_and_no_word_is_cut(rows: list[tuple[str, ...]], width: int):
    table = text_table(("name", "mean", "description", "number"), rows, width=width)
    assert max(map(len, table.splitlines())) <= width
    assert {word for row in rows for cell in row for word in cell.split()} <= set(table.split())
