"""Slices of a rendering, from the command line and from environment variables of schedulers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synpat.rendering.slices import Slice


@given(tasks=st.integers(0, 50), count=st.integers(1, 60))
def test_the_slices_contain_every_task_once(tasks: int, count: int):
    parts = [Slice(index, count).of(range(tasks)) for index in range(count)]
    assert sorted(task for part in parts for task in part) == list(range(tasks))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def slurm(task: int, first: int, step: int, count: int) -> dict[str, str]:
    names = {"ID": task, "MIN": first, "STEP": step, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in names.items()}


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("2/8", {}, Slice(2, 8)),
        ("auto", slurm(0, 0, 1, 4), Slice(0, 4)),
        ("auto", slurm(4, 1, 1, 4), Slice(3, 4)),  # --array=1-4
        ("auto", slurm(5, 1, 2, 4), Slice(2, 4)),  # --array=1-7:2
        ("auto/6", {"JOB_COMPLETION_INDEX": "5"}, Slice(5, 6)),
        ("auto/4", {"SLURM_ARRAY_TASK_ID": "3"}, Slice(3, 4)),
        ("auto/6", {"SLURM_ARRAY_TASK_ID": "", "JOB_COMPLETION_INDEX": "5"}, Slice(5, 6)),
    ],
)
def test_a_slice_is_parsed_or_read_from_the_scheduler(text: str, environment: dict[str, str], expected: Slice):
    assert Slice.parse(text, environment) == expected


@pytest.mark.parametrize(
    ("text", "environment", "reason"),
    [
        ("8/8", {}, "must be below 8"),
        ("0/0", {}, "must be below 0"),
        ("-1/8", {}, "write INDEX/COUNT"),
        ("2", {}, "write INDEX/COUNT"),
        ("auto", {}, "SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX"),
        ("auto", {"JOB_COMPLETION_INDEX": "5"}, "auto/COUNT"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "3"}, "auto/COUNT"),
        ("auto/4", {"JOB_COMPLETION_INDEX": "5"}, "must be below 4"),
        ("auto/4", {"JOB_COMPLETION_INDEX": "five"}, "JOB_COMPLETION_INDEX must be a number, got 'five'"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "%a"}, "SLURM_ARRAY_TASK_ID must be a number, got '%a'"),
        (
            "auto",
            {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "-2"},
            "SLURM_ARRAY_TASK_COUNT must be a number",
        ),
    ],
)
def test_an_invalid_slice_is_rejected_with_a_remedy(text: str, environment: dict[str, str], reason: str):
    with pytest.raises(ValueError, match=reason):
        Slice.parse(text, environment)
