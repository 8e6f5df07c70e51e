"""The benchmarks: what each measures, where to get it, and what a complete copy contains.

Nothing is downloaded. The ten data sets of Ishikawa et al., "Pre-training with Synthetic Patterns for Audio", 2025,
with counts, clip lengths and splits as in EVAR (Niizumi et al., "BYOL for Audio", 2023), and FSD50K, ESC-10 and FSDD.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from synpat_shards import InputError, some
from synpat_train.progress import print_message

from . import readers
from .listing import TEST, TRAIN, VALID, Listing, task_from_listing
from .task import LoadTask, Source

MOST_FOLDERS = 5
"""Depth at which a marker with ** is searched for."""
ACCURACY, MAP = "accuracy", "mAP"


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A public data set with a split and a metric."""

    measures: str
    classes: int
    seconds: float
    """Length to which clips are cropped or padded."""
    counts: Mapping[str, int]
    """Number of clips of each part, or of all folds together under "folds"."""
    split: str
    licence: str
    where: str
    marker: str
    """File or pattern of files that identifies the folder of the data set."""
    names: tuple[str, ...] = ()
    """Usual names of its folder, if the parent folder is given."""
    read: Callable[[Path], Listing] = field(repr=False)
    metric: str = ACCURACY
    protocols: tuple[str, ...] = ("linear",)
    """Protocols of the paper that use it."""
    rate: int | None = None
    """Sample rate of all published files in Hz; None if they differ."""
    gaps: str = "results are not comparable with published ones"
    """Effect of missing clips on the results."""

    @property
    def clips(self) -> int:
        return sum(self.counts.values())

    def differences(self, listing: Listing) -> list[str]:
        """Return the differences of a listing from the published numbers of clips and classes, one line each."""
        counts = listing.counts if len(self.counts) > 1 else {"folds": len(listing.files)}
        lines = [
            f"{part}: {counts.get(part, 0):,} clips are listed, expected {count:,}"
            for part, count in self.counts.items()
            if counts.get(part, 0) != count
        ]
        classes = len({label for labels in listing.labels.tolist() for label in labels.split(",")})
        return lines + [f"{classes:,} classes are found, expected {self.classes:,}"] * (classes != self.classes)


# fmt: off
BENCHMARKS: Mapping[str, Benchmark] = {
    "esc50": Benchmark(
        measures="environmental sounds", classes=50, seconds=5.0, counts={"folds": 2000},
        split="5 official folds", licence="CC BY-NC 3.0", where="github.com/karolpiczak/ESC-50",
        marker=readers.ESC50_META, names=("ESC-50-master", "ESC-50"), read=readers.esc50, rate=44_100,
        protocols=("linear", "finetune"),
    ),
    "us8k": Benchmark(
        measures="urban sounds", classes=10, seconds=4.0, counts={"folds": 8732},
        split="10 official folds", licence="CC BY-NC 3.0", where="zenodo.org/records/1203745",
        marker=readers.US8K_META, names=("UrbanSound8K",), read=readers.us8k,
    ),
    "spcv2": Benchmark(
        measures="spoken words", classes=35, seconds=1.0, counts={TRAIN: 84_843, VALID: 9_981, TEST: 11_005},
        split="official lists", licence="CC BY 4.0", where="Speech Commands 0.02, arxiv.org/abs/1804.03209",
        marker=readers.SPCV2_LIST, names=("speech_commands_v0.02",), read=readers.spcv2, rate=16_000,
        protocols=("linear", "finetune"),
    ),
    "voxceleb1": Benchmark(
        measures="speakers", classes=1251, seconds=8.2, counts={TRAIN: 138_361, VALID: 6_904, TEST: 8_251},
        split="official iden_split.txt", licence="research only, on request", where="mm.kaist.ac.kr/datasets/voxceleb",
        marker=readers.VOXCELEB1_LIST, names=("VoxCeleb1", "voxceleb1"), read=readers.voxceleb1, rate=16_000,
        protocols=("linear", "finetune"),
    ),
    "voxforge": Benchmark(
        measures="languages", classes=6, seconds=5.8, counts={TRAIN: 121_281, VALID: 26_684, TEST: 28_463},
        split="EVAR's voxforge.csv next to the audio, else own split by archive", licence="GPL", where="voxforge.org",
        marker="**/wav/*", names=("voxforge",), read=readers.voxforge,
    ),
    "cremad": Benchmark(
        measures="emotions in speech", classes=6, seconds=2.5, counts={TRAIN: 5_155, VALID: 732, TEST: 1_551},
        split="EVAR's cremad.csv next to the audio, else own split by speaker", licence="ODbL 1.0",
        where="github.com/CheyneyComputerScience/CREMA-D", marker="**/1???_???_???_??.wav",
        names=("CREMA-D", "AudioWAV"), read=readers.cremad, rate=16_000,
    ),
    "gtzan": Benchmark(
        measures="genres of music", classes=10, seconds=30.0, counts={TRAIN: 443, VALID: 197, TEST: 290},
        split="train_filtered.txt, valid_ and test_, or EVAR's gtzan.csv next to the audio, else own split by clip",
        licence="none stated", where="mirrors only (Tzanetakis and Cook, 2002)", marker="**/blues.00000.*",
        names=("GTZAN", "gtzan"), read=readers.gtzan, rate=22_050,
        gaps="the filtered lists leave out 70 clips that are duplicates, distorted or of one artist: with them, "
        "results are too high",
    ),
    "nsynth": Benchmark(
        measures="instrument families", classes=11, seconds=4.0, counts={TRAIN: 289_205, VALID: 12_678, TEST: 4_096},
        split="official", licence="CC BY 4.0", where="magenta.withgoogle.com/datasets/nsynth",
        marker=readers.NSYNTH_META, names=("nsynth",), read=readers.nsynth, rate=16_000,
    ),
    "surge": Benchmark(
        measures="pitches of a synthesiser", classes=88, seconds=4.0,
        counts={TRAIN: 148_896, VALID: 17_160, TEST: 17_336},
        split="EVAR's surge.csv next to the audio, else own split by preset", licence="see the record",
        where="zenodo.org/records/4677097", marker="*-velocity64/*.ogg", names=("surge",), read=readers.surge,
    ),
    "as20k": Benchmark(
        measures="sounds of the Web", classes=527, seconds=10.0, counts={TRAIN: 22_160, TEST: 20_371},
        split="official balanced_train and eval", licence="labels CC BY 4.0, audio by its creators",
        where="research.google.com/audioset (segments; no audio)", marker=readers.AS20K_TRAIN,
        names=("audioset", "as"), read=readers.as20k, metric=MAP, protocols=("finetune",),
        gaps="videos disappear, so that copies differ, and mAP differs by several points between papers: report the "
        "counts with a result",
    ),
    "fsd50k": Benchmark(
        measures="sound events", classes=200, seconds=7.6, counts={TRAIN: 36_796, VALID: 4_170, TEST: 10_231},
        split="official", licence="CC BY 4.0, and one licence per clip", where="zenodo.org/records/4060432",
        marker=readers.FSD50K_META, names=("FSD50K",), read=readers.fsd50k, metric=MAP, rate=44_100, protocols=(),
    ),
    "esc10": Benchmark(
        measures="environmental sounds", classes=10, seconds=5.0, counts={"folds": 400},
        split="5 official folds", licence="CC BY 3.0", where="github.com/karolpiczak/ESC-50",
        marker=readers.ESC50_META, names=("ESC-50-master", "ESC-50"), read=readers.esc10, rate=44_100, protocols=(),
    ),
    "fsdd": Benchmark(
        measures="spoken digits", classes=10, seconds=1.0, counts={TRAIN: 2_700, TEST: 300},
        split="official, by number of the recording", licence="CC BY-SA 4.0",
        where="github.com/Jakobovski/free-spoken-digit-dataset", marker="recordings/?_*_*.wav",
        names=("free-spoken-digit-dataset-master", "free-spoken-digit-dataset"), read=readers.fsdd, rate=8_000,
        protocols=(),
    ),
}
# fmt: on


def find_root(name: str, folder: Path) -> Path:
    """Return the folder of a benchmark: the given one, or a subfolder with a usual name.

    Raises InputError, with what was searched for and what was found, if neither contains it.
    """
    benchmark = BENCHMARKS[name]
    for root in (*(folder / usual for usual in benchmark.names), folder):
        if root.is_dir() and any(next(root.glob(pattern), None) for pattern in _followed(benchmark.marker)):
            return root
    if not folder.is_dir():
        raise InputError(
            f"{folder} {'is not a folder' if folder.exists() else 'does not exist'}: pass the folder of {name}"
        )
    names = sorted(path.name for path in folder.iterdir())
    usual = "".join(f" and in {usual}" for usual in benchmark.names)
    raise InputError(
        f"{folder} does not contain {name}: searched for {benchmark.marker} in it{usual}. "
        f"It contains {some(names) if names else 'nothing'}"
    )


def _followed(marker: str) -> list[str]:
    """Return patterns that also match behind links, which ** does not follow."""
    start, stars, name = marker.partition("**/")
    return [start + "*/" * depth + name for depth in range(MOST_FOLDERS)] if stars else [marker]


def read_benchmark(name: str, folder: Path) -> tuple[Path, Listing]:
    """Return the folder of a benchmark and its listing.

    Raises InputError if the folder does not contain the benchmark, or has another layout.
    """
    root = find_root(name, folder)
    try:
        return root, BENCHMARKS[name].read(root)
    except InputError as fault:
        raise InputError(f"{root} is not a valid copy of {name}: {fault}") from None
    except KeyError as fault:
        raise InputError(f"{root} is not a valid copy of {name}: the column, key or part {fault} is missing") from None
    except (IndexError, ValueError, OSError) as fault:
        raise InputError(f"{root} is not a valid copy of {name}: {type(fault).__name__}: {fault}") from None


def benchmark_task(name: str, source: Source) -> LoadTask:
    """Read the listing of a benchmark in `source.data`. Differences from the published data set are reported."""
    if source.data is None:
        raise InputError(f"the task {name!r} needs --data FOLDER, the downloaded folder: see synpat-eval tasks")
    root, listing = read_benchmark(name, source.data)
    title = f"{name} (own split)" if listing.own_split else name
    benchmark = BENCHMARKS[name]
    if differences := benchmark.differences(listing):
        print_message(f"{title}: {'; '.join(differences)}: see synpat-eval check {name}")
    return task_from_listing(
        title,
        root,
        listing,
        source,
        seconds=benchmark.seconds,
        multi_label=benchmark.metric == MAP,
        benchmark=name,
    )


BENCHMARK_TASKS = {name: partial(benchmark_task, name) for name in BENCHMARKS}
