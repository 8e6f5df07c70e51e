"""The tasks from a soundfont: their splits, and the reproducibility of the notes."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from synpat_train.evaluation.tasks import general_midi
from synpat_train.evaluation.tasks.general_midi import (
    Notes,
    find_font,
    instrument_task,
    load_notes,
    pitch_task,
    render,
)
from synpat_train.evaluation.tasks.task import Source


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def notes(cache) -> Notes:
    return load_notes(cache)


def test_pitch_task_has_no_preset_in_both_parts(cache, notes):
    for split in pitch_task(Source(cache=cache))().splits:
        assert not set(notes.programs[split.train]) & set(notes.programs[split.test])


def test_instrument_task_has_no_note_in_both_parts(cache, notes):
    pairs = list(zip(notes.programs.tolist(), notes.keys.tolist(), strict=True))
    for split in instrument_task(Source(cache=cache))().splits:
        assert not {pairs[i] for i in split.train} & {pairs[i] for i in split.test}


@pytest.mark.parametrize("make", [instrument_task, pitch_task])
def test_every_note_is_tested_once_and_not_in_its_training_part(cache, notes, make):
    splits = make(Source(cache=cache))().splits
    assert sorted(np.concatenate([split.test for split in splits])) == list(range(len(notes.keys)))
    for split in splits:
        assert not set(split.train) & set(split.test)


def test_tasks_have_88_keys_and_14_families(cache):
    pitches, families = pitch_task(Source(cache=cache))(), instrument_task(Source(cache=cache))()
    assert set(pitches.labels) == {str(key) for key in range(21, 109)}
    assert len(set(families.labels)) == 14
    assert pitches.recordings is families.recordings


def test_few_notes_are_silent_and_all_others_have_the_same_peak(notes):
    assert 0.98 * 112 * 22 < len(notes.recordings) <= 112 * 22
    for index in range(0, len(notes.recordings), 97):
        assert np.abs(notes.recordings.waveform(index)).max() == pytest.approx(0.5, abs=1e-3)


def test_notes_have_their_pitch(notes):
    """The strongest frequency is measured for an ocarina, which is nearly a sine."""
    for index in np.flatnonzero(notes.programs == 79):
        spectrum = np.abs(np.fft.rfft(notes.recordings.waveform(index)[:16000]))
        hertz = 440 * 2 ** ((notes.keys[index] - 69) / 12)
        # The soundfont plays it at its pitch or an octave higher.
        octaves = np.log2(spectrum.argmax() / hertz)
        assert abs(octaves - round(octaves)) < 0.05


def test_rendering_of_a_note_does_not_depend_on_earlier_notes(notes):
    indices = range(0, len(notes.keys), 13)
    pairs = [(notes.programs[index].item(), notes.keys[index].item()) for index in indices]
    for index, waveform in zip(indices, render(find_font(), pairs), strict=True):
        assert waveform is not None
        np.testing.assert_array_equal(waveform / np.float32(32768), notes.recordings.waveform(index))


def test_preset_without_a_sample_for_a_key_is_silent(notes):
    assert list(render(find_font(), [(68, 21)])) == [None]
    assert not ((notes.programs == 68) & (notes.keys == 21)).any()


def test_killed_rendering_leaves_no_files(tmp_path, monkeypatch):
    def interrupted(font, notes):
        yield from (waveform for waveform, _ in zip(render(font, notes[:3]), range(3), strict=True))
        raise KeyboardInterrupt

    monkeypatch.setattr(general_midi, "render", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_notes(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_keys_of_a_preset_are_four_apart(notes):
    for program in (0, 1, 2, 3):
        keys = notes.keys[notes.programs == program].tolist()
        assert keys[0] == 21 + program
        assert {after - before for before, after in pairwise(keys)} == {4}
