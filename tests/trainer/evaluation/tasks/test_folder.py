"""Tasks from folders with a metadata.csv, and the errors for invalid ones."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from synpat_train.audio.front_end import FRONT_ENDS
from synpat_train.audio.read import read_audio
from synpat_train.evaluation.evaluate import Contestant, probe_trials, score
from synpat_train.evaluation.finetuning.recipes import M2D
from synpat_train.evaluation.probes.embedding import EmbeddingContext, embed, measure_normalisation, statistics_embedder
from synpat_train.evaluation.protocols import PROTOCOLS, ProbeProtocol
from synpat_train.evaluation.tasks.folder import folder_task
from synpat_train.evaluation.tasks.listing import splits_of
from synpat_train.evaluation.tasks.task import Source


def source(folder: Path, **options) -> Source:
    return Source(data=folder, cache=folder.parent / "cache", **options)


def rows_of(folder: Path) -> list[list[str]]:
    lines = (folder / "metadata.csv").read_text().splitlines()
    return [line.split(",") for line in lines[1:]]


def test_clips_equal_their_files_to_16_bits(tones):
    task = folder_task(source(tones))()
    assert task.name == "folder:tones"
    assert len(task.recordings) == len(task.labels) == 12
    for index, (file, label, _) in enumerate(rows_of(tones)):
        np.testing.assert_allclose(
            task.recordings.waveform(index), read_audio(tones / file), rtol=0, atol=0.5001 / 2**15
        )
        assert task.labels[index] == label


def test_each_fold_is_tested_once_with_the_others_as_training_part(tones):
    splits = folder_task(source(tones))().splits
    assert [split.name for split in splits] == ["0", "1", "2"]
    for split in splits:
        assert sorted([*split.train, *split.test]) == list(range(12))
    assert sorted(np.concatenate([split.test for split in splits])) == list(range(12))


def test_fold_10_comes_after_fold_9():
    splits = splits_of(np.array(["10", "9", "1"]))
    assert [split.name for split in splits] == ["1", "9", "10"]


@pytest.mark.parametrize("names", [("Train", "Val", "Test"), ("training", "validation", "testing")])
def test_usual_names_of_parts_are_read_as_a_split(names, tones, write_metadata):
    parts = [names[0]] * 6 + [names[1]] * 2 + [names[2]] * 4
    rows = [(file, label, part) for (file, label, _), part in zip(rows_of(tones), parts, strict=True)]
    write_metadata(tones, rows, ("filename", "label", "split"))
    (split,) = folder_task(source(tones))().splits
    assert [len(split.train), len(split.valid), len(split.test)] == [6, 2, 4]


def test_official_split_trains_only_on_its_train_part(tones, write_metadata):
    parts = ["train"] * 6 + ["valid"] * 2 + ["test"] * 4
    rows = [(file, label, part) for (file, label, _), part in zip(rows_of(tones), parts, strict=True)]
    write_metadata(tones, rows, ("filename", "label", "split"))
    task = folder_task(source(tones))()
    (split,) = task.splits
    assert split.train.tolist() == task.training_clips.tolist() == [0, 1, 2, 3, 4, 5]
    assert split.test.tolist() == [8, 9, 10, 11]


def test_folder_named_like_a_benchmark_is_not_that_benchmark(tones, tmp_path):
    """Its results have another name, and fine-tuning uses the default recipe."""
    task = folder_task(source(tones.rename(tmp_path / "esc50")))()
    assert task.name == "folder:esc50"
    assert task.benchmark == ""
    assert PROTOCOLS["finetune"].settings(task.benchmark) == M2D[""] != M2D["esc50"]


def test_options_select_columns_and_rows_without_a_value_are_left_out(tones, write_metadata):
    speeds = ["slow", "slow", "fast", "fast", "", "fast"] * 2
    halves = ["1"] * 5 + [""] + ["2"] * 6
    rows = [(*row, *more) for row, *more in zip(rows_of(tones), speeds, halves, strict=True)]
    write_metadata(tones, rows, ("filename", "label", "fold", "speed", "half"))
    task = folder_task(source(tones, label="speed", split="half"))()
    assert task.name == "folder:tones/speed/half"
    assert task.labels.tolist() == ["slow", "slow", "fast", "fast", "slow", "slow", "fast", "fast", "fast"]
    assert task.unassigned == 3


def test_error_for_label_without_training_clips_names_it(tones, write_metadata):
    rows = [(file, "hum" if fold == "1" else label, fold) for file, label, fold in rows_of(tones)]
    write_metadata(tones, rows)
    with pytest.raises(ValueError, match="split 1 has test labels without training clips: hum"):
        folder_task(source(tones))()


def test_unreadable_files_are_counted_and_named(tones):
    (tones / "3.wav").write_bytes(b"noise")
    soundfile.write(tones / "8.wav", np.zeros(1000), 16000)
    with pytest.raises(ValueError, match=r"2 of 12 files .*3\.wav: cannot.*8\.wav: silent.*--unreadable skip"):
        folder_task(source(tones))()


def test_unreadable_files_are_left_out_on_request_and_recorded(tones, capsys):
    (tones / "3.wav").write_bytes(b"noise")
    task = folder_task(source(tones, skip_unreadable=True))()
    assert [(each.path, each.reason[:17]) for each in task.unreadable] == [(tones / "3.wav", "cannot be decoded")]
    assert len(task.recordings) == len(task.labels) == 11
    np.testing.assert_array_equal(task.recordings.waveform(3), read_audio(tones / "4.wav"))
    assert "left out" in capsys.readouterr().err


def test_label_without_enough_readable_clips_is_rejected(tones):
    for index in (1, 3, 5, 7, 9):
        (tones / f"{index}.wav").write_bytes(b"noise")
    with pytest.raises(ValueError, match="labels with one clip: low"):
        folder_task(source(tones, skip_unreadable=True))()


def test_folder_without_a_readable_file_is_rejected(tones):
    for file in tones.glob("*.wav"):
        file.write_bytes(b"noise")
    with pytest.raises(ValueError, match=r"none of 12 files is readable; the first error: .*0\.wav"):
        folder_task(source(tones, skip_unreadable=True))()


def test_error_for_missing_metadata_lists_the_folder(tmp_path):
    (tmp_path / "ESC-50-master").mkdir()
    with pytest.raises(ValueError, match=r"no metadata\.csv .*It contains ESC-50-master"):
        folder_task(source(tmp_path))()
    with pytest.raises(ValueError, match="The folder does not exist"):
        folder_task(source(tmp_path / "absent"))()


def test_error_for_missing_column_lists_the_existing_ones(tones):
    with pytest.raises(ValueError, match="no column speaker; it has filename, label, fold"):
        folder_task(source(tones, label="speaker"))()


def edited(rows: list[list[str]], edit: str) -> list[list[str]]:
    match edit:
        case "one clip":
            return [*rows, ["0.wav.copy", "alone", "0"]]
        case "one label":
            return [[file, "low", fold] for file, _, fold in rows]
        case "one fold":
            return [[file, label, "1"] for file, label, _ in rows]
        case "half a split":
            return [[file, label, "train" if fold == "0" else "valid"] for file, label, fold in rows]
        case "twice":
            return [*rows, rows[2]]
        case "nothing":
            return []
        case _:
            raise AssertionError(edit)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ("one clip", "labels with one clip: alone"),
        ("one label", r"at least two labels are needed, got \['low'\]"),
        ("one fold", r"at least two folds are needed, got only \['1'\]"),
        ("half a split", "needs both train and test"),
        ("twice", r"lists 1 files more than once, the first: 2\.wav"),
        ("nothing", "has no row with a label and a fold"),
    ],
)
def test_invalid_metadata_is_rejected_before_decoding(tones, write_metadata, edit, reason):
    write_metadata(tones, edited(rows_of(tones), edit))
    for file in tones.glob("*.wav"):
        file.unlink()
    with pytest.raises(ValueError, match=reason):
        folder_task(source(tones))()


REAL = Path(os.environ.get("SYNPAT_AUDIO", "no-audio"))
"""Recorded sounds that are not part of the project: see CONTRIBUTING.md."""


on_recorded_sound = pytest.mark.skipif(not REAL.is_dir(), reason="SYNPAT_AUDIO is not a folder with recorded sounds")


@on_recorded_sound
def test_recorded_esc10_has_its_documented_size(tmp_path):
    task = folder_task(Source(data=REAL / "esc10", cache=tmp_path))()
    assert len(task.recordings) == 400
    assert len(set(task.labels)) == 10
    assert [len(split.test) for split in task.splits] == [80] * 5


@on_recorded_sound
@pytest.mark.parametrize(
    ("name", "split", "expected"),
    [("esc10", None, 0.802), ("fsdd", "speaker_fold", 0.551)],  # the first figure was measured with other code
)
def test_accuracy_of_log_mel_statistics_on_recorded_sounds_is_unchanged(name, split, expected, tmp_path):
    task = folder_task(Source(data=REAL / name, split=split, cache=tmp_path))()
    front_end = FRONT_ENDS[80]
    statistics = statistics_embedder(front_end)
    normalisation = measure_normalisation(task.recordings, task.training_clips, front_end, device="cpu", what="")
    context = EmbeddingContext(front_end=front_end, normalisation=normalisation, unit=task.unit, device="cpu")
    embedded = embed(task.recordings, [statistics], context, [np.array([clip]) for clip in range(len(task.files))], "")
    features = np.concatenate([features_of_clip for (features_of_clip,) in embedded])
    contestant = Contestant(name="statistics", embedder=statistics, encoder=None, kept=tmp_path)
    probe = PROTOCOLS["logistic"]
    assert isinstance(probe, ProbeProtocol)
    trials = probe_trials(task, [contestant], context, probe, lambda *_: [features])
    result = score(task, trials, [each.scores() for each in trials])["statistics"]
    assert result.value == pytest.approx(expected, abs=0.005)
