"""Gradients on a CPU in bfloat16: working copies of the model, one per thread."""

import copy
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch
from torch import Tensor, nn

from .device import autocast

SAMPLES = 8
"""Fewest samples for which a copy of its own is worthwhile."""


def count_replicas(samples: int, threads: int) -> int:
    """Return the number of equal shares of a batch: at most one per thread, with at least SAMPLES each."""
    most = max(min(threads, samples // SAMPLES), 1)
    return next(count for count in range(most, 0, -1) if samples % count == 0)


class Replicas:
    """Copies of a model, with linear layers in bfloat16, that compute the gradients of equal shares of a batch.

    The weights are converted once per call, and the copies share them. Each copy runs in a thread of its own: for small
    models this is faster than several threads inside each operation. Gradients are added in the order of the copies, so
    that the result does not depend on timing.
    """

    def __init__(self, model: nn.Module, count: int) -> None:
        """model: returns the mean loss of images and noise. count: number of copies."""
        self.weights = list(model.parameters())
        self.copies = [_low_precision_copy(model) for _ in range(count)]
        for each in self.copies[1:]:
            _share(self.copies[0].parameters(), each.parameters())
        self.threads = _start_threads(count) if count > 1 else None

    def add_gradients(self, images: Tensor, noise: Tensor, pieces: int) -> Tensor:
        """Add the gradients of the mean loss over `pieces` to those of the model; return the loss."""
        self._convert_weights()
        count = len(self.copies)
        shares = (self.copies, images.chunk(count), noise.chunk(count), [count * pieces] * count)
        losses = list((self.threads.map if self.threads else map)(_backward, *shares))
        self._collect_gradients()
        return torch.stack(losses).mean()

    @torch.no_grad()
    def _convert_weights(self) -> None:
        for weight, low in zip(self.weights, self.copies[0].parameters(), strict=True):
            low.copy_(weight)

    @torch.no_grad()
    def _collect_gradients(self) -> None:
        for weight, *copies in zip(self.weights, *(each.parameters() for each in self.copies), strict=True):
            gradients = [each.grad for each in copies if each.grad is not None]
            if not gradients:
                continue
            first = gradients[0].float()
            weight.grad = first if weight.grad is None else weight.grad.add_(first)
            for gradient in gradients[1:]:
                weight.grad.add_(gradient)
            for each in copies:
                each.grad = None


def _low_precision_copy(model: nn.Module) -> nn.Module:
    low = copy.deepcopy(model)
    for part in low.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            part.to(torch.bfloat16)
    return low


def _share(weights: Iterable[Tensor], others: Iterable[Tensor]) -> None:
    """Let the second weights use the memory of the first."""
    for weight, other in zip(weights, others, strict=True):
        other.data = weight.data


def _start_threads(count: int) -> ThreadPoolExecutor:
    """Start threads among which the threads of torch are divided."""
    threads, started = torch.get_num_threads(), Barrier(count)
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(max(threads // count, 1),))
    list(pool.map(lambda _: started.wait(), range(count)))
    torch.set_num_threads(threads)  # the setting of a thread is also the default of those that start later
    return pool


def _backward(model: nn.Module, images: Tensor, noise: Tensor, parts: int) -> Tensor:
    """Add the gradients of a mean loss over `parts`; return the loss."""
    with autocast(images.device, low_precision=True):
        loss = model(images, noise)
    (loss / parts).backward()
    return loss.detach()
