"""`synpat-eval` prints a table, writes what it found, and answers a mistake with one line."""

import json
import sys
from pathlib import Path

import pytest

from synpat_train import start
from synpat_train.evaluation.cli import main
from synpat_train.evaluation.results import table

QUICK = ["--protocol", "logistic"]


def evaluate(*arguments: object) -> None:
    main([str(argument) for argument in arguments], standalone_mode=False)


def results_of(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


@pytest.fixture
def on_tones(run, tones, tmp_path) -> list[object]:
    return ["--encoder", run, "--task", "folder", "--data", tones, "--cache", tmp_path / "cache"]


def test_the_encoder_and_both_baselines_are_in_the_table_and_in_the_file(on_tones, tmp_path, capsys):
    evaluate(*on_tones, "--out", tmp_path / "out")
    shown = capsys.readouterr()
    for contestant in ("encoder", "random-init (3 seeds)", "log-mel mean/std"):
        assert f"| tones | {contestant} " in shown.out
    assert "tones: embed: 12/12" in shown.err
    task = results_of(tmp_path / "out")["tasks"]["tones"]
    assert task["clips"] == task["tested"] == 12
    assert task["folds"] == [{"name": name, "train": 8, "test": 4} for name in "012"]
    assert list(task["scores"]) == ["encoder", "random-init", "log-mel mean/std"]
    assert task["scores"]["log-mel mean/std"]["accuracy"] == 1  # low and high tones
    assert len(task["scores"]["random-init"]["seed_accuracies"]) == 3
    assert len(task["encoder_sha256"]) == 64


def test_the_same_command_gives_the_same_results(on_tones, tmp_path):
    evaluate(*on_tones, *QUICK, "--out", tmp_path / "first")
    evaluate(*on_tones, *QUICK, "--out", tmp_path / "second")
    assert results_of(tmp_path / "first") == results_of(tmp_path / "second")


def test_results_lie_beside_the_encoder_and_those_of_other_tasks_are_kept(
    export_encoder, tones, tmp_path, write_metadata
):
    run = export_encoder(80)
    arguments = ["--encoder", run, "--task", "folder", *QUICK, "--cache", tmp_path / "cache", "--data"]
    evaluate(*arguments, tones)
    evaluate(*arguments, tones.rename(tmp_path / "others"))
    assert set(results_of(run / "evaluation")["tasks"]) == {"tones (logistic)", "others (logistic)"}
    assert [path.name for path in (run / "evaluation").iterdir()] == ["results.json"]


def test_skipped_files_are_in_the_results(on_tones, tones, tmp_path):
    (tones / "3.wav").write_bytes(b"noise")
    evaluate(*on_tones, *QUICK, "--out", tmp_path / "out", "--unreadable", "skip")
    (skipped,) = results_of(tmp_path / "out")["tasks"]["tones (logistic)"]["unreadable"]
    assert skipped["file"] == str(tones / "3.wav")


def test_a_results_file_of_somebody_else_is_not_overwritten(on_tones, tmp_path):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ValueError, match="was not written by this version of synpat-eval"):
        evaluate(*on_tones, "--out", tmp_path)
    assert (tmp_path / "results.json").read_text() == "{}"


def test_an_encoder_of_another_height_is_refused(export_encoder, tones):
    with pytest.raises(ValueError, match=r"has 80 bands, but .* was trained on a height of 128"):
        evaluate("--encoder", export_encoder(128), "--task", "folder", "--data", tones)


def test_an_empty_table_is_its_head():
    assert table([]).splitlines()[0].startswith("| task | encoder | accuracy |")


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--help"], 0, "synpat-eval --encoder runs/perlin --task gm-instrument"),
        (["--encoder", "nowhere", "--task", "gm-pitch"], 1, "Error: nowhere holds no encoder"),
        (["--encoder", "RUN", "--task", "folder", "--data", "nowhere"], 1, "Error: nowhere has no metadata.csv"),
        (["--encoder", "RUN", "--task", "folder"], 2, "--data DIR is needed by the tasks that bring no audio"),
        (["--encoder", "RUN", "--task", "esc51"], 2, "'folder', 'gm-instrument', 'gm-pitch'"),
    ],
)
def test_the_command_answers_a_person(run, tmp_path, monkeypatch, capsys, arguments, status, text):
    arguments = [str(run) if argument == "RUN" else argument for argument in arguments]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["synpat-eval", *arguments])
    with pytest.raises(SystemExit) as end:
        start.evaluate()
    shown = capsys.readouterr()
    # sys.exit(text) prints the text and means status 1.
    assert (end.value.code if isinstance(end.value.code, int) else 1) == status
    assert text in f"{shown.out} {shown.err} {end.value.code}"
