"""Gradients computed by several threads."""

from collections.abc import Iterator

import pytest
import torch

from synpat_train.config import make_config
from synpat_train.device import autocast
from synpat_train.model.mae import MaskedAutoencoder
from synpat_train.pretraining.replicas import Replicas, count_replicas

CONFIG = make_config("msm-mae", {"model": "tiny", "decoder_width": 48, "decoder_depth": 1, "decoder_heads": 3})


@pytest.fixture
def model() -> Iterator[MaskedAutoencoder]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    yield MaskedAutoencoder(CONFIG)
    torch.set_num_threads(threads)


def gradients(model: MaskedAutoencoder) -> torch.Tensor:
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(16, 1, 80, 208), torch.rand(16, CONFIG.patches)


def test_replicas_give_the_gradients_of_the_full_batch(model: MaskedAutoencoder):
    images, noise = batch()
    with autocast(images.device, low_precision=True):
        expected = model(images, noise)
    expected.backward()
    full = gradients(model)
    model.zero_grad()
    loss = Replicas(model, 2).add_gradients(images, noise, pieces=1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)
    assert (gradients(model) - full).norm() < 2e-2 * full.norm()


def test_replicas_use_the_current_weights_and_are_deterministic(model: MaskedAutoencoder):
    replicas, (images, noise) = Replicas(model, 2), batch()
    first = replicas.add_gradients(images, noise, pieces=1)
    first_gradients = gradients(model)
    model.zero_grad()
    assert torch.equal(replicas.add_gradients(images, noise, pieces=1), first)
    assert torch.equal(gradients(model), first_gradients)
    with torch.no_grad():
        model.mask_token.add_(1)
    assert not torch.equal(replicas.add_gradients(images, noise, pieces=1), first)


def test_replicas_accumulate_gradients_of_several_parts(model: MaskedAutoencoder):
    replicas, (images, noise) = Replicas(model, 2), batch()
    replicas.add_gradients(images, noise, pieces=1)
    once = gradients(model)
    model.zero_grad()
    for _ in range(2):
        replicas.add_gradients(images, noise, pieces=2)
    assert (gradients(model) - once).norm() < 1e-5 * once.norm()


def test_number_of_torch_threads_is_unchanged(model: MaskedAutoencoder):
    Replicas(model, 2)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("samples", "threads", "count"),
    [(32, 1, 1), (32, 2, 2), (32, 16, 4), (4, 2, 1), (33, 2, 1), (36, 4, 4), (100, 8, 5)],
)
def test_batch_is_divided_equally(samples: int, threads: int, count: int):
    assert count_replicas(samples, threads) == count
