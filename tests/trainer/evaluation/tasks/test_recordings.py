"""Audio is decoded once, and a killed run has not decoded in vain."""

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
    """Stands for the end of the process."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eleven clips of several lengths, the fifth of them no audio."""
    (tmp_path / "data").mkdir()
    for index, name in enumerate(NAMES):
        samples = np.random.default_rng(index).uniform(-0.9, 0.9, 1000 + 100 * index)
        soundfile.write(tmp_path / "data" / name, samples, 16_000)
    (tmp_path / "data" / NAMES[4]).write_bytes(b"noise")
    return tmp_path / "data"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is decoded, file by file; two of them between entries in the journal."""
    names: list[str] = []

    def counting(path: Path) -> np.ndarray:
        names.append(path.name)
        return read_audio(path)

    monkeypatch.setattr(recordings, "AT_ONCE", 2)
    monkeypatch.setattr(recordings, "read_audio", counting)
    return names


def decoded(folder: Path, cache: str = "cache") -> Recordings:
    found, unreadable = decode(folder, NAMES, folder.parent / cache, "test")
    assert list(unreadable) == [4]
    return found


def assert_same(ours: Recordings, theirs: Recordings) -> None:
    assert ours.digest == theirs.digest
    assert len(ours) == len(theirs) == 10
    for index in range(10):
        np.testing.assert_array_equal(ours.waveform(index), theirs.waveform(index))


def test_a_second_run_decodes_nothing(folder, read):
    first = decoded(folder)
    assert sorted(read) == sorted(NAMES)
    read.clear()
    assert_same(decoded(folder), first)
    assert read == []


def test_a_killed_run_is_gone_on_with(folder, read, monkeypatch):
    straight = decoded(folder, "straight")
    read.clear()
    counting = recordings.read_audio  # pyright: ignore[reportPrivateImportUsage]

    def dying(path: Path) -> np.ndarray:
        if path.name == NAMES[7]:
            raise Killed
        return counting(path)

    monkeypatch.setattr(recordings, "read_audio", dying)
    with pytest.raises(Killed):
        decoded(folder)
    monkeypatch.setattr(recordings, "read_audio", counting)
    read.clear()
    assert_same(decoded(folder), straight)
    assert sorted(read) == sorted(NAMES[6:])


def test_what_a_kill_left_half_written_is_dropped(folder, read):
    straight = decoded(folder)
    (kept,) = (folder.parent / "cache" / "audio").iterdir()
    lines = (kept / "clips.jsonl").read_bytes().splitlines(keepends=True)
    (kept / "clips.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:2])
    with (kept / "samples.int16").open("ab") as samples:
        samples.write(b"torn")
    assert_same(decoded(folder), straight)


def test_other_files_under_the_same_names_are_decoded_anew(folder, read):
    decoded(folder)
    read.clear()
    soundfile.write(folder / NAMES[0], np.random.default_rng(99).uniform(-0.9, 0.9, 1000), 16_000)
    os.utime(folder / NAMES[0], ns=(1, 1))
    found = decoded(folder)
    np.testing.assert_allclose(found.waveform(0), read_audio(folder / NAMES[0]), rtol=0, atol=0.6 / 2**15)
    assert sorted(read) == sorted(NAMES)


def test_louder_than_full_scale_is_clipped_and_not_wrapped(tmp_path):
    soundfile.write(tmp_path / "loud.wav", np.array([0.5, 1.5, -1.5] * 100), 16_000, subtype="FLOAT")
    found, _ = decode(tmp_path, ["loud.wav"], tmp_path / "cache", "test")
    np.testing.assert_allclose(found.waveform(0)[:3], [0.5, 1, -1], atol=1e-4)


def test_a_process_waits_for_another_that_writes_the_same(tmp_path, capsys):
    order = []

    def second() -> None:
        with exclusive_lock(tmp_path):
            order.append("second")

    thread = threading.Thread(target=second)
    with exclusive_lock(tmp_path):
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert f"waiting for another process that writes to {tmp_path}" in capsys.readouterr().err
