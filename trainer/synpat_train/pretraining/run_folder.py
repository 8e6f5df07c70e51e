"""The folder of a run: its configuration, its data and its lock."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from synpat_shards import InputError, is_own_output, is_unrelated, sole_process, some, write_atomically
from synpat_train.config import Config, differences, stored_config, to_yaml
from synpat_train.data.shard_sets import ShardSet
from synpat_train.settings import read_settings

from .checkpoint import checkpoints

CONFIG, SETS = "config.yaml", "sets.json"
"""Files with the configuration and with the shard sets."""
LOCK = ".lock"


@dataclass(frozen=True, kw_only=True)
class SetRecord:
    """One shard set of a run."""

    path: str
    digest: str
    samples: int
    weight: float
    family: str | None
    """Family of a set of synpat; None for any other set, whose origin is unknown."""


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The shard sets that a run is trained on, and how they are read."""

    sets: tuple[SetRecord, ...]
    targets: tuple[SetRecord, ...] = ()
    """One for each set; empty if the images are their own targets."""
    stream: bool
    """True if images are decoded from the shards in every epoch."""
    samples_per_epoch: int
    device: str
    """Device of the last training."""

    @property
    def records(self) -> tuple[SetRecord, ...]:
        """All sets, those of the targets last."""
        return *self.sets, *self.targets


def describe_data(
    sets: Sequence[ShardSet], targets: Sequence[ShardSet], stream: bool, samples_per_epoch: int, device: str
) -> TrainingData:
    """Return the description of the data that is stored in the run folder."""
    records, target_records = (
        tuple(SetRecord(path=s.name, digest=s.digest, samples=len(s), weight=s.weight, family=s.family) for s in each)
        for each in (sets, targets)
    )
    return TrainingData(
        sets=records, targets=target_records, stream=stream, samples_per_epoch=samples_per_epoch, device=device
    )


def read_config(run: Path) -> Config:
    """Read the configuration of a run.

    Raises InputError if the folder has none, or if it is corrupt.
    """
    if not (run / CONFIG).exists():
        raise InputError(f"{run} contains no run of synpat-train: there is no {CONFIG}")
    settings = read_settings(run / CONFIG)
    try:
        return stored_config(settings)
    except InputError as fault:
        raise InputError(
            f"{run / CONFIG} is corrupt, or was written by another version of synpat: {fault}. Choose another folder"
        ) from None


def read_data(run: Path) -> TrainingData:
    """Read the description of the data of a run."""
    try:
        content = json.loads((run / SETS).read_bytes())
        given = {"sets": content["sets"], "targets": content.get("targets", [])}
        records = {name: tuple(SetRecord(**record) for record in sets) for name, sets in given.items()}
        return TrainingData(**content | records)
    except (ValueError, TypeError, KeyError) as fault:
        raise InputError(
            f"{run / SETS} is corrupt, or was written by another version of synpat: {fault}. Choose another --out"
        ) from None


def has_progress(run: Path) -> bool:
    """Return True if the folder contains a checkpoint or an encoder."""
    return bool(checkpoints(run)) or (run / "encoder").exists()


def check_run_folder(run: Path, config: Config, data: TrainingData) -> None:
    """Check that a run may use a folder.

    Raises InputError if the folder has other contents, or a run that has made progress with another configuration or
    with other sets. The setting `stream` of the existing run is kept.
    """
    if (run / CONFIG).exists():
        if not has_progress(run):  # for example after running out of memory: another configuration is allowed
            return
        faults = [text] if (text := differences(read_config(run), config)) else []
        if [(s.digest, s.weight) for s in read_data(run).records] != [(s.digest, s.weight) for s in data.records]:
            faults.append("it learned from other shard sets, or from the same in another order or with other weights")
        if faults:
            raise InputError(f"{run} contains another run: {', '.join(faults)}. Choose another --out")
    elif others := _other_files(run):
        raise InputError(
            f"{run} is not empty and contains no run of synpat-train, but {some(others)}: choose another --out"
        )


def _other_files(run: Path) -> list[str]:
    """Return the names in a folder that could belong to something else than a run which has just started."""
    if not run.exists():
        return []
    names = (path.name for path in sorted(run.iterdir()) if not is_own_output(path))
    return [name for name in names if name not in (SETS, LOCK) and not is_unrelated(name)]


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Lock the folder of a run against other processes of this machine.

    Raises InputError if another process holds the lock.
    """
    with sole_process(run / LOCK, f"another process is training into {run}: wait until it has finished, or stop it"):
        yield


def claim(run: Path, config: Config, data: TrainingData) -> None:
    """Write the configuration and the data of a run into its folder, and remove partial files of killed processes."""
    run.mkdir(parents=True, exist_ok=True)
    for leftover in run.rglob(".*.partial"):
        leftover.unlink(missing_ok=True)
    write_atomically(run / SETS, json.dumps(asdict(data), indent=1).encode() + b"\n")
    write_atomically(run / CONFIG, to_yaml(config).encode())
