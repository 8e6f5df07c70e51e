"""Augmentations, compared with their definitions in the papers."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from synpat_train.evaluation.finetuning.augmentation import (
    add_noise,
    change_loudness,
    kept_patches,
    kept_time_steps,
    mixup,
    random_resize_crop,
    spec_augment,
    stretch,
)


def make_rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def stripes(hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return start and width of the stripe of each row that has one. hidden: bool [rows, length]."""
    edges = np.diff(np.pad(hidden, ((0, 0), (1, 1))).astype(int), axis=1)
    assert ((edges == 1).sum(axis=1) <= 1).all(), "more than one stripe"
    masked = hidden.any(axis=1)
    starts = (edges[masked] == 1).argmax(axis=1)
    return starts, (edges[masked] == -1).argmax(axis=1) - starts


def test_stripes_of_spec_augment_are_uniformly_distributed():
    hidden = spec_augment(torch.ones(20_000, 20, 30), 8, 12, False, make_rng()).numpy() == 0
    for bands_or_frames, length, widest in ((hidden.all(axis=2), 20, 8), (hidden.all(axis=1), 30, 12)):
        starts, widths = stripes(bands_or_frames)
        counts = np.bincount(widths, minlength=widest)
        counts[0] = len(hidden) - len(widths)
        # All widths from 0 to widest - 1 are equally likely, and so are all starts for a width.
        np.testing.assert_allclose(counts / len(hidden), 1 / widest, atol=0.01)
        start_counts = np.bincount(starts[widths == 5]) / (widths == 5).sum()
        assert len(start_counts) == length - 5
        np.testing.assert_allclose(start_counts, 1 / len(start_counts), atol=0.03)


def test_spec_augment_masks_bands_and_frames_only():
    log_mels = noise(50, 20, 30) + 10
    augmented = spec_augment(log_mels, 8, 12, False, make_rng())
    hidden = augmented.numpy() == 0
    cross = hidden.all(axis=2)[:, :, None] | hidden.all(axis=1)[:, None]
    np.testing.assert_array_equal(hidden, cross)
    assert torch.equal(augmented[~torch.from_numpy(hidden)], log_mels[~torch.from_numpy(hidden)])


def test_shared_mask_is_equal_for_all_clips():
    log_mels = torch.ones(30, 20, 30)
    assert len(spec_augment(log_mels, 8, 12, True, make_rng(1)).unique(dim=0)) == 1
    assert len(spec_augment(log_mels, 8, 12, False, make_rng(1)).unique(dim=0)) > 20


@pytest.mark.parametrize("widest", [0, 1])
def test_spec_augment_without_masks_changes_nothing(widest):
    log_mels = noise(5, 20, 30)
    assert torch.equal(spec_augment(log_mels, widest, widest, False, make_rng()), log_mels)


def test_mask_never_covers_the_full_clip():
    assert (spec_augment(torch.ones(200, 4, 3), 30, 192, False, make_rng()).sum(dim=(1, 2)) > 0).all()


def test_mixup_mixes_waveforms_and_targets_with_the_same_weights():
    waveforms, targets = torch.eye(64), functional.one_hot(torch.arange(64) % 5, 5).float()
    mixed, mixed_targets, partners = mixup(waveforms, targets, 1, 0.3, make_rng())
    assert sorted(partners.tolist()) == list(range(64))
    assert (partners != np.arange(64)).sum() > 50
    torch.testing.assert_close(mixed_targets.sum(dim=1), torch.ones(64))
    # The waveforms are unit vectors: the values of a mixture are its weights.
    torch.testing.assert_close(mixed @ targets, mixed_targets)
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(64))
    assert ((mixed > 0).sum(dim=1) <= 2).all()


def test_weights_of_mixup_are_beta_distributed():
    count, alpha = 20_000, 0.3
    classes = np.arange(count) % 2
    _, targets, partners = mixup(torch.zeros(count, 1), torch.eye(2)[classes], 1, alpha, make_rng())
    weights = targets[range(count), classes].numpy()[classes != classes[partners]]
    assert weights.mean() == pytest.approx(0.5, abs=0.01)
    assert weights.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.005)


def test_mixup_leaves_the_other_clips_unchanged():
    waveforms, targets = noise(4000, 3), noise(4000, 2)
    mixed, mixed_targets, partners = mixup(waveforms, targets, 0.25, 10, make_rng())
    same = (mixed == waveforms).all(dim=1)
    assert same.float().mean().item() == pytest.approx(0.75, abs=0.03)
    assert torch.equal(mixed_targets[same], targets[same])
    np.testing.assert_array_equal(partners == np.arange(4000), same.numpy())


def full(clips: int, length: int) -> np.ndarray:
    return np.full(clips, length)


def test_stretch_of_the_full_log_mel_is_the_identity():
    log_mels, none = noise(3, 80, 501), np.zeros(3, int)
    augmented = stretch(log_mels, none, full(3, 80), none, full(3, 501))
    torch.testing.assert_close(augmented, log_mels, atol=2e-3, rtol=0)


def test_stretch_agrees_with_torch_interpolate():
    log_mels = noise(2, 80, 200)
    augmented = stretch(log_mels, np.array([10, 0]), np.array([50, 70]), np.array([40, 20]), np.array([120, 90]))
    for clip, part in enumerate([log_mels[0, 10:60, 40:160], log_mels[1, 0:70, 20:110]]):
        expected = functional.interpolate(part[None, None], (80, 200), mode="bicubic", align_corners=True)[0, 0]
        # They differ only at the edges, where `stretch` uses values outside the part.
        torch.testing.assert_close(augmented[clip, 5:-5, 5:-5], expected[5:-5, 5:-5], atol=1e-3, rtol=0)


def test_stretch_pads_with_zeros():
    augmented = stretch(torch.ones(1, 8, 100), np.array([0]), np.array([8]), np.array([-50]), np.array([150]))
    assert (augmented[0, :, :30] == 0).all()
    torch.testing.assert_close(augmented[0, :, 40:], torch.ones(8, 60), atol=1e-4, rtol=0)


def test_random_resize_crop_has_the_documented_sizes():
    """A ramp over frequency, and a constant over time, show which part was cropped."""
    bands, frames, clips = 80, 200, 2000
    slope = torch.arange(bands).float()[:, None].expand(clips, bands, frames) + 1
    augmented = random_resize_crop(slope, make_rng())
    middle = augmented[:, :, frames // 2]
    heights = (middle[:, -1] - middle[:, 0]) + 1
    assert 0.59 * bands < heights.min() < 0.62 * bands
    # Sizes are from 0.6 to 1.5; those above 1 are limited to 1.
    assert (heights > bands - 0.5).float().mean().item() == pytest.approx(0.5 / 0.9, abs=0.05)
    # In time, a part that extends beyond both ends is up to 1.5 times as long as the log-mel.
    filled = random_resize_crop(torch.ones(clips, bands, frames), make_rng())[:, bands // 2] > 0.5
    larger = filled[~filled[:, 0] & ~filled[:, -1]].float().mean(dim=1)
    assert 0.66 < larger.min() < 0.7
    assert larger.max() > 0.95
    assert filled.all(dim=1).any()


def test_random_resize_crop_differs_between_clips():
    augmented = random_resize_crop(noise(1, 80, 100).expand(20, -1, -1), make_rng())
    assert len(augmented.unique(dim=0)) == 20


@pytest.mark.parametrize("of", ["patches", "axis"])
@pytest.mark.parametrize(("rows", "columns"), [(5, 31), (8, 63), (1, 1), (1, 7), (5, 1), (2, 2)])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_all_clips_keep_the_same_number_of_patches(of, rows, columns, share):
    for seed in range(20):
        kept = kept_patches(6, rows, columns, share, of, make_rng(seed))
        assert kept.shape[1] >= 1
        assert 0 <= kept.min() <= kept.max() < rows * columns
        assert (np.diff(kept, axis=1) > 0).all(), "sorted and unique"
        for clip in kept:
            assert len(clip) == len(set(clip // columns)) * len(set(clip % columns)), "complete rows and columns"


def test_share_of_patches_is_divided_randomly_between_rows_and_columns():
    counts = set()
    for seed in range(50):
        kept = kept_patches(4, 5, 32, 0.5, "patches", make_rng(seed))
        assert kept.shape[1] == pytest.approx(80, abs=2.5)
        counts.add(5 - len(set((kept[0] // 32).tolist())))
    assert counts == {0, 1, 2}


def test_share_of_each_axis_is_left_out():
    kept = kept_patches(4, 8, 64, 0.2, "axis", make_rng())
    assert kept.shape == (4, 6 * 51)


def test_kept_time_steps_are_complete_and_differ_between_clips():
    kept = kept_time_steps(20, 5, 32, 24, make_rng())
    np.testing.assert_array_equal(kept.reshape(20, 5, 24), kept[:, None, :24] + 32 * np.arange(5)[:, None])
    assert (np.diff(kept[:, :24]) > 0).all()
    assert kept[:, :24].max() == 31
    assert len({tuple(clip) for clip in kept}) == 20


def test_every_patch_is_dropped_for_some_clip():
    kept = kept_patches(200, 5, 7, 0.5, "patches", make_rng())
    counts = np.bincount(kept.flatten(), minlength=35)
    assert counts.min() > 0
    assert counts.max() < 200


def test_loudness_factor_is_within_its_bounds():
    waveforms = noise(2000, 4)
    factors = change_loudness(waveforms, make_rng()) / waveforms
    torch.testing.assert_close(factors, factors[:, :1].expand(-1, 4))
    assert 0.5 < factors.min() < 0.75
    assert 1.25 < factors.max() < 1.5
    assert factors.mean().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("decibels", [0, 20])
def test_noise_has_the_given_signal_to_noise_ratio(decibels):
    waveforms = torch.cat([noise(4, 8000), torch.zeros(4, 8000)], dim=1) * torch.tensor([[0.01], [0.1], [1], [10]])
    added = add_noise(waveforms, np.full(4, 8000), decibels, make_rng()) - waveforms
    ratios = waveforms[:, :8000].square().mean(dim=1) / added.square().mean(dim=1)
    torch.testing.assert_close(ratios, torch.full((4,), 10 ** (decibels / 10)), rtol=0.05, atol=0)
