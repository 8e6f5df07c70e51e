"""The script for a GPU, at toy size without one: every stage gives its rows, and the clock is kept."""

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sounds import write_tones

TOOL = Path(__file__).parents[2] / "tools" / "measure_gpu.py"
DEADLINE = 35
SMALL_GPU = """
import sys
if "--preset" in sys.argv:
    import torch
    from synpat_train.pretraining.train import Objective
    forward = Objective.forward
    def limited(self, images, noise):
        if len(images) > 4:
            raise torch.OutOfMemoryError
        return forward(self, images, noise)
    Objective.forward = limited
"""
"""Code that makes a program's memory suffice for four samples only."""


@pytest.fixture(scope="module")
def tool() -> Any:
    spec = importlib.util.spec_from_file_location("measure_gpu", TOOL)
    assert spec
    assert spec.loader
    sys.path.append(str(TOOL.parent))  # as for a script
    module = sys.modules["measure_gpu"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(folder: Path) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def job(tool: Any, folder: Path, stage: str, **given: Any) -> Any:
    return tool.Job(**{"out": folder, "audio": None, "toy": True, "until": time.time() + 25, "stage": stage} | given)


def test_every_stage_gives_a_row_before_the_deadline(tmp_path: Path):
    """On a busy machine a stage may not finish in its time; its row then says so. Other tests run the stages alone."""
    began = time.monotonic()
    out = tmp_path / "results"
    done = subprocess.run(
        [sys.executable, TOOL, "--toy", "--deadline", str(DEADLINE), "--out", out], capture_output=True, text=True
    )
    assert time.monotonic() - began < DEADLINE + 5
    assert done.returncode == 0, done.stderr
    stages = {row["stage"] for row in rows(out)}
    assert stages >= {"resume", "memory", "rates", "painting", "pretraining"}
    assert done.stdout.startswith("| stage | measurement | result |")
    assert all(f"| {stage} | " in done.stdout for stage in stages)
    assert [row["note"] for row in rows(out) if row["stage"] == "memory"] == ["skipped: no GPU"]


def test_a_resumed_run_has_the_losses_of_an_undisturbed_one(tool: Any, tmp_path: Path):
    tool.resume(job(tool, tmp_path, "resume"))
    assert [row["value"] for row in rows(tmp_path)] == [0, 0]  # on a CPU


def test_the_advice_on_memory_is_followed(tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tool, "PROGRAM", SMALL_GPU + tool.PROGRAM)
    tool.memory(job(tool, tmp_path, "memory"))
    advice, fits = rows(tmp_path)
    assert advice["value"] == 4
    assert advice["note"].startswith("Error: the GPU is out of memory for 16 samples at once, but 4 fit")
    assert fits["what"] == "memory with --set accumulate=4"


def test_pretraining_takes_its_time_and_is_probed(tool: Any, tmp_path: Path):
    (tmp_path / "audio").mkdir()
    write_tones(tmp_path / "audio" / "esc10")
    tool.images(job(tool, tmp_path, "images"))
    until = time.time() + 40  # longer runs may overrun by more, shorter ones end in the trials
    tool.pretraining(job(tool, tmp_path, "pretraining", audio=tmp_path / "audio", until=until))
    found = rows(tmp_path)
    assert not [row for row in found if row["note"].startswith("failed")]
    assert [row["what"] for row in found if row["unit"] == "points"] == ["tiny on esc10: gain"]
    assert sum(row["note"].startswith("skipped: no ") for row in found) == 2
    assert time.time() < until + 10


def test_a_part_that_fails_is_a_row_with_one_line(tool: Any, tmp_path: Path):
    def work() -> None:
        raise ValueError("first\nsecond")

    job(tool, tmp_path, "rates").attempt("a preset", work)
    assert rows(tmp_path)[0]["note"] == "failed: ValueError: first"
    assert "| rates | a preset |  |  | failed: ValueError: first |" in tool.table(tmp_path / "results.jsonl")


def test_a_stage_that_fails_or_takes_too_long_is_a_row(tool: Any, tmp_path: Path):
    for stage, code in (("rates", "import sys; sys.exit('broken')"), ("painting", "import time; time.sleep(99)")):
        with (tmp_path / f"{stage}.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, "-c", code], stderr=log, start_new_session=True)
        tool.finish(job(tool, tmp_path, ""), stage, process, time.time() + 2)
    assert [row["note"] for row in rows(tmp_path)] == ["failed: broken", "stopped at its limit"]


def test_an_existing_folder_is_refused(tool: Any, tmp_path: Path):
    done = CliRunner().invoke(tool.main, ["--toy", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert done.stderr == f"Error: {tmp_path} exists: choose another folder with --out\n"
