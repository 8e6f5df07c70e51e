"""Reading of audio files of any sample rate and number of channels as 16 kHz mono."""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from synpat_shards import InputError
from synpat_train.audio import SAMPLE_RATE


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
    if not path.is_file():
        raise UnreadableAudio(path, "no such file")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise UnreadableAudio(path, f"cannot be decoded ({_reason(error)})") from error
    if len(samples) == 0:
        raise UnreadableAudio(path, "empty")
    waveform = samples.mean(axis=1)
    if not np.isfinite(waveform).all():
        raise UnreadableAudio(path, "has samples that are not finite")
    if np.ptp(waveform) == 0:
        raise UnreadableAudio(path, "silent")
    resampled = soxr.resample(waveform, rate, SAMPLE_RATE)
    if len(resampled) == 0:
        raise UnreadableAudio(path, f"too short ({len(waveform)} samples at {rate} Hz)")
    return resampled


def _reason(error: soundfile.SoundFileError) -> str:
    return error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
