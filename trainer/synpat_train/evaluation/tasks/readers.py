"""Readers of the benchmarks as they are on disk after download. Each function turns a folder into a listing.

Splits that are published freely are read from the files of the data set. Where only the lists of EVAR (Niizumi et al.,
"BYOL for Audio", 2023) define the split, a copy of the list in the folder is read: a CSV file named after the task with
the columns file_name, label, and fold or split. Without it, clips are split by a rule of synpat, which the listing
records.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from synpat_shards import InputError, is_system_file, walk_files

from .listing import TEST, TRAIN, VALID, Listing
from .text_files import read_csv, read_json, read_lines

AUDIO = frozenset({".wav", ".flac", ".ogg", ".opus", ".au", ".mp3", ".aiff"})
"""Suffixes of audio files."""

Row = tuple[str, str, str]
"""File, label, part."""


def esc50(root: Path) -> Listing:
    """Read meta/esc50.csv and audio/, with the five official folds."""
    return Listing.of([(f"audio/{row['filename']}", row["category"], row["fold"]) for row in _esc50_rows(root)])


def esc10(root: Path) -> Listing:
    """Read the ten categories of ESC-50 that form ESC-10."""
    rows = [row for row in _esc50_rows(root) if row["esc10"] == "True"]
    return Listing.of([(f"audio/{row['filename']}", row["category"], row["fold"]) for row in rows])


def _esc50_rows(root: Path) -> list[dict[str, str]]:
    return read_csv(root / ESC50_META).rows("filename", "category", "fold", "esc10")


ESC50_META = "meta/esc50.csv"


def us8k(root: Path) -> Listing:
    """Read metadata/UrbanSound8K.csv and audio/fold1 to fold10, the ten official folds."""
    rows = read_csv(root / US8K_META).rows("slice_file_name", "fold", "class")
    return Listing.of(
        [(f"audio/fold{row['fold']}/{row['slice_file_name']}", row["class"], row["fold"]) for row in rows]
    )


US8K_META = "metadata/UrbanSound8K.csv"


def spcv2(root: Path) -> Listing:
    """Read one folder for each word. validation_list.txt and testing_list.txt name the files that are not for
    training."""
    parts = dict.fromkeys(_lines(root / "validation_list.txt"), VALID) | dict.fromkeys(_lines(root / SPCV2_LIST), TEST)
    clips = [file for file in _audio(root) if not file.startswith("_")]
    files = [file for file in clips if file.count("/") == 1]
    # Listed files that do not exist are kept, so that they are reported as missing.
    names = sorted({*files, *parts})
    rows = [(name, name.split("/")[0], parts.get(name, TRAIN)) for name in names]
    return Listing.of(rows, unassigned=len(clips) - len(files))


SPCV2_LIST = "testing_list.txt"


def voxceleb1(root: Path) -> Listing:
    """Read iden_split.txt with lines such as "3 id10001/x/00001.wav" (1 train, 2 valid, 3 test), and the clips in
    wav/."""
    parts = {"1": TRAIN, "2": VALID, "3": TEST}
    folder = "wav/" if (root / "wav").is_dir() else ""
    rows = _matches(root / VOXCELEB1_LIST, r"([123])\s+(\S.*)", "a part, 1, 2 or 3, and a file")
    return Listing.of([(folder + file, file.split("/")[0], parts[part]) for part, file in rows])


VOXCELEB1_LIST = "iden_split.txt"


def nsynth(root: Path) -> Listing:
    """Read nsynth-train, nsynth-valid and nsynth-test, each with examples.json and audio/. The label is the family."""
    rows: list[Row] = []
    for part in (TRAIN, VALID, TEST):
        examples = read_json(root / f"nsynth-{part}" / "examples.json")
        rows += [
            (f"nsynth-{part}/audio/{name}.wav", example["instrument_family_str"], part)
            for name, example in examples.items()
        ]
    return Listing.of(rows)


NSYNTH_META = "nsynth-test/examples.json"


def as20k(root: Path) -> Listing:
    """Read AudioSet's balanced_train_segments.csv and eval_segments.csv, and files named by video, with or without a Y.

    Videos without a file are counted as unassigned, because every copy lacks other videos.
    """
    by_video: dict[str, str] = {}
    for file in _audio(root):
        stem = Path(file).stem
        by_video[stem[:11]] = file
        if stem.startswith("Y") and len(stem) >= 12:
            by_video.setdefault(stem[1:12], file)
    rows: list[Row] = []
    missing = 0
    for name, part in ((AS20K_TRAIN, TRAIN), ("eval_segments.csv", TEST)):
        row = r"#.*|([^,]+),\s*[^,]+,\s*[^,]+,\s*\"?([^\"]+)\"?"
        for video, labels in _matches(root / name, row, "a video, its start, its end and its labels"):
            if video in by_video:
                rows.append((by_video[video], labels, part))
            elif video:
                missing += 1
    return Listing.of(rows, unassigned=missing)


AS20K_TRAIN = "balanced_train_segments.csv"


def fsd50k(root: Path) -> Listing:
    """Read FSD50K.ground_truth with dev.csv and eval.csv, and the clips in FSD50K.dev_audio and FSD50K.eval_audio."""
    parts = {"train": TRAIN, "val": VALID}
    dev = [
        (f"FSD50K.dev_audio/{row['fname']}.wav", row["labels"], parts[row["split"]])
        for row in read_csv(root / FSD50K_META).rows("fname", "labels", "split")
    ]
    test = [
        (f"FSD50K.eval_audio/{row['fname']}.wav", row["labels"], TEST)
        for row in read_csv(root / "FSD50K.ground_truth/eval.csv").rows("fname", "labels")
    ]
    return Listing.of([*dev, *test])


FSD50K_META = "FSD50K.ground_truth/dev.csv"


def fsdd(root: Path) -> Listing:
    """Read recordings/ with digit_speaker_number.wav. Numbers 0 to 4 are the official test part."""
    rows = []
    for file in _audio(root, "recordings"):
        if not (name := re.fullmatch(r"(\d)_.+_(\d+)", Path(file).stem)):
            raise InputError(f"{file} is not named DIGIT_SPEAKER_NUMBER: move it to another folder")
        rows.append((file, name[1], TEST if int(name[2]) < 5 else TRAIN))
    return Listing.of(rows)


def _listed(task: str, otherwise: Callable[[Path], Listing], root: Path) -> Listing:
    """Read the benchmark's list if there is a copy of it, else apply a rule of synpat."""
    if not (root / f"{task}.csv").is_file():
        return otherwise(root)
    table = read_csv(root / f"{task}.csv")
    part = "fold" if "fold" in table.header else "split"
    rows = table.rows("file_name", "label", part)
    kept = [row for row in rows if row[part]]
    return Listing.of([(row["file_name"], row["label"], row[part]) for row in kept], unassigned=len(rows) - len(kept))


def _voxforge(root: Path) -> Listing:
    """Split by archive: one folder for each language, with one folder for each archive, which is of one speaker."""
    found = list(_audio(root))
    files = [file for file in found if file.count("/") == 3]
    if not files:
        raise InputError("without voxforge.csv, the layout must be language/archive/wav/file")
    clips = [(file, file.split("/")[0], "/".join(file.split("/")[:2])) for file in files]
    return own_split("voxforge", clips, unassigned=len(found) - len(files))


def _cremad(root: Path) -> Listing:
    """Split by speaker: 1001_DFA_ANG_XX.wav in the folder or in AudioWAV (speaker, sentence, emotion, intensity)."""
    found = list(_audio(root))
    names = [(file, Path(file).stem.split("_")) for file in found if Path(file).stem.count("_") == 3]
    clips = [(file, emotion, speaker) for file, (speaker, _, emotion, _) in names]
    return own_split("cremad", clips, unassigned=len(found) - len(clips))


def _gtzan(root: Path) -> Listing:
    """Read genres/blues/blues.00000.wav or .au, with the lists train_filtered.txt, valid_ and test_ if they exist."""
    folder = next((name for name in ("genres", "genres_original") if (root / name).is_dir()), ".")
    by_name = {Path(file).stem: file for file in _audio(root, folder)}
    lists = {part: root / f"{part}_filtered.txt" for part in (TRAIN, VALID, TEST)}
    if all(path.is_file() for path in lists.values()):
        named = [(Path(line).stem, part) for part, path in lists.items() for line in _lines(path)]
        rows = [(by_name.get(stem, f"{folder}/{stem}.wav"), stem.split(".")[0], part) for stem, part in named]
        return Listing.of(rows, unassigned=len(by_name.keys() - {stem for stem, _ in named}))
    return own_split("gtzan", [(file, stem.split(".")[0], stem) for stem, file in sorted(by_name.items())])


def _surge(root: Path) -> Listing:
    """Split by preset: preset-velocity64/60.ogg, MIDI keys 21 to 108."""
    found = list(_audio(root))
    clips = [(file, Path(file).stem, file.split("/")[0]) for file in found if file.count("/") == 1]
    return own_split("surge", clips, unassigned=len(found) - len(clips))


voxforge, cremad, gtzan, surge = (
    partial(_listed, task, otherwise)
    for task, otherwise in (("voxforge", _voxforge), ("cremad", _cremad), ("gtzan", _gtzan), ("surge", _surge))
)

OWN_SPLIT: Mapping[str, tuple[float, float]] = {
    "voxforge": (0.70, 0.15),
    "cremad": (0.69, 0.10),
    "gtzan": (0.48, 0.21),
    "surge": (0.81, 0.09),
}
"""Shares of the training and the validation part in synpat's own splits, close to those of the benchmark. The rest
is the test part."""


def own_split(task: str, clips: Sequence[tuple[str, str, str]], unassigned: int = 0) -> Listing:
    """Split (file, label, group) so that each group is in one part. Groups are ordered by hash and divided by their
    number. unassigned: number of other audio files, which are left out."""
    groups = sorted(
        {group for _, _, group in clips}, key=lambda group: hashlib.sha256(f"{task} {group}".encode()).digest()
    )
    train, valid = OWN_SPLIT[task]
    ends = round(train * len(groups)), round((train + valid) * len(groups))
    parts = {group: TRAIN if n < ends[0] else VALID if n < ends[1] else TEST for n, group in enumerate(groups)}
    return Listing.of(
        [(file, label, parts[group]) for file, label, group in clips], unassigned=unassigned, own_split=True
    )


def _lines(path: Path) -> list[str]:
    return [line for _, line in read_lines(path)]


def _matches(path: Path, pattern: str, content: str) -> Iterator[Sequence[str]]:
    """Yield the groups of a pattern in each line. Raises InputError that names a line without the `content`."""
    for number, line in read_lines(path):
        if not (match := re.fullmatch(pattern, line)):
            raise InputError(f"{path}, line {number}, must contain {content}, got {line[:80]!r}")
        yield match.groups()


def _audio(root: Path, folder: str = ".") -> Iterator[str]:
    """Yield the audio files of a folder in order, as paths relative to the root. Links to folders are followed.

    Raises InputError for a link to nothing, which may be a folder of clips on another disk.
    """
    for path in walk_files(root / folder):
        name = path.relative_to(root)
        if any(map(is_system_file, name.parts)):  # macOS writes ._ files
            continue
        if path.suffix.lower() in AUDIO:
            yield name.as_posix()
        elif path.is_symlink() and not path.exists():
            raise InputError(
                f"{path} is a link to {os.readlink(path)}, which does not exist: mount its disk, or remove the link"
            )
