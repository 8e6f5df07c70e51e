"""Generated audio for tests."""

import csv
from pathlib import Path

import numpy as np
import soundfile


def write_tones(folder: Path) -> Path:
    """Write low and high tones of half a second in two folds, with their metadata.csv. Return the folder."""
    folder.mkdir()
    with (folder / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("filename", "label", "fold"))
        for index in range(16):
            label, hertz = ("low", 200 + 9 * index) if index % 2 else ("high", 2500 + 99 * index)
            time = np.arange(8000) / 16000
            soundfile.write(folder / f"{index}.wav", 0.3 * np.sin(2 * np.pi * hertz * time), 16000)
            table.writerow((f"{index}.wav", label, index // 8))
    return folder
