"""Fixtures for the tests of the evaluation: encoders on disk, and folders of generated audio."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file
from trainings import small_encoder, task_of, tone_and_noise

from synpat_train.evaluation.tasks.task import Task
from synpat_train.model.encoder import Encoder
from synpat_train.model.vit import ARCHITECTURES, build_vit, vit_arguments


@pytest.fixture(scope="session")
def export_encoder(tmp_path_factory) -> Callable[[int], Path]:
    """Return a function that writes a run folder with a tiny random encoder for images of a height and 208 frames."""

    def export(height: int) -> Path:
        run = tmp_path_factory.mktemp("run")
        folder = run / "encoder"
        folder.mkdir()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            save_file(build_vit("tiny", height, 208, 16).state_dict(), folder / "model.safetensors")
        config = {
            "architecture": ARCHITECTURES["tiny"],
            "num_classes": 0,
            "model_args": vit_arguments(height, 208, 16),
            "pretrained_cfg": {},
        }
        (folder / "config.json").write_text(json.dumps(config))
        return run

    return export


@pytest.fixture(scope="session")
def run(export_encoder) -> Path:
    """Write a run folder with a tiny random encoder for 80 x 208."""
    return export_encoder(80)


@pytest.fixture
def write_metadata() -> Callable[..., None]:
    """Return a function that writes rows of text into metadata.csv of a folder."""

    def write(folder: Path, rows: Sequence[Sequence[str]], columns=("filename", "label", "fold")) -> None:
        with (folder / "metadata.csv").open("w", newline="") as file:
            csv.writer(file).writerows([columns, *rows])

    return write


@pytest.fixture
def tones(tmp_path, write_metadata) -> Path:
    """Write twelve low and high tones in three folds, with different sample rates, channels and lengths."""
    folder = tmp_path / "tones"
    folder.mkdir()
    rows = []
    for index in range(12):
        label, hertz = ("low", 200 + 10 * index) if index % 2 else ("high", 3000 + 10 * index)
        rate = (8000, 16000, 44100)[index % 3]
        samples = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round((0.3 + 0.4 * index) * rate)) / rate)
        soundfile.write(folder / f"{index}.wav", np.stack([samples] * (1 + index // 6), axis=1), rate)
        rows.append((f"{index}.wav", label, str(index // 4)))
    write_metadata(folder, rows)
    return folder


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """Return an encoder with two blocks and 80 mel bands."""
    return small_encoder(80)


@pytest.fixture(scope="session")
def low_or_high() -> Task:
    """Return a task with eighty clips, alternately of a low and of a high tone."""
    high = np.arange(80) % 2 == 1
    return task_of(tone_and_noise(np.stack([~high, high], axis=1)), np.where(high, "high", "low").tolist())
