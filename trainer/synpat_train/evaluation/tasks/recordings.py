"""Waveforms at 16 kHz, decoded once into a cache on disk and concatenated in one memory-mapped array."""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synpat_shards import InputError, available_cores, valid_content
from synpat_train.audio import SAMPLE_RATE
from synpat_train.audio.read import UnreadableAudio, read_audio
from synpat_train.lock import exclusive_lock
from synpat_train.progress import track

FULL_SCALE = 32768
VERSION = 1
"""Increased when the stored data of a file change."""
AT_ONCE = 256
"""Number of files between two entries in the journal, which bounds the decoded data in memory."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Recordings:
    """Clips in a fixed order."""

    samples: np.ndarray
    """All clips, with 32768 for full scale: int16 [samples]."""
    starts: np.ndarray
    """Start of each clip: int64 [clips]."""
    lengths: np.ndarray
    """Number of samples of each clip: int64 [clips]."""
    digest: str
    """Digest of the files and of how the clips are cropped. Equal digests mean equal clips."""

    def __len__(self) -> int:
        return len(self.starts)

    def waveform(self, index: int) -> np.ndarray:
        """Return one clip: float32 [samples], within -1 and 1."""
        start = self.starts[index]
        return self.samples[start : start + self.lengths[index]] / np.float32(FULL_SCALE)

    def cut(self, offsets: np.ndarray, unit: int) -> "Recordings":
        """Return the clips from their offsets on, with at most `unit` samples each. offsets: int64 [clips]."""
        lengths = np.minimum(self.lengths - offsets, unit)
        return Recordings(
            samples=self.samples,
            starts=self.starts + offsets,
            lengths=lengths,
            digest=digest_of(self.digest, offsets, lengths),
        )


def decode(folder: Path, files: Sequence[str], cache: Path, name: str) -> tuple[Recordings, dict[int, UnreadableAudio]]:
    """Decode files on all cores, or return what an earlier run has decoded. A killed run is continued.

    files: relative to the folder. cache: the user's cache folder, in which `audio/name-...` is stored; it may be
    deleted at any time. Files are identified by name, size and modification time. Samples are stored as 16-bit
    integers, as in the usual copies at 16 kHz; samples above full scale are clipped.

    Returns the recordings of the readable files, in order, and the errors of the others by their index. Raises
    InputError if no file is readable.
    """
    source = _source_digest(folder, files)
    kept = cache / "audio" / f"{name.replace('/', '-')}-{source[:16]}"
    journal = kept / "clips.jsonl"
    if _journalled(journal) < len(files):
        with exclusive_lock(kept):
            _decode_rest(folder, files, kept, f"{name}: decode")
    remedy = f"Remove {kept} to decode the files again"
    with valid_content(journal, remedy):
        entries = [json.loads(line) for line in journal.read_text().splitlines()]
    unreadable = {
        index: UnreadableAudio(folder / files[index], entry)
        for index, entry in enumerate(entries)
        if isinstance(entry, str)
    }
    if len(unreadable) == len(files):
        raise InputError(f"none of {len(files)} files is readable; the first error: {unreadable[0]}")
    lengths = np.array([entry for entry in entries if not isinstance(entry, str)], np.int64)
    with valid_content(kept / "samples.int16", remedy):
        samples = np.memmap(kept / "samples.int16", np.int16, mode="r")
        if len(samples) < lengths.sum():
            raise ValueError(f"it has {len(samples)} samples instead of {lengths.sum()}")
    recordings = Recordings(
        samples=samples,
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        digest=source,
    )
    return recordings, unreadable


def _decode_rest(folder: Path, files: Sequence[str], kept: Path, what: str) -> None:
    """Decode the files after the last line of the journal, which has the number of samples or the error of each
    file."""
    journal, samples = kept / "clips.jsonl", kept / "samples.int16"
    done = _journalled(journal)
    lines = journal.read_text().splitlines()[:done] if done else []
    with valid_content(journal, f"Remove {kept} to decode the files again"):
        complete = sum(entry for line in lines if not isinstance(entry := json.loads(line), str))
    pieces = [files[start : start + AT_ONCE] for start in range(done, len(files), AT_ONCE)]
    with samples.open("ab") as audio, journal.open("ab") as entries, ThreadPoolExecutor(available_cores()) as pool:
        audio.truncate(complete * np.int16().nbytes)
        entries.truncate(sum(len(line) + 1 for line in lines))
        for piece in track(pieces, len(files) - done, what, size=len):
            sounds = list(pool.map(_read_or_reason, [folder / file for file in piece]))
            decoded = [sound.tobytes() for sound in sounds if not isinstance(sound, UnreadableAudio)]
            # Samples are written first, so that the journal never lists missing samples.
            for file, parts in ((audio, decoded), (entries, map(_entry, sounds))):
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())


def _entry(sound: np.ndarray | UnreadableAudio) -> bytes:
    return json.dumps(sound.reason if isinstance(sound, UnreadableAudio) else len(sound)).encode() + b"\n"


def _journalled(journal: Path) -> int:
    """Return the number of files with a complete line in the journal."""
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def _read_or_reason(path: Path) -> np.ndarray | UnreadableAudio:
    try:
        waveform = read_audio(path)
    except UnreadableAudio as reason:
        return reason
    samples = np.clip(np.rint(waveform * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return samples if np.ptp(samples) else UnreadableAudio(path, "silent")


def _source_digest(folder: Path, files: Sequence[str]) -> str:
    def state(file: str) -> tuple[str, int, int]:
        try:
            status = (folder / file).stat()
        except (OSError, ValueError):  # also for names that no file can have
            return file, -1, -1
        return file, status.st_size, status.st_mtime_ns

    return digest_of(json.dumps([VERSION, SAMPLE_RATE, str(folder.resolve()), *map(state, files)]))


def digest_of(text: str, *arrays: np.ndarray) -> str:
    """Return the SHA-256 of a text and of the bytes of arrays."""
    digest = hashlib.sha256(text.encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
