"""Memory, compilation and attention on a device."""

import pytest
import torch
from torch import Tensor, nn

from synpat_train.config import make_config
from synpat_train.device import autocast, compile_model, equal_parts, largest_fitting_batch
from synpat_train.model.attention import choose_attention, fuses_attention
from synpat_train.model.mae import MaskedAutoencoder


class LimitedMemory(nn.Module):
    """A model that runs out of memory for more than `most` images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.weight, self.most = nn.Parameter(torch.ones(1)), most

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (images * self.weight).mean()


@pytest.mark.parametrize(("most", "fits"), [(5, 4), (15, 8), (1, 1), (0, 0)])
def test_largest_fitting_batch_is_found_by_halving(most: int, fits: int):
    model = LimitedMemory(most)
    assert largest_fitting_batch(model, torch.ones(16, 2, 2), torch.ones(16, 4), low_precision=False, reserve=8) == fits
    assert model.weight.grad is None


@pytest.mark.parametrize(("count", "most", "number"), [(16, 4, 4), (100, 12, 10), (7, 3, 7), (5, 5, 1)])
def test_parts_are_equal_and_as_few_as_fit(count: int, most: int, number: int):
    assert equal_parts(count, most) == number


class Uncompilable(nn.Module):
    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return images.sum()


def test_error_for_failed_compilation_has_one_line():
    with pytest.raises(ValueError, match=r"graph_break|graph break") as error:
        compile_model(Uncompilable(), torch.ones(2, 2, 2), torch.ones(2, 4), low_precision=False)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("device", "low_precision", "tokens", "fused"),
    [
        ("cpu", True, 17, False),
        ("cpu", True, 257, False),
        ("cpu", True, 513, True),
        ("cpu", False, 17, True),
        ("cuda", True, 17, True),
        ("cuda", False, 17, True),
    ],
)
def test_plain_attention_is_used_only_where_it_is_faster(device: str, low_precision: bool, tokens: int, fused: bool):
    assert fuses_attention(torch.device(device), low_precision, tokens) == fused


@pytest.mark.parametrize(("low_precision", "tolerance"), [(False, 1e-5), (True, 2e-2)])
def test_plain_and_fused_attention_agree(low_precision: bool, tolerance: float):
    config = make_config("msm-mae", {"model": "tiny", "decoder_width": 48, "decoder_depth": 1, "decoder_heads": 3})
    torch.manual_seed(0)
    model = MaskedAutoencoder(config)
    names = list(model.state_dict())
    images, noise = torch.randn(4, 1, 80, 208), torch.rand(4, config.patches)
    losses, gradients = [], []
    for fused in (True, False):
        choose_attention(model, fused)
        assert list(model.state_dict()) == names
        model.zero_grad()
        with autocast(torch.device("cpu"), low_precision):
            loss = model(images, noise)
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None]))
    assert losses[0] == pytest.approx(losses[1], rel=tolerance / 10)
    assert (gradients[0] - gradients[1]).norm() < tolerance * gradients[0].norm()
