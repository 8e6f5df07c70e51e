"""The processes that train one model together: one under plain Python, several under torchrun."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Ranks:
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
def joined_ranks() -> Iterator[Ranks]:
    """Join the processes that torchrun started; without it, this is the only one."""
    gpu, count = torch.cuda.is_available(), int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if count == 1:
        yield Ranks(0, 1, device)
        return
    distributed.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), device)
    finally:
        distributed.destroy_process_group()
