"""The processes that train one model together: one without torchrun, several under torchrun."""

import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed
from torch.distributed.constants import default_pg_timeout
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from synpat_shards import InputError, first_line

SECONDS_BETWEEN_POLLS = 0.1
"""Interval of polling while the ranks meet."""


@dataclass(frozen=True)
class ProcessGroup:
    """This process in the group of processes that train together."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """True for rank 0, which writes files and prints messages."""
        return self.rank == 0

    def any(self, value: bool) -> bool:
        """Return True if the value is True on any rank. All ranks must call it. It does not wait for the GPU."""
        if self.count == 1:
            return value
        flag = torch.tensor([value], dtype=torch.uint8)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag)

    def mean(self, numbers: Tensor) -> Tensor:
        """Return the mean over the ranks, element by element."""
        if self.count > 1:
            distributed.all_reduce(numbers)
            numbers /= self.count
        return numbers

    def wait(self) -> None:
        """Wait until all ranks have called this method."""
        self.any(False)


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started. Without torchrun the group is this process."""
    gpu, count = torch.cuda.is_available(), _variable("WORLD_SIZE", 1)
    device = torch.device("cuda", _variable("LOCAL_RANK", 0)) if gpu else torch.device("cpu")
    if gpu and device.index is not None and device.index >= torch.cuda.device_count():
        raise InputError(f"LOCAL_RANK is {device.index}, but there are only {torch.cuda.device_count()} GPUs")
    if gpu:
        torch.cuda.set_device(device)
    if count == 1:
        yield ProcessGroup(0, 1, device)
        return
    try:
        store, rank, count = next(rendezvous("env://"))
    except (ValueError, RuntimeError, KeyError, OverflowError) as fault:
        raise InputError(
            f"WORLD_SIZE is {count}, but the processes cannot meet ({first_line(fault)}): start them with torchrun, or "
            "unset WORLD_SIZE"
        ) from fault
    backends = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    distributed.init_process_group(backends, store=_unused_part(store, rank, count), rank=rank, world_size=count)
    try:
        yield ProcessGroup(rank, count, device)
    finally:
        distributed.destroy_process_group()


def _variable(name: str, default: int) -> int:
    """Return the value of a variable of torchrun; empty means not set."""
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"{name} must be a number, got {text!r}: start the processes with torchrun, or unset {name}")
    return int(text)


def _unused_part(store: Store, rank: int, count: int) -> Store:
    """Return a part of the ranks' store in which nothing has been written, the same part on every rank.

    torchrun keeps one store over its restarts, with the addresses of ranks that were killed. A rank that reads such an
    address before its successor has replaced it would wait forever. Every rank therefore takes a new random name, and
    the ranks meet at the key that all names together form. A key with the name of a dead rank is used by no other rank.
    Raises TimeoutError if a rank has not arrived within torch's default timeout of a collective.
    """
    store.set(f"name/{rank}", uuid.uuid4().hex)
    latest = time.monotonic() + default_pg_timeout.total_seconds()
    while time.monotonic() < latest:
        names = store.multi_get([f"name/{other}" for other in range(count)])
        prefix = hashlib.sha256(b"".join(names)).hexdigest()
        store.set(f"{prefix}/{rank}", "here")
        if store.check([f"{prefix}/{other}" for other in range(count)]):
            return PrefixStore(prefix, store)
        time.sleep(SECONDS_BETWEEN_POLLS)
    raise TimeoutError(f"not all {count} processes have started")
