"""What the device can do."""

import pytest
import torch
from torch import Tensor, nn

from synpat_train.device import compile_model, equal_parts, largest_fitting_batch


class Hungry(nn.Module):
    """Finds memory for so many images at once, as a GPU of that size would."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.weight, self.most = nn.Parameter(torch.ones(1)), most

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (images * self.weight).mean()


@pytest.mark.parametrize(("most", "fits"), [(5, 4), (15, 8), (1, 1), (0, 0)])
def test_the_largest_batch_that_fits_is_found_by_halving(most: int, fits: int):
    model = Hungry(most)
    assert largest_fitting_batch(model, torch.ones(16, 2, 2), torch.ones(16, 4), low_precision=False, reserve=8) == fits
    assert model.weight.grad is None


@pytest.mark.parametrize(("count", "most", "number"), [(16, 4, 4), (100, 12, 10), (7, 3, 7), (5, 5, 1)])
def test_pieces_that_fit_are_equal_and_few(count: int, most: int, number: int):
    assert equal_parts(count, most) == number


class Uncompilable(nn.Module):
    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return images.sum()


def test_a_model_that_does_not_compile_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"graph_break|graph break") as refusal:
        compile_model(Uncompilable(), torch.ones(2, 2, 2), torch.ones(2, 4), low_precision=False)
    assert "\n" not in str(refusal.value)
