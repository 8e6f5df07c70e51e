"""The folder of a run: what says which run it is, and keeps others out."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from synpat_shards import InputError, sole_process, write_atomically
from synpat_train.config import Config, differences, stored_config, to_yaml
from synpat_train.data.shard_sets import ShardSet
from synpat_train.settings import read_settings

from .checkpoint import checkpoints

CONFIG, SETS = "config.yaml", "sets.json"
"""Its configuration, and what is known of its shard sets."""
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
    """What a run learns from, and how it reads it."""

    sets: tuple[SetRecord, ...]
    stream: bool
    """Whether images are decoded from the shards in every epoch."""
    samples_per_epoch: int
    device: str
    """What it was last trained on."""


def describe_data(sets: Sequence[ShardSet], stream: bool, samples_per_epoch: int, device: str) -> TrainingData:
    """The data of a run, as its folder remembers them."""
    records = (SetRecord(path=s.name, digest=s.digest, samples=len(s), weight=s.weight, family=s.family) for s in sets)
    return TrainingData(sets=tuple(records), stream=stream, samples_per_epoch=samples_per_epoch, device=device)


def read_config(run: Path) -> Config:
    """The configuration of a run.

    Raises InputError if the folder holds none, or one that is damaged.
    """
    if not (run / CONFIG).exists():
        raise InputError(f"{run} holds no run of synpat-train: it has no {CONFIG}")
    settings = read_settings(run / CONFIG)
    try:
        return stored_config(settings)
    except InputError as fault:
        raise InputError(f"{run / CONFIG} is damaged, or of another version of synpat: {fault}") from None


def read_data(run: Path) -> TrainingData:
    """What a run learns from."""
    try:
        content = json.loads((run / SETS).read_bytes())
        return TrainingData(**content | {"sets": tuple(SetRecord(**record) for record in content["sets"])})
    except (ValueError, TypeError, KeyError) as fault:
        raise InputError(
            f"{run / SETS} is damaged, or of another version of synpat: {fault}. Choose another --out"
        ) from None


def has_progress(run: Path) -> bool:
    """Whether the run of a folder has left anything that another one would spoil."""
    return bool(checkpoints(run)) or (run / "encoder").exists()


def check_run_folder(run: Path, config: Config, data: TrainingData) -> None:
    """Refuse a folder that this run must not go into.

    Raises InputError for a folder with other things, and for one where a run has learned something with another
    configuration or from other sets. Whether the images were streamed is for the run that is there to say.
    """
    if (run / CONFIG).exists():
        if not has_progress(run):  # such as one whose batch found no memory: it may try again with another
            return
        faults = [text] if (text := differences(read_config(run), config)) else []
        if [(s.digest, s.weight) for s in read_data(run).sets] != [(s.digest, s.weight) for s in data.sets]:
            faults.append("it learned from other shard sets, or from the same in another order or with other weights")
        if faults:
            raise InputError(f"{run} holds another run: {', '.join(faults)}. Choose another --out")
    elif run.exists() and any(path.name not in (SETS, LOCK) for path in run.iterdir()):
        raise InputError(f"{run} is not empty and holds no run of synpat-train: choose another --out")


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Keep other processes of this machine from training into a folder.

    Raises InputError if one is at it.
    """
    with sole_process(run / LOCK, f"another process is training into {run}: wait until it has finished, or stop it"):
        yield


def claim(run: Path, config: Config, data: TrainingData) -> None:
    """Make a folder that was checked this run's, and drop the half-written files that a kill left in it."""
    run.mkdir(parents=True, exist_ok=True)
    for leftover in run.rglob(".*.partial"):
        leftover.unlink(missing_ok=True)
    write_atomically(run / SETS, json.dumps(asdict(data), indent=1).encode() + b"\n")
    write_atomically(run / CONFIG, to_yaml(config).encode())
