"""Each augmentation does what its paper says, to as many values as it says, and nothing else."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from synpat_train.evaluation.finetuning.augmentation import (
    add_noise,
    change_loudness,
    kept_patches,
    mixup,
    random_resize_crop,
    spec_augment,
    stretch,
)


def dice(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def stripes(hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and widths of one stripe a row, of those that have any; hidden: bool [rows, length]."""
    edges = np.diff(np.pad(hidden, ((0, 0), (1, 1))).astype(int), axis=1)
    assert ((edges == 1).sum(axis=1) <= 1).all(), "more than one stripe"
    some = hidden.any(axis=1)
    starts = (edges[some] == 1).argmax(axis=1)
    return starts, (edges[some] == -1).argmax(axis=1) - starts


def test_stripes_of_spec_augment_have_widths_and_places_by_its_law():
    hidden = spec_augment(torch.ones(20_000, 20, 30), 8, 12, False, dice()).numpy() == 0
    for bands_or_frames, length, widest in ((hidden.all(axis=2), 20, 8), (hidden.all(axis=1), 30, 12)):
        starts, widths = stripes(bands_or_frames)
        found = np.bincount(widths, minlength=widest)
        found[0] = len(hidden) - len(widths)
        # Every width from 0 to widest - 1 is as likely, and so is every start that leaves room for it.
        np.testing.assert_allclose(found / len(hidden), 1 / widest, atol=0.01)
        places = np.bincount(starts[widths == 5]) / (widths == 5).sum()
        assert len(places) == length - 5
        np.testing.assert_allclose(places, 1 / len(places), atol=0.03)


def test_spec_augment_hides_a_cross_and_leaves_the_rest():
    log_mels = noise(50, 20, 30) + 10
    found = spec_augment(log_mels, 8, 12, False, dice())
    hidden = found.numpy() == 0
    cross = hidden.all(axis=2)[:, :, None] | hidden.all(axis=1)[:, None]
    np.testing.assert_array_equal(hidden, cross)
    assert torch.equal(found[~torch.from_numpy(hidden)], log_mels[~torch.from_numpy(hidden)])


def test_a_shared_mask_is_one_for_all_clips_and_others_are_many():
    log_mels = torch.ones(30, 20, 30)
    assert len(spec_augment(log_mels, 8, 12, True, dice(1)).unique(dim=0)) == 1
    assert len(spec_augment(log_mels, 8, 12, False, dice(1)).unique(dim=0)) > 20


@pytest.mark.parametrize("widest", [0, 1])
def test_no_mask_hides_nothing(widest):
    log_mels = noise(5, 20, 30)
    assert torch.equal(spec_augment(log_mels, widest, widest, False, dice()), log_mels)


def test_a_mask_wider_than_the_clip_leaves_something():
    assert (spec_augment(torch.ones(200, 4, 3), 30, 192, False, dice()).sum(dim=(1, 2)) > 0).all()


def test_mixup_mixes_waveforms_and_targets_alike():
    waveforms, targets = torch.eye(64), functional.one_hot(torch.arange(64) % 5, 5).float()
    mixed, wanted, partners = mixup(waveforms, targets, 1, 0.3, dice())
    assert sorted(partners.tolist()) == list(range(64))
    assert (partners != np.arange(64)).sum() > 50
    torch.testing.assert_close(wanted.sum(dim=1), torch.ones(64))
    # Each waveform is a unit vector of its own: what is in a mixture says how it was mixed.
    torch.testing.assert_close(mixed @ targets, wanted)
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(64))
    assert ((mixed > 0).sum(dim=1) <= 2).all()


def test_weights_of_mixup_are_beta_distributed():
    count, alpha = 20_000, 0.3
    own = np.arange(count) % 2
    _, targets, partners = mixup(torch.zeros(count, 1), torch.eye(2)[own], 1, alpha, dice())
    weights = targets[range(count), own].numpy()[own != own[partners]]
    assert weights.mean() == pytest.approx(0.5, abs=0.01)
    assert weights.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.005)


def test_a_share_of_the_clips_is_mixed_and_the_others_stay_to_the_bit():
    waveforms, targets = noise(4000, 3), noise(4000, 2)
    mixed, wanted, partners = mixup(waveforms, targets, 0.25, 10, dice())
    same = (mixed == waveforms).all(dim=1)
    assert same.float().mean().item() == pytest.approx(0.75, abs=0.03)
    assert torch.equal(wanted[same], targets[same])
    np.testing.assert_array_equal(partners == np.arange(4000), same.numpy())


def whole(clips: int, length: int) -> np.ndarray:
    return np.full(clips, length)


def test_a_part_that_is_the_whole_is_stretched_to_itself():
    log_mels, none = noise(3, 80, 501), np.zeros(3, int)
    found = stretch(log_mels, none, whole(3, 80), none, whole(3, 501))
    torch.testing.assert_close(found, log_mels, atol=2e-3, rtol=0)


def test_a_part_is_stretched_as_torch_interpolates_it():
    log_mels = noise(2, 80, 200)
    found = stretch(log_mels, np.array([10, 0]), np.array([50, 70]), np.array([40, 20]), np.array([120, 90]))
    for clip, part in enumerate([log_mels[0, 10:60, 40:160], log_mels[1, 0:70, 20:110]]):
        expected = functional.interpolate(part[None, None], (80, 200), mode="bicubic", align_corners=True)[0, 0]
        # They differ at the edges alone, where ours sees what lies beyond the part.
        torch.testing.assert_close(found[clip, 5:-5, 5:-5], expected[5:-5, 5:-5], atol=1e-3, rtol=0)


def test_beyond_the_clip_are_zeros():
    found = stretch(torch.ones(1, 8, 100), np.array([0]), np.array([8]), np.array([-50]), np.array([150]))
    assert (found[0, :, :30] == 0).all()
    torch.testing.assert_close(found[0, :, 40:], torch.ones(8, 60), atol=1e-4, rtol=0)


def test_a_random_resize_crop_takes_parts_of_the_promised_sizes():
    """A slope in frequency and one in time tell which part was taken."""
    bands, frames, clips = 80, 200, 2000
    slope = torch.arange(bands).float()[:, None].expand(clips, bands, frames) + 1
    found = random_resize_crop(slope, dice())
    middle = found[:, :, frames // 2]
    heights = (middle[:, -1] - middle[:, 0]) + 1
    assert 0.59 * bands < heights.min() < 0.62 * bands
    # Of all sizes from 0.6 to 1.5, those over 1 are cut to 1.
    assert (heights > bands - 0.5).float().mean().item() == pytest.approx(0.5 / 0.9, abs=0.05)
    # In time, a part that reaches beyond both ends is larger than the whole, at most 1.5 times.
    filled = random_resize_crop(torch.ones(clips, bands, frames), dice())[:, bands // 2] > 0.5
    larger = filled[~filled[:, 0] & ~filled[:, -1]].float().mean(dim=1)
    assert 0.66 < larger.min() < 0.7
    assert larger.max() > 0.95
    assert filled.all(dim=1).any()


def test_clips_are_cut_each_in_its_own_way():
    found = random_resize_crop(noise(1, 80, 100).expand(20, -1, -1), dice())
    assert len(found.unique(dim=0)) == 20


@pytest.mark.parametrize("of", ["patches", "axis"])
@pytest.mark.parametrize(("rows", "columns"), [(5, 31), (8, 63), (1, 1), (1, 7), (5, 1), (2, 2)])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_as_many_patches_stay_for_every_clip_and_never_none(of, rows, columns, share):
    for seed in range(20):
        kept = kept_patches(6, rows, columns, share, of, dice(seed))
        assert kept.shape[1] >= 1
        assert 0 <= kept.min() <= kept.max() < rows * columns
        assert (np.diff(kept, axis=1) > 0).all(), "in order, none twice"
        for clip in kept:
            assert len(clip) == len(set(clip // columns)) * len(set(clip % columns)), "whole rows and columns"


def test_the_share_of_patches_is_divided_between_rows_and_columns_by_chance():
    counts = set()
    for seed in range(50):
        kept = kept_patches(4, 5, 32, 0.5, "patches", dice(seed))
        assert kept.shape[1] == pytest.approx(80, abs=2.5)
        counts.add(5 - len(set((kept[0] // 32).tolist())))
    assert counts == {0, 1, 2}


def test_a_share_of_each_axis_leaves_as_many_rows_and_columns():
    kept = kept_patches(4, 8, 64, 0.2, "axis", dice())
    assert kept.shape == (4, 6 * 51)


def test_every_patch_is_dropped_for_some_clip():
    kept = kept_patches(200, 5, 7, 0.5, "patches", dice())
    counts = np.bincount(kept.flatten(), minlength=35)
    assert counts.min() > 0
    assert counts.max() < 200


def test_loudness_changes_by_a_factor_within_its_bounds():
    waveforms = noise(2000, 4)
    factors = change_loudness(waveforms, dice()) / waveforms
    torch.testing.assert_close(factors, factors[:, :1].expand(-1, 4))
    assert 0.5 < factors.min() < 0.75
    assert 1.25 < factors.max() < 1.5
    assert factors.mean().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("decibels", [0, 20])
def test_noise_is_so_many_decibels_below_the_clip(decibels):
    waveforms = torch.cat([noise(4, 8000), torch.zeros(4, 8000)], dim=1) * torch.tensor([[0.01], [0.1], [1], [10]])
    added = add_noise(waveforms, np.full(4, 8000), decibels, dice()) - waveforms
    ratios = waveforms[:, :8000].square().mean(dim=1) / added.square().mean(dim=1)
    torch.testing.assert_close(ratios, torch.full((4,), 10 ** (decibels / 10)), rtol=0.05, atol=0)
