"""The `synpat-eval` command: its table, its results file and its error messages."""

import json
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from synpat_train import entry_points
from synpat_train.audio.fbank import fbank
from synpat_train.audio.read import read_audio
from synpat_train.evaluation import cli
from synpat_train.evaluation.cli import main
from synpat_train.evaluation.evaluate import PROBES
from synpat_train.evaluation.reference_results import REFERENCE_RESULTS, ReferenceResults
from synpat_train.evaluation.results import printed_table, table
from synpat_train.evaluation.tasks.registry import TASKS

QUICK = ["--protocol", "logistic"]


def evaluate(*arguments: object) -> None:
    main([str(argument) for argument in arguments], standalone_mode=False)


def results_of(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


@pytest.fixture
def tones_arguments(run, tones, tmp_path) -> list[object]:
    return ["--encoder", run, "--task", "folder", "--data", tones, "--cache", tmp_path / "cache"]


def test_encoder_and_baselines_are_in_the_table_and_the_file(tones_arguments, tmp_path, capsys):
    evaluate(*tones_arguments, "--out", tmp_path / "out")
    output = capsys.readouterr()
    for contestant in ("encoder", "random-init (3 seeds)", "log-mel mean/std"):
        assert f"| folder:tones | accuracy | {contestant} " in output.out
    assert "folder:tones: embed: 12/12" in output.err
    task = results_of(tmp_path / "out")["tasks"]["folder:tones"]
    assert task["clips"] == task["tested"] == 12
    assert task["folds"] == [{"name": name, "train": 8, "valid": 0, "test": 4} for name in "012"]
    assert list(task["scores"]) == ["encoder", "random-init", "log-mel mean/std"]
    assert task["scores"]["log-mel mean/std"]["value"] == 1  # low and high tones
    assert len(task["scores"]["random-init"]["by_seed"]) == 3
    assert len(task["encoder_sha256"]) == 64


def test_same_command_gives_the_same_results(tones_arguments, tmp_path):
    evaluate(*tones_arguments, *QUICK, "--out", tmp_path / "first")
    evaluate(*tones_arguments, *QUICK, "--out", tmp_path / "second", "--cache", tmp_path / "other cache")
    assert results_of(tmp_path / "first") == results_of(tmp_path / "second")


def test_results_are_next_to_the_encoder_and_keep_other_tasks(export_encoder, tones, tmp_path, write_metadata):
    run = export_encoder(80)
    arguments = ["--encoder", run, "--task", "folder", *QUICK, "--cache", tmp_path / "cache", "--data"]
    evaluate(*arguments, tones)
    evaluate(*arguments, tones.rename(tmp_path / "others"))
    assert set(results_of(run / "evaluation")["tasks"]) == {"folder:tones (logistic)", "folder:others (logistic)"}
    assert sorted(path.name for path in (run / "evaluation").rglob("*.*")) == [
        "folder-others-logistic.npz",
        "folder-tones-logistic.npz",
        "results.json",
    ]


def test_skipped_files_are_in_the_results(tones_arguments, tones, tmp_path):
    (tones / "3.wav").write_bytes(b"noise")
    evaluate(*tones_arguments, *QUICK, "--out", tmp_path / "out", "--unreadable", "skip")
    (skipped,) = results_of(tmp_path / "out")["tasks"]["folder:tones (logistic)"]["unreadable"]
    assert skipped["file"] == str(tones / "3.wav")


def test_foreign_results_file_is_not_overwritten(tones_arguments, tmp_path):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ValueError, match="was not written by this version of synpat-eval"):
        evaluate(*tones_arguments, "--out", tmp_path)
    assert (tmp_path / "results.json").read_text() == "{}"


def test_encoder_of_another_height_is_resampled_with_a_message(export_encoder, tones, tmp_path, capsys):
    encoder = ["--encoder", export_encoder(96), "--cache", tmp_path / "cache"]
    evaluate(*encoder, "--task", "folder", "--data", tones, *QUICK)
    assert "was trained on 96x208, but spectrograms have 80 bands: its positions are resampled to 80x208" in (
        capsys.readouterr().err
    )


def test_encoder_with_128_bands_uses_the_front_end_of_audiomae(export_encoder, tones_arguments, tones, tmp_path):
    evaluate("--encoder", export_encoder(128), *tones_arguments[2:], *QUICK, "--out", tmp_path / "out")
    (task,) = results_of(tmp_path / "out")["tasks"].values()
    waveforms = [torch.from_numpy(read_audio(path)) for path in tones.glob("*.wav")]
    values = torch.cat([fbank(waveform).flatten() for waveform in waveforms])
    assert task["normalisation"]["mean"] == pytest.approx(values.mean().item(), abs=0.05)


def test_killed_evaluation_resumes_with_its_finished_trials(tones_arguments, tmp_path, monkeypatch):
    evaluate(*tones_arguments, *QUICK, "--out", tmp_path / "uninterrupted")
    calls: list[int] = []

    probe, limit = PROBES["logistic"], 9

    def counting(*arguments):
        if len(calls) == limit:
            raise ChildProcessError
        calls.append(1)
        return probe(*arguments)

    monkeypatch.setitem(PROBES, "logistic", counting)
    killed = (*tones_arguments, *QUICK, "--cache", tmp_path / "killed cache", "--out", tmp_path / "killed")
    with pytest.raises(ChildProcessError):
        evaluate(*killed)
    limit = 100
    evaluate(*killed)
    assert len(calls) == 15  # five contestants and three folds
    assert results_of(tmp_path / "killed") == results_of(tmp_path / "uninterrupted")
    assert not (tmp_path / "killed" / "unfinished").exists()


def test_baselines_are_trained_once_for_several_encoders(tones_arguments, tmp_path, monkeypatch):
    calls: list[int] = []
    probe = PROBES["logistic"]

    def counting(*arguments):
        calls.append(1)
        return probe(*arguments)

    monkeypatch.setitem(PROBES, "logistic", counting)
    for name, trained in (("first", 15), ("second", 3)):
        calls.clear()
        evaluate(*tones_arguments, *QUICK, "--out", tmp_path / name)
        assert len(calls) == trained
    assert results_of(tmp_path / "first") == results_of(tmp_path / "second")


def test_encoder_and_random_init_are_fine_tuned(tones_arguments, tmp_path, capsys):
    quick = ["--set", "epochs=1", "--set", "warmup=0", "--set", "batch_size=4", "--set", "updates=0"]
    evaluate(*tones_arguments, "--protocol", "finetune", *quick, "--out", tmp_path / "out")
    (task,) = results_of(tmp_path / "out")["tasks"].values()
    assert task["protocol"].startswith("finetune: epochs 1, batch_size 4, ")
    scores = task["scores"]
    assert [len(scores[name]["by_seed"]) for name in ("encoder", "random-init", "log-mel mean/std")] == [3, 3, 1]
    assert not (tmp_path / "out" / "unfinished").exists()


def test_comparison_uses_the_same_clips(run, tones_arguments, export_encoder, tmp_path, capsys):
    other = export_encoder(96)
    evaluate(*tones_arguments, *QUICK)
    evaluate("--encoder", other, *tones_arguments[2:], *QUICK)
    capsys.readouterr()
    evaluate("compare", run, other, "--out", tmp_path / "comparison.png")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:]] == [
        run.name,
        other.name,
        "random-init",
        "log-mel mean/std",
    ]
    first, second = (
        results_of(each / "evaluation")["tasks"]["folder:tones (logistic)"]["scores"] for each in (run, other)
    )
    difference = 100 * (second["encoder"]["value"] - first["encoder"]["value"])
    assert f"{difference:+.1f} (" in lines[3].split("|")[6]
    with Image.open(tmp_path / "comparison.png") as picture:
        assert picture.width > 500


def test_comparison_reports_the_share_of_the_gap_to_published_results(
    tones_arguments, run, tmp_path, capsys, monkeypatch
):
    evaluate(*tones_arguments, *QUICK)
    reference = ReferenceResults(
        encoder="other", source="Author, Paper, 2000", figures={"folder:tones (logistic)": 200.0}
    )
    monkeypatch.setattr(cli, "REFERENCE_RESULTS", {**REFERENCE_RESULTS, "m2d": reference})
    capsys.readouterr()
    evaluate("compare", run, "--reference", "m2d", "--out", tmp_path / "comparison.png")
    output = capsys.readouterr().out
    scores = results_of(run / "evaluation")["tasks"]["folder:tones (logistic)"]["scores"]
    score, untrained = scores["encoder"]["value"], scores["random-init"]["value"]
    assert f"| {100 * (score - untrained) / (2 - untrained):.0f} % " in output
    assert "published: other" in output
    assert "Published results are those of their authors: Author, Paper, 2000." in output


def test_each_task_is_recorded_before_the_next_one_is_decoded(tones_arguments, tmp_path, monkeypatch):
    """The second task cannot be loaded; the result of the first is kept."""

    def failing_task(source):
        def load():
            raise ChildProcessError

        return load

    monkeypatch.setitem(TASKS, "gm-pitch", failing_task)
    with pytest.raises(ChildProcessError):
        evaluate(*tones_arguments, "--task", "gm-pitch", *QUICK, "--out", tmp_path / "out")
    assert set(results_of(tmp_path / "out")["tasks"]) == {"folder:tones (logistic)"}


def test_empty_table_has_only_its_header():
    assert table([]).splitlines()[0].startswith("| task | metric | encoder | % |")


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--help"], 0, "synpat-eval --encoder runs/perlin --task gm-instrument"),
        (["--encoder", "nowhere", "--task", "gm-pitch"], 1, "Error: nowhere contains no encoder"),
        (["--encoder", "RUN", "--task", "folder", "--data", "nowhere"], 1, "Error: nowhere has no metadata.csv"),
        (
            ["--encoder", "RUN", "--task", "folder"],
            2,
            "a data folder (--data) is required for tasks without embedded audio",
        ),
        (
            ["--encoder", "RUN", "--task", "folder", "--data", ".", "--set", "epoch=3"],
            1,
            "nearest known one is 'epochs'",
        ),
        (
            ["compare", "nowhere"],
            1,
            "Error: nowhere contains no results.json, and neither does nowhere/evaluation: run synpat-eval",
        ),
        (["--encoder", "RUN", "--task", "esc51"], 2, "'folder', 'gm-instrument', 'gm-pitch'"),
    ],
)
def test_command_prints_help_and_one_line_errors(run, tmp_path, monkeypatch, capsys, arguments, status, text):
    arguments = [str(run) if argument == "RUN" else argument for argument in arguments]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["synpat-eval", *arguments])
    with pytest.raises(SystemExit) as end:
        entry_points.evaluate()
    output = capsys.readouterr()
    # sys.exit(text) prints the text and means status 1.
    assert (end.value.code if isinstance(end.value.code, int) else 1) == status
    assert text in f"{output.out} {output.err} {end.value.code}"


@pytest.mark.parametrize(("name", "words"), [("x.jpg", "must end in .png"), ("nodir/x.png", "does not exist: create")])
def test_a_plot_of_another_type_or_place_is_a_usage_error(name: str, words: str, run: Path, tmp_path: Path):
    done = CliRunner().invoke(main, ["compare", str(run), "--out", str(tmp_path / name)])
    assert done.exit_code == 2
    assert words in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_tasks_are_a_table_that_fits_the_terminal(columns: int, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = CliRunner().invoke(main, ["tasks"]).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert {line.split()[0] for line in lines if line} >= set(TASKS)
    assert any("CC BY" in line for line in lines) == (columns == 200)


def test_tasks_as_json():
    listed = json.loads(CliRunner().invoke(main, ["tasks", "--json"]).stdout)
    assert set(listed) == set(TASKS)
    assert listed["spcv2"]["clips"] == {"train": 84843, "valid": 9981, "test": 11005}


@pytest.mark.parametrize("columns", [40, 80])
def test_the_table_of_results_fits_a_terminal(columns: int, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    head = ("task", "metric", "encoder", "%", "95 % interval", "n", "folds", "encoder minus this")
    row = (
        "folder:my-recordings",
        "accuracy",
        "random-init (3 seeds)",
        "51.2",
        "44.0 to 58.3",
        "120",
        "5",
        "+9.1 (+2.0 to +16.2)",
    )
    table = printed_table(head, [row, row], optional=("folds", "n", "metric"))
    assert max(map(len, table.splitlines())) <= columns
    assert {"51.2", "44.0", "58.3", "+9.1", "(+2.0", "+16.2)"} <= set(table.split())
