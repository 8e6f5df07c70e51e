"""Two tasks without a download: classification of notes of recorded instruments by instrument family and by pitch.

The instruments are the General MIDI presets of TimGM6mb (Tim Brechbill, 2004), a soundfont of sampled instruments in
the wheel of pretty_midi, played by tinysoundfont. Both tasks use the same notes, so that an encoder embeds them once.
They replace NSynth (instrument family) and Surge (pitch) in demonstrations.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import soxr

from synpat_shards import InputError, valid_content
from synpat_train.audio import SAMPLE_RATE
from synpat_train.progress import track

from .recordings import Recordings
from .task import LoadTask, Source, Task, leave_one_fold_out, require_learnable

FAMILIES = (
    "piano",
    "chromatic percussion",
    "organ",
    "guitar",
    "bass",
    "strings",
    "ensemble",
    "brass",
    "reed",
    "pipe",
    "synth lead",
    "synth pad",
    "synth effects",
    "ethnic",
)
"""Families of eight programs each, in the order of General MIDI. The last two, percussive and sound effects, are
left out: most of their presets have no pitch, and the sounds within a family differ too much."""
LOWEST_KEY, HIGHEST_KEY = 21, 108
"""MIDI keys of the piano, 27.5 to 4186 Hz."""
KEY_STRIDE = 4
"""Each program plays every fourth key, with another offset than its neighbours. Together they play all 88 keys."""
FOLDS = 5
HELD, RELEASED = 1.0, 0.5
"""Duration of a note and of its release in seconds."""
PLAYING_RATE = 44_100
"""Sample rate of the player in Hz. The player does not filter transposed samples. A high rate, followed by
resampling, reduces the aliasing."""
SILENCE = 1e-3
"""Peak, relative to full scale, below which a note counts as silent. Some presets have no sample for the highest
keys."""
PEAK = 0.5
"""Peak, relative to full scale, to which every note is scaled, so that loudness does not identify a preset."""
RENDER_VERSION = 1
"""Increased when the rendered notes change."""


@dataclass(frozen=True)
class Notes:
    """The rendered notes, with program and key."""

    recordings: Recordings
    programs: np.ndarray
    """General MIDI program minus one, 0 to 111: int64 [notes]."""
    keys: np.ndarray
    """MIDI key: int64 [notes]."""

    @property
    def names(self) -> np.ndarray:
        """Name of each note: str [notes]."""
        return np.array([f"program {program} key {key}" for program, key in zip(self.programs, self.keys, strict=True)])


def instrument_task(source: Source) -> LoadTask:
    """Prepare the classification of notes into 14 instrument families.

    The keys of a preset are distributed over the folds in turn, so that neighbouring keys of the same preset are in the
    training part. No (preset, key) pair is in both parts, because each is played once.
    """
    find_font()
    return partial(_load_instruments, source.cache)


def _load_instruments(cache: Path) -> Task:
    notes = load_notes(cache)
    turn = (notes.keys - LOWEST_KEY) // KEY_STRIDE + notes.programs
    labels = np.array(FAMILIES)[notes.programs // 8]
    return _task("gm-instrument", notes, labels, folds=turn % FOLDS)


def pitch_task(source: Source) -> LoadTask:
    """Prepare the classification of notes into 88 keys.

    Every fifth program is tested with the others as training part, so that no preset is in both parts. A few presets of
    the soundfont share recordings, such as the three pianos.
    """
    find_font()
    return partial(_load_pitches, source.cache)


def _load_pitches(cache: Path) -> Task:
    notes = load_notes(cache)
    return _task("gm-pitch", notes, notes.keys.astype(str), folds=notes.programs % FOLDS)


def _task(name: str, notes: Notes, labels: np.ndarray, folds: np.ndarray) -> Task:
    splits = leave_one_fold_out(folds.astype(str))
    require_learnable(name, labels, splits)
    return Task(
        name=name,
        files=notes.names,
        recordings=notes.recordings,
        full_recordings=notes.recordings,
        labels=labels,
        splits=splits,
    )


@lru_cache
def load_notes(cache: Path) -> Notes:
    """Return the notes from the cache folder, after rendering them if necessary (about ten seconds, 120 MB).

    Raises InputError if the soundfont or its player is not installed.
    """
    font = find_font()
    recipe = [
        RENDER_VERSION,
        hashlib.sha256(font.read_bytes()).hexdigest(),
        importlib.metadata.version("tinysoundfont"),
    ]
    folder = cache / f"general-midi-{hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]}"
    if not folder.exists():
        _render_into(folder, font)
    with valid_content(folder, "Remove it to render the notes again"):
        waveforms = np.load(folder / "notes.npy", mmap_mode="r")
        played = json.loads((folder / "notes.json").read_text())
    recordings = Recordings(
        samples=waveforms.reshape(-1),
        starts=np.arange(len(waveforms)) * waveforms.shape[1],
        lengths=np.full(len(waveforms), waveforms.shape[1]),
        digest=folder.name,
    )
    return Notes(recordings, np.array(played["programs"]), np.array(played["keys"]))


def find_font() -> Path:
    """Return the path of the soundfont in the installed pretty_midi.

    Raises InputError, with the packages to install, if it is missing.
    """
    package = importlib.util.find_spec("pretty_midi")
    if package is None or package.origin is None or importlib.util.find_spec("tinysoundfont") is None:
        raise InputError(
            "the tasks gm-instrument and gm-pitch need a soundfont and its player: "
            "pip install 'synpat[demo]' and then pip install --no-deps tinysoundfont"
        )
    return Path(package.origin).with_name("TimGM6mb.sf2")


def _render_into(folder: Path, font: Path) -> None:
    """Write notes.npy and notes.json into a folder that gets its name when both are complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        notes = [
            (program, key)
            for program in range(8 * len(FAMILIES))
            for key in range(LOWEST_KEY + program % KEY_STRIDE, HIGHEST_KEY + 1, KEY_STRIDE)
        ]
        rendered = track(render(font, notes), len(notes), "gm: render notes (once)")
        audible = [(note, waveform) for note, waveform in zip(notes, rendered, strict=True) if waveform is not None]
        programs, keys = zip(*(note for note, _ in audible), strict=True)
        np.save(unfinished / "notes.npy", np.stack([waveform for _, waveform in audible]))
        (unfinished / "notes.json").write_text(json.dumps({"programs": programs, "keys": keys}))
        _put_in_place(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _put_in_place(unfinished: Path, folder: Path) -> None:
    try:
        os.rename(unfinished, folder)
    except OSError:
        # Another process has rendered the same notes.
        if not folder.exists():
            raise


def render(font: Path, notes: list[tuple[int, int]]) -> Iterator[np.ndarray | None]:
    """Play (program, key) pairs; yield int16 [24000] at 16 kHz with a fixed peak, or None for a silent note."""
    # Imported here because other tasks do not need it.
    import tinysoundfont

    synth = tinysoundfont.Synth(samplerate=PLAYING_RATE)
    bank = synth.sfload(str(font))
    for program, key in notes:
        synth.program_select(0, bank, 0, program)
        synth.noteon(0, key, 100)
        held = _play(synth, HELD)
        synth.noteoff(0, key)
        waveform = np.concatenate([held, _play(synth, RELEASED)])
        # Otherwise the release would be audible in the next note.
        synth.sounds_off(0)
        _play(synth, 0.1)
        waveform = soxr.resample(waveform, PLAYING_RATE, SAMPLE_RATE)
        peak = np.abs(waveform).max()
        yield None if peak < SILENCE else np.rint(waveform * (PEAK * 32767 / peak)).astype(np.int16)


def _play(synth, seconds: float) -> np.ndarray:
    """Return the next seconds of the synthesiser's output, averaged over its two channels: float32 [samples]."""
    stereo = np.frombuffer(synth.generate(round(seconds * PLAYING_RATE)), np.float32)
    return stereo.reshape(-1, 2).mean(axis=1)
