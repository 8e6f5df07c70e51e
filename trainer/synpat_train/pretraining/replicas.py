"""Gradients on a CPU from several threads, each of which takes an equal share of a batch."""

import copy
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch
from torch import Tensor, nn

from synpat_train.device import autocast

SAMPLES = 8
"""Minimum number of samples per thread. With fewer, another thread does not pay off."""


def count_replicas(samples: int, threads: int) -> int:
    """Return the number of equal shares of a batch: at most one per thread, with at least SAMPLES each."""
    most = max(min(threads, samples // SAMPLES), 1)
    return next(count for count in range(most, 0, -1) if samples % count == 0)


class Replicas:
    """Copies of a model that share its weights and compute gradients in bfloat16, each in its own thread.

    For small models this is faster than several threads inside each operation. Gradients are added in the order of the
    copies, so that the result does not depend on timing.
    """

    def __init__(self, model: nn.Module, count: int) -> None:
        """model: returns the mean loss of images and noise. count: number of copies."""
        self.weights = list(model.parameters())
        self.copies = [_copy_with_same_weights(model) for _ in range(count)]
        self.threads = _start_threads(count)

    def add_gradients(self, images: Tensor, noise: Tensor, pieces: int) -> Tensor:
        """Add the gradients of the mean loss over `pieces` to those of the model; return the loss."""
        count = len(self.copies)
        losses = list(
            self.threads.map(_backward, self.copies, images.chunk(count), noise.chunk(count), [count * pieces] * count)
        )
        self._collect_gradients()
        return torch.stack(losses).mean()

    @torch.no_grad()
    def _collect_gradients(self) -> None:
        for weight, *copies in zip(self.weights, *(each.parameters() for each in self.copies), strict=True):
            for each in copies:
                if each.grad is not None:
                    weight.grad = each.grad if weight.grad is None else weight.grad.add_(each.grad)
                    each.grad = None


def _copy_with_same_weights(model: nn.Module) -> nn.Module:
    same = copy.deepcopy(model)
    for weight, other in zip(model.parameters(), same.parameters(), strict=True):
        other.data = weight.data
    return same


def _start_threads(count: int) -> ThreadPoolExecutor:
    """Start threads among which the threads of torch are divided."""
    threads, started = torch.get_num_threads(), Barrier(count)
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(max(threads // count, 1),))
    list(pool.map(lambda _: started.wait(), range(count)))
    torch.set_num_threads(threads)  # it is also the default of threads that start later
    return pool


def _backward(model: nn.Module, images: Tensor, noise: Tensor, parts: int) -> Tensor:
    """Add the gradients of a mean loss over `parts`; return the loss."""
    with autocast(images.device, low_precision=True):
        loss = model(images, noise)
    (loss / parts).backward()
    return loss.detach()
