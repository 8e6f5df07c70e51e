"""Audio is decoded once. A killed decoding is resumed."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from synpat_train.audio.read import read_audio
from synpat_train.evaluation.tasks import recordings
from synpat_train.evaluation.tasks.recordings import Recordings, decode
from synpat_train.lock import exclusive_lock

NAMES = [f"{index}.wav" for index in range(11)]


class Killed(Exception):
    """Exception that simulates the end of the process."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write eleven clips of different lengths. The fifth is not audio."""
    (tmp_path / "data").mkdir()
    for index, name in enumerate(NAMES):
        samples = np.random.default_rng(index).uniform(-0.9, 0.9, 1000 + 100 * index)
        soundfile.write(tmp_path / "data" / name, samples, 16_000)
    (tmp_path / "data" / NAMES[4]).write_bytes(b"noise")
    return tmp_path / "data"


@pytest.fixture
def decoded_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of files decoded so far. The journal is written after every two files."""
    names: list[str] = []

    def counting(path: Path) -> np.ndarray:
        names.append(path.name)
        return read_audio(path)

    monkeypatch.setattr(recordings, "AT_ONCE", 2)
    monkeypatch.setattr(recordings, "read_audio", counting)
    return names


def decoded(folder: Path, cache: str = "cache") -> Recordings:
    decoded_clips, unreadable = decode(folder, NAMES, folder.parent / cache, "test")
    assert list(unreadable) == [4]
    return decoded_clips


def assert_same(first: Recordings, second: Recordings) -> None:
    assert first.digest == second.digest
    assert len(first) == len(second) == 10
    for index in range(10):
        np.testing.assert_array_equal(first.waveform(index), second.waveform(index))


def test_second_run_decodes_no_file(folder, decoded_names):
    first = decoded(folder)
    assert sorted(decoded_names) == sorted(NAMES)
    decoded_names.clear()
    assert_same(decoded(folder), first)
    assert decoded_names == []


def test_killed_decoding_resumes_after_the_last_entry(folder, decoded_names, monkeypatch):
    uninterrupted = decoded(folder, "uninterrupted")
    decoded_names.clear()
    counting = recordings.read_audio  # pyright: ignore[reportPrivateImportUsage]

    def failing(path: Path) -> np.ndarray:
        if path.name == NAMES[7]:
            raise Killed
        return counting(path)

    monkeypatch.setattr(recordings, "read_audio", failing)
    with pytest.raises(Killed):
        decoded(folder)
    monkeypatch.setattr(recordings, "read_audio", counting)
    decoded_names.clear()
    assert_same(decoded(folder), uninterrupted)
    assert sorted(decoded_names) == sorted(NAMES[6:])


def test_incomplete_entries_of_a_killed_run_are_dropped(folder, decoded_names):
    uninterrupted = decoded(folder)
    (kept,) = (folder.parent / "cache" / "audio").iterdir()
    lines = (kept / "clips.jsonl").read_bytes().splitlines(keepends=True)
    (kept / "clips.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:2])
    with (kept / "samples.int16").open("ab") as samples:
        samples.write(b"partial")
    assert_same(decoded(folder), uninterrupted)


def test_changed_files_are_decoded_again(folder, decoded_names):
    decoded(folder)
    decoded_names.clear()
    soundfile.write(folder / NAMES[0], np.random.default_rng(99).uniform(-0.9, 0.9, 1000), 16_000)
    os.utime(folder / NAMES[0], ns=(1, 1))
    decoded_clips = decoded(folder)
    np.testing.assert_allclose(decoded_clips.waveform(0), read_audio(folder / NAMES[0]), rtol=0, atol=0.6 / 2**15)
    assert sorted(decoded_names) == sorted(NAMES)


def test_samples_above_full_scale_are_clipped(tmp_path):
    soundfile.write(tmp_path / "loud.wav", np.array([0.5, 1.5, -1.5] * 100), 16_000, subtype="FLOAT")
    decoded_clips, _ = decode(tmp_path, ["loud.wav"], tmp_path / "cache", "test")
    np.testing.assert_allclose(decoded_clips.waveform(0)[:3], [0.5, 1, -1], atol=1e-4)


def test_process_waits_for_another_that_writes_to_the_folder(tmp_path, capsys):
    order = []

    def wait_for_lock() -> None:
        with exclusive_lock(tmp_path):
            order.append("second")

    thread = threading.Thread(target=wait_for_lock)
    with exclusive_lock(tmp_path):
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert f"waiting for another process that writes to {tmp_path}" in capsys.readouterr().err
