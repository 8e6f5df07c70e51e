"""Inputs of a fine-tuning step: clips cropped, padded and augmented."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from trainings import PLAIN, UNIT, context_of, short, task_of

from synpat_train.audio.front_end import FRONT_ENDS
from synpat_train.evaluation.finetuning.clips import Batch, augmented, normalised, training_batch
from synpat_train.evaluation.finetuning.recipes import AUDIOMAE, M2D
from synpat_train.evaluation.tasks.task import Split


@pytest.mark.parametrize("clips", [2, 3, 15, 16, 17, 31, 33, 49, 65])
def test_epoch_has_each_training_clip_once_in_batches_of_similar_size(clips):
    samples = np.repeat(np.arange(1, 81, dtype=np.int16)[:, None], UNIT, axis=1)
    task = task_of(samples, ["a", "b"] * 40)
    split = Split(name="some", train=np.arange(3, 3 + clips), test=np.arange(3))
    context = context_of(task, short(M2D["spcv2"]), split)
    epochs = []
    for epoch in range(2):
        batches = [training_batch(context, (epoch, step)) for step in range(context.steps)]
        sizes = [len(batch.waveforms) for batch in batches]
        assert 2 <= min(sizes) <= max(sizes) <= min(16, min(sizes) + 1)
        epochs.append(torch.cat([batch.waveforms[:, 0] for batch in batches]) - 1)
        assert sorted(epochs[-1].tolist()) == split.train.tolist()
        targets = torch.cat([batch.targets for batch in batches])
        assert torch.equal(targets.argmax(dim=1), torch.from_numpy(task.targets)[epochs[-1].long()])
    assert clips == 2 or not torch.equal(*epochs)


def test_training_clips_are_cropped_differently_in_each_epoch():
    ramps = np.tile(np.arange(3 * UNIT, dtype=np.int16), (80, 1))
    context = context_of(task_of(ramps, ["a", "b"] * 40), short(M2D["spcv2"]))
    starts = []
    for epoch in range(30):
        batch = training_batch(context, (epoch, 0))
        assert (batch.waveforms.int().diff(dim=1) == 1).all()
        starts.append(batch.waveforms[:, 0])
    starts = torch.cat(starts)
    assert starts.min() < 0.1 * UNIT
    assert starts.max() > 1.9 * UNIT
    assert len(starts.unique()) > 0.9 * len(starts)


def test_rolled_clip_wraps_around():
    ramps = np.tile(np.arange(1, UNIT // 2 + 1, dtype=np.int16), (80, 1))
    batch = training_batch(context_of(task_of(ramps, ["a", "b"] * 40), short(AUDIOMAE["esc50"])), (0, 0))
    assert (batch.waveforms[:, UNIT // 2 :] == 0).all()
    assert len(batch.waveforms[:, 0].unique()) > 10
    for waveform in batch.waveforms[:, : UNIT // 2].int():
        np.testing.assert_array_equal(waveform.roll(int(waveform.argmin().neg())), ramps[0])


def test_short_clip_is_padded_with_zeros_and_otherwise_unchanged(low_or_high):
    front_end, lengths = FRONT_ENDS[80], np.array([UNIT, 5000, 399])
    waveforms = torch.randn(3, UNIT, generator=torch.Generator().manual_seed(0)) * 0.1
    for waveform, length in zip(waveforms, lengths, strict=True):
        waveform[length:] = 0
    log_mels = normalised(waveforms, lengths, context_of(low_or_high, M2D["spcv2"]))
    for log_mel, waveform, length in zip(log_mels, waveforms, lengths, strict=True):
        expected = (front_end.spectrogram(waveform[:length]) + 6) / 4
        frames = front_end.frames(length)
        assert (log_mel[:, frames:] == 0).all()
        torch.testing.assert_close(log_mel[:, : frames - 2], expected[:, : frames - 2], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "changes",
    [{"roll": True}, {"noise": 20}, {"mixup": 1}, {"frequency_mask": 30}, {"time_mask": 48}, {"resize_crop": True}],
    ids=str,
)
def test_only_the_requested_augmentation_changes_a_clip(low_or_high, changes):
    context = context_of(low_or_high, PLAIN)
    batch = training_batch(context, (0, 0))
    plain = normalised(batch.waveforms / 32768, batch.lengths, context)
    assert torch.equal(augmented(batch, context, context.rng(0, 0, 1))[0], plain)
    changed, targets = augmented(batch, context_of(low_or_high, replace(PLAIN, **changes)), context.rng(0, 0, 1))
    assert (changed != plain).any()
    assert torch.equal(targets, batch.targets) == ("mixup" not in changes)


@pytest.mark.parametrize("frames", [20, 51, 200])
@pytest.mark.parametrize(("time_mask", "widest"), [(16, lambda frames: 16), (0.25, lambda frames: round(frames / 4))])
def test_share_as_time_mask_scales_with_the_clip(low_or_high, frames, time_mask, widest):
    context = context_of(low_or_high, replace(PLAIN, time_mask=time_mask, mask_shared=False))
    context = replace(context, unit=(frames - 1) * 160)
    rng = np.random.default_rng(0)
    waveforms = torch.from_numpy(rng.integers(-9000, 9000, (500, context.unit), np.int16))
    log_mels, _ = augmented(Batch(waveforms, np.full(500, context.unit), torch.eye(500, 2)), context, rng)
    assert log_mels.shape[2] == frames
    assert (log_mels == 0).all(dim=1).sum(dim=1).max() == widest(frames) - 1


def test_mixture_is_as_long_as_the_longer_clip(low_or_high):
    context = context_of(low_or_high, replace(PLAIN, mixup=1))
    lengths = np.array([2000, UNIT] * 8)
    waveforms = torch.zeros(16, UNIT, dtype=torch.int16)
    for waveform, length in zip(waveforms, lengths, strict=True):
        waveform[:length] = 1000
    log_mels, targets = augmented(Batch(waveforms, lengths, torch.eye(16)), context, np.random.default_rng(0))
    frames = FRONT_ENDS[80].frames(2000)
    for log_mel, clips in zip(log_mels, targets > 0, strict=True):
        assert (log_mel[:, frames:].any() == (lengths[clips].max() == UNIT)).item()
    assert ((targets > 0).sum(dim=1) == 2).any()
