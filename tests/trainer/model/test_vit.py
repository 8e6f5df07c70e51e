"""The positions of a vision transformer."""

import torch
from torch.nn import functional

from synpat_train.model.vit import fit_positions


def test_positions_are_kept_truncated_or_interpolated():
    positions = torch.randn(1, 5 * 6, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fit_positions(positions, 5, 6, 6), positions)
    table = positions.reshape(5, 6, 8)
    truncated = fit_positions(positions, 5, 6, 4)
    assert torch.equal(truncated.reshape(5, 4, 8), table[:, :4])
    longer = fit_positions(positions, 5, 6, 11)
    expected = functional.interpolate(table.permute(2, 0, 1)[None], (5, 11), mode="bicubic")[0].permute(1, 2, 0)
    torch.testing.assert_close(longer.reshape(5, 11, 8), expected)
