"""The processes that train one model together: one under plain Python, several under torchrun."""

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

SECONDS_BETWEEN_LOOKS = 0.1
"""While the ranks find each other."""


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that train together."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and talks."""
        return self.rank == 0

    def any(self, here: bool) -> bool:
        """Whether it is so in any of them. Every rank must ask at the same place; the GPU is not waited for."""
        if self.count == 1:
            return here
        flag = torch.tensor([here], dtype=torch.uint8)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag)

    def mean(self, numbers: Tensor) -> Tensor:
        """The mean over the ranks, element by element."""
        if self.count > 1:
            distributed.all_reduce(numbers)
            numbers /= self.count
        return numbers

    def wait(self) -> None:
        """Until all have come here."""
        self.any(False)


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started; without it, this is the only one."""
    gpu, count = torch.cuda.is_available(), int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if count == 1:
        yield ProcessGroup(0, 1, device)
        return
    store, rank, count = next(rendezvous("env://"))
    backends = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    distributed.init_process_group(backends, store=_unused_part(store, rank, count), rank=rank, world_size=count)
    try:
        yield ProcessGroup(rank, count, device)
    finally:
        distributed.destroy_process_group()


def _unused_part(store: Store, rank: int, count: int) -> Store:
    """A part of the ranks' store where nothing has been written yet, the same for all of them.

    torchrun keeps one store over its restarts, and there the addresses of the ranks that were killed: a rank that
    reads one before its heir has replaced it would wait for the dead. So every rank takes a new name, and they meet
    at the place that all their names make; with a name of the dead among them, it is one that nobody else comes to.

    Raises TimeoutError if a rank has not come in the time that torch gives a collective.
    """
    store.set(f"name/{rank}", uuid.uuid4().hex)
    latest = time.monotonic() + default_pg_timeout.total_seconds()
    while time.monotonic() < latest:
        names = store.multi_get([f"name/{other}" for other in range(count)])
        place = hashlib.sha256(b"".join(names)).hexdigest()
        store.set(f"{place}/{rank}", "here")
        if store.check([f"{place}/{other}" for other in range(count)]):
            return PrefixStore(place, store)
        time.sleep(SECONDS_BETWEEN_LOOKS)
    raise TimeoutError(f"not all {count} processes have started")
