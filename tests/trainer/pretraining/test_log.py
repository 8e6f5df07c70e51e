"""The log of a run: complete in log.jsonl and in TensorBoard, also after the disk was full for a while."""

import re
from contextlib import suppress
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from synpat_train.pretraining.log import RunLog, read_log

NUMBERS = {"loss": 0.5, "lr": 1e-3, "samples_per_s": 9.0, "mfu": 0.1, "data_wait": 0.0, "memory_gb": 1.0, "skipped": 0}


def losses_shown(run: Path) -> dict[int, float]:
    """Return the losses that TensorBoard shows, by step."""
    board = EventAccumulator(str(run / "tensorboard")).Reload()
    return {event.step: event.value for event in board.Scalars("loss")}


def record(log: RunLog, *steps: int) -> None:
    for step in steps:
        log.metrics(step, **NUMBERS | {"loss": 1 / 2**step})


def test_tensorboard_shows_the_metrics_of_the_log(tmp_path: Path):
    with RunLog(tmp_path, 0, 3) as log:
        record(log, 1, 2, 3)
    assert losses_shown(tmp_path) == {1: 0.5, 2: 0.25, 3: 0.125}
    assert losses_shown(tmp_path) == {line["step"]: line["loss"] for line in read_log(tmp_path)}


def test_lines_after_the_checkpoint_of_a_killed_run_are_dropped(tmp_path: Path):
    for start, steps in ((0, (1, 2, 3)), (1, (2,))):
        with RunLog(tmp_path, start, 3) as log:
            record(log, *steps)
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2]
    assert list(losses_shown(tmp_path)) == [1, 2]


def test_log_has_complete_lines_after_a_full_disk_and_continues(small_disk: Path, capfd):
    (run := small_disk / "run").mkdir()
    with RunLog(run, 0, 200) as log:
        record(log, 1)
        with suppress(OSError), (small_disk / "rest").open("wb", 0) as file:
            while file.write(bytes(512)):
                pass
        record(log, *range(2, 100))  # some fit into pages that are already allocated
        assert "is not in the log, training continues: [Errno 28] No space left on device" in capfd.readouterr().err
        (small_disk / "rest").unlink()
        record(log, 100)
    steps = [line["step"] for line in read_log(run)]
    assert (steps[0], steps[-1]) == (1, 100)
    assert len(steps) < 100
    assert {1, 100} <= losses_shown(run).keys() <= set(range(1, 101))


def test_brackets_in_messages_are_printed_unchanged(tmp_path: Path, capfd):
    with RunLog(tmp_path, 0, 1) as log:
        log.message("runs/[tiny] [/a]: stopped")
    assert "runs/[tiny] [/a]: stopped\n" in capfd.readouterr().err


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_bar_shows_every_step_and_the_times(columns: int, tmp_path: Path, capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("COLUMNS", str(columns))
    with RunLog(tmp_path, 0, 3000) as log:
        record(log, 1)
        for step in range(2, 1235):
            log.advance(step)
        log.bar.refresh()
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capfd.readouterr().err).splitlines()
    assert max(map(len, lines)) <= columns
    last = next(line for line in reversed(lines) if "1234/3000" in line)
    assert "loss 0.5000" in last
    assert len(re.findall(r"\d:\d\d:\d\d", last)) == 2  # elapsed and left
    assert ("elapsed" in last and "9 samples/s" in last) == (columns >= 80)
