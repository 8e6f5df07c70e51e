"""Check of a copy of a benchmark against the published data set, before a long evaluation."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from synpat_shards import available_cores
from synpat_train.audio.read import is_file, sample_rate
from synpat_train.progress import track

from .benchmarks import BENCHMARKS, Benchmark, read_benchmark
from .listing import Listing

SHOWN = 5
"""Maximum number of files that are named for each kind of fault."""


@dataclass(frozen=True, kw_only=True)
class Copy:
    """The contents of a folder."""

    root: Path
    listing: Listing
    missing: Sequence[str]
    """Listed files that do not exist."""
    unreadable: Sequence[str]
    """Files that are not audio, or empty."""
    duplicates: Sequence[tuple[str, str]]
    """Pairs of files with equal bytes."""
    rates: Counter[int]
    """Number of files by sample rate in Hz."""

    def faults(self, benchmark: Benchmark) -> list[str]:
        """Return the differences from the published data set, one line each."""
        lines = benchmark.differences(self.listing)
        lines += _named("missing", self.missing) + _named("unreadable", self.unreadable)
        lines += _named("duplicates", [" = ".join(pair) for pair in self.duplicates])
        if benchmark.rate and (others := {rate: n for rate, n in self.rates.items() if rate != benchmark.rate}):
            rates = ", ".join(f"{n:,} at {rate} Hz" for rate, n in sorted(others.items()))
            lines.append(f"sample rates other than {benchmark.rate} Hz: {rates}; these files are resampled")
        if self.listing.unassigned:
            lines.append(
                f"{self.listing.unassigned:,} clips are left out: they do not exist, or no list names their part"
            )
        if self.listing.own_split:
            lines.append("own split: no list of the benchmark was found; clips are split by a rule of synpat")
        return lines


def check_copy(name: str, folder: Path) -> Copy:
    """Check every file that a benchmark's folder lists: its header, and its bytes if another file has the same size.

    Raises InputError if the folder does not contain the benchmark.
    """
    root, listing = read_benchmark(name, folder)
    files = listing.files.tolist()
    missing = [file for file in files if not is_file(root / file)]
    existing = sorted(set(files) - set(missing))
    with ThreadPoolExecutor(available_cores()) as pool:
        rates = list(
            track(pool.map(lambda file: sample_rate(root / file), existing), len(existing), f"{name}: headers")
        )
    unreadable = [file for file, rate in zip(existing, rates, strict=True) if rate is None]
    return Copy(
        root=root,
        listing=listing,
        missing=missing,
        unreadable=unreadable,
        duplicates=_duplicates(root, sorted(set(existing) - set(unreadable))),
        rates=Counter(rate for rate in rates if rate is not None),
    )


def report(name: str, copy: Copy) -> str:
    """Return the result of a check as text."""
    benchmark, faults = BENCHMARKS[name], copy.faults(BENCHMARKS[name])
    parts = ", ".join(f"{part} {count:,}" for part, count in copy.listing.counts.items())
    lines = [f"{copy.root}: {name}, {len(copy.listing.files):,} clips listed ({parts})", *(f"- {f}" for f in faults)]
    lines.append(benchmark.gaps if faults else "OK: complete, as published")
    return "\n".join(lines)


def _duplicates(root: Path, files: Sequence[str]) -> list[tuple[str, str]]:
    by_size: dict[int, list[str]] = defaultdict(list)
    for file in files:
        by_size[(root / file).stat().st_size].append(file)
    pairs = []
    for alike in by_size.values():
        first: dict[bytes, str] = {}
        for file in alike if len(alike) > 1 else ():
            with (root / file).open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").digest()
            if (before := first.setdefault(digest, file)) != file:
                pairs.append((before, file))
    return sorted(pairs)


def _named(fault: str, files: Sequence[str]) -> list[str]:
    more = f" and {len(files) - SHOWN:,} more" if len(files) > SHOWN else ""
    return [f"{fault}: {', '.join(files[:SHOWN])}{more}"] if files else []
