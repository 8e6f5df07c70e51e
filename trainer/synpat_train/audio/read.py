"""Reading of audio files of any sample rate and number of channels as 16 kHz mono."""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from synpat_shards import InputError
from synpat_train.audio import SAMPLE_RATE

UNKNOWN_LENGTH = 1 << 62
"""At least this number of frames is reported for a FLAC file whose header has no length."""


class UnreadableAudio(InputError):
    """An audio file that cannot be used. The message names the file and the reason."""

    def __init__(self, path: Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def read_audio(path: Path) -> np.ndarray:
    """Read a file as float32 [samples] at 16 kHz, nominally within -1 and 1: the mean over its channels.

    Raises UnreadableAudio if the file is missing, corrupt, empty or silent (all samples equal).
    """
    if not is_file(path):
        raise UnreadableAudio(path, "no such file")
    try:
        samples, rate = _decode(path)
    except UnreadableAudio:
        raise
    except Exception as error:  # soundfile raises many kinds of exceptions
        raise UnreadableAudio(path, f"cannot be decoded ({_reason(error)})") from error
    if len(samples) == 0:
        raise UnreadableAudio(path, "empty")
    waveform = samples.mean(axis=1)
    if not np.isfinite(waveform).all():
        raise UnreadableAudio(path, "has samples that are not finite")
    if np.ptp(waveform) == 0:
        raise UnreadableAudio(path, "silent")
    try:
        resampled = soxr.resample(waveform, rate, SAMPLE_RATE)
    except Exception as error:
        raise UnreadableAudio(path, f"cannot be resampled from {rate} Hz ({_reason(error)})") from error
    if len(resampled) == 0:
        raise UnreadableAudio(path, f"too short ({len(waveform)} samples at {rate} Hz)")
    return resampled


def is_file(path: Path) -> bool:
    """Return True if a file exists; False also if no file can have this name."""
    try:
        return path.is_file()
    except OSError:
        return False


def sample_rate(path: Path) -> int | None:
    """Return the sample rate from the header of a file in Hz; None if it is not audio or has no samples."""
    try:
        info = soundfile.info(path)
    except Exception:  # soundfile raises many kinds of exceptions
        return None
    return info.samplerate if 0 < info.frames < UNKNOWN_LENGTH else None


def _decode(path: Path) -> tuple[np.ndarray, int]:
    with soundfile.SoundFile(path) as file:
        if file.frames >= UNKNOWN_LENGTH:
            raise UnreadableAudio(path, "its header has no length, as from a pipe: encode the file again")
        return file.read(dtype="float32", always_2d=True), file.samplerate


def _reason(error: Exception) -> str:
    text = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
    return " ".join(text.split()) or type(error).__name__
