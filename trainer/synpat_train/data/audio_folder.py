"""Folders of recordings as training data: a tar of spectrograms as grey images, written once into the cache."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from synpat_shards import InputError, atomic_file, encode_png, is_system_file, walk_files
from synpat_shards.tar import write_end, write_sample
from synpat_train.audio.front_end import FRONT_ENDS
from synpat_train.audio.log_mel import BANDS
from synpat_train.audio.read import read_audio
from synpat_train.lock import exclusive_lock
from synpat_train.progress import print_message, track

AUDIO = (".wav", ".flac", ".ogg", ".opus", ".mp3")
"""Suffixes of audio files, in any case."""
RECORDINGS = "recordings"
"""Name in place of a family, in the run folder and in the model card."""
PIECE = 1000
"""Maximum number of frames of an image (10 s). Longer recordings are cut into pieces of equal length."""
VERSION = 1
"""It changes with the pixels of the spectrograms."""


def audio_files(folder: Path) -> list[str]:
    """Return the audio files in a folder and its subfolders, relative to it, in order."""
    paths = (path.relative_to(folder) for path in (walk_files(folder) if folder.is_dir() else ()))
    return [
        path.as_posix() for path in paths if path.suffix.lower() in AUDIO and not any(map(is_system_file, path.parts))
    ]


def spectrogram_tar(folder: Path, files: list[str], height: int, cache: Path, skip_damaged: bool) -> Path:
    """Return a tar in the cache with the spectrograms of audio files as PNG images, after writing it if necessary.

    The front end is that of the evaluation for this height, or else that of 80 bands. Row 0 is the lowest band. In each
    piece, the levels between the minimum and the maximum are mapped to 0..255, as in the patterns of the family
    soundscape. Raises InputError that names a file which cannot be read; skip_damaged: report it instead.
    """
    states = [(file, (status := os.stat(folder / file)).st_size, status.st_mtime_ns) for file in files]
    identity = json.dumps([VERSION, height, PIECE, skip_damaged, states])
    tar = cache / hashlib.sha256(identity.encode()).hexdigest()[:16] / f"{RECORDINGS}.tar"
    if not tar.exists():
        tar.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(tar.parent):  # other processes wait, then find the tar
            if not tar.exists():
                _write(folder, files, height, tar, skip_damaged)
    return tar


def _write(folder: Path, files: list[str], height: int, tar: Path, skip_damaged: bool) -> None:
    with atomic_file(tar) as file:
        for number, name in enumerate(track(files, len(files), f"reading {folder}, files")):
            try:
                waveform = read_audio(folder / name)
            except InputError as error:
                if not skip_damaged:
                    raise InputError(
                        f"{error}. Remove the file, or pass it over with --set skip_damaged=true"
                    ) from error
                print_message(f"skipped: {error}")
                continue
            for piece, image in enumerate(spectrogram_images(waveform, height)):
                write_sample(file, f"{number:08d}-{piece:05d}", {"png": encode_png(image)})
        write_end(file)


def spectrogram_images(waveform: NDArray[np.float32], height: int) -> list[NDArray[np.uint8]]:
    """Return the spectrogram of a waveform at 16 kHz in pieces of equal length, each uint8 [bands, frames]."""
    front_end = FRONT_ENDS.get(height, FRONT_ENDS[BANDS])
    levels = front_end.spectrogram(torch.from_numpy(waveform)).numpy()
    pieces = np.array_split(levels, -(-levels.shape[1] // PIECE), axis=1)
    return [_grey(piece) for piece in pieces]


def _grey(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = levels.min(), levels.max()
    return np.rint((levels - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
