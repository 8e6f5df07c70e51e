"""The parts of a run that do not change: folder, data and processes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from synpat_shards import InputError, available_cores
from synpat_train.config import Config
from synpat_train.data.decoded_cache import CachedImages, room_for_cache
from synpat_train.data.images import Images, check_targets, describe_widths, pixel_statistics
from synpat_train.data.shard_sets import ShardSet, open_sets
from synpat_train.data.shuffle import SampleOrder
from synpat_train.data.streaming import StreamedImages
from synpat_train.device import device_name
from synpat_train.distributed import ProcessGroup
from synpat_train.progress import print_message

from .run_folder import (
    check_run_folder,
    claim,
    describe_data,
    has_progress,
    lock_run,
    read_data,
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that is ready to start or to resume."""

    folder: Path
    config: Config
    group: ProcessGroup
    sets: tuple[ShardSet, ...]
    targets: tuple[ShardSet, ...]
    """One for each set; empty if the images are their own targets."""
    channels: tuple[Images, ...]
    """The images, and their targets if they have any."""
    order: SampleOrder
    mean: float
    """Mean of the pixels in grey levels 0..255."""
    std: float
    total: int
    """Total number of steps."""

    @property
    def digests(self) -> list[str]:
        """Digests that identify the shard sets."""
        return [shard_set.digest for shard_set in (*self.sets, *self.targets)]


def default_workers() -> int:
    """Return the number of threads that decode images if none is given: the available cores, at most 8."""
    return min(available_cores(), 8)


@contextmanager
def open_run(
    folder: Path,
    shards: Sequence[str],
    targets: Sequence[str],
    config: Config,
    cache: Path,
    workers: int,
    group: ProcessGroup,
) -> Iterator[Run]:
    """Open the sets and the folder of a run, and lock the folder. The first time, decode the sets and claim the folder.

    Arguments as for `pretrain`. Raises InputError if the sets or the folder cannot be used.
    """
    sets = open_sets(shards, config.height, cache, config.skip_damaged)
    target_sets = open_sets(targets, config.height, cache)
    if target_sets:
        check_targets(sets, target_sets, config.width)
        if config.skip_damaged:
            raise InputError("skip_damaged replaces images, but not their targets: leave out one of the two")
    for shard_set in sets:
        if group.first and (widths := describe_widths(shard_set, config.width)):
            print_message(f"{shard_set.name}: {widths}")
    stream = _streams(folder, [*sets, *target_sets], config, cache)
    order = SampleOrder(
        seed=config.seed,
        counts=tuple(shard.count for shard_set in sets for shard in shard_set.shards),
        weights=tuple(shard_set.weight for shard_set in sets for _ in shard_set.shards),
        window=config.window if stream else None,
    )
    total = _steps(len(order), config, group)
    data = describe_data(sets, target_sets, stream, len(order), f"{group.count} x {device_name(group.device)}")
    check_run_folder(folder, config, data)
    group.wait()  # all ranks check before one of them writes
    with lock_run(folder) if group.first else nullcontext():
        channels = tuple(
            StreamedImages(each, config.width, workers, config.skip_damaged)
            if stream
            else CachedImages(each, config.width, cache)
            for each in (sets, target_sets)
            if each
        )
        if group.first:
            claim(folder, config, data)
        group.wait()
        mean, std = pixel_statistics(sets)
        yield Run(
            folder=folder,
            config=config,
            group=group,
            sets=sets,
            targets=target_sets,
            channels=channels,
            order=order,
            mean=mean,
            std=std,
            total=total,
        )


def _streams(folder: Path, sets: Sequence[ShardSet], config: Config, cache: Path) -> bool:
    """Return True if images are decoded in every epoch. A resumed run keeps its choice, because the order depends on
    it."""
    if config.stream != "auto":
        return config.stream
    if has_progress(folder):
        return read_data(folder).stream
    return config.skip_damaged or not room_for_cache(sets, cache)  # the cache needs complete sets


def _steps(samples: int, config: Config, group: ProcessGroup) -> int:
    """Return the total number of updates for a number of samples per epoch."""
    if samples < config.batch_size:
        raise InputError(
            f"the sets have {samples} samples, fewer than one batch of {config.batch_size}: choose a smaller "
            "--batch-size"
        )
    if config.batch_size % (group.count * config.accumulate):
        raise InputError(
            f"batch_size must be a multiple of the number of processes times accumulate, "
            f"got {config.batch_size}, {group.count} and {config.accumulate}"
        )
    return config.steps or (config.epochs or 0) * (samples // config.batch_size)
