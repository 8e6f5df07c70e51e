"""Fine-tuning: its training, loss, schedule and layer decay, compared with the published settings."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score
from torch.nn import functional
from trainings import (
    HALVES,
    NORMALISATION,
    PLAIN,
    context_of,
    short,
    small_encoder,
    task_of,
    tone_and_noise,
    train_and_test,
)

from synpat_train.audio.front_end import FRONT_ENDS
from synpat_train.device import uses_bfloat16
from synpat_train.evaluation.finetuning import finetune as finetuning
from synpat_train.evaluation.finetuning.checkpoint import FineTuningCheckpoint
from synpat_train.evaluation.finetuning.classifier import make_classifier, scores
from synpat_train.evaluation.finetuning.clips import FineTuningContext
from synpat_train.evaluation.finetuning.finetune import finetune, layers, learning_rate_at, loss, train
from synpat_train.evaluation.finetuning.recipes import AUDIOMAE, M2D, FineTuning
from synpat_train.evaluation.probes.embedding import measure_normalisation
from synpat_train.evaluation.tasks.folder import folder_task
from synpat_train.evaluation.tasks.task import Source, Split, Task
from synpat_train.model.encoder import load_encoder

RECIPES = {
    "m2d": replace(short(M2D["spcv2"], epochs=20), learning_rate=0.04),
    "m2d, as20k": replace(short(M2D["as20k"], epochs=20), learning_rate=0.1),
    "m2d, voxceleb1": short(M2D["voxceleb1"], epochs=6),
    "other tasks": replace(short(M2D[""], epochs=20), learning_rate=3e-3),
    "audiomae": replace(short(AUDIOMAE["esc50"], epochs=12), learning_rate=3e-3),
    "audiomae, spcv2": replace(short(AUDIOMAE["spcv2"], epochs=12), learning_rate=3e-3),
}
"""Recipes that differ most. The small encoder needs higher learning rates than the published ones."""
every_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


def ranking(logits: np.ndarray, task: Task) -> float:
    """Return the area under the ROC curve of the second class against the first: 0.5 by chance."""
    return float(roc_auc_score(task.targets[HALVES.test], logits[:, 1] - logits[:, 0]))


@every_recipe
def test_fine_tuning_separates_tones(encoder, low_or_high, recipe, tmp_path):
    logits = train_and_test(encoder, low_or_high, recipe, tmp_path)
    assert logits.shape == (40, 2)
    assert logits.dtype == np.float32
    assert ranking(logits, low_or_high) > 0.85


@every_recipe
def test_shuffled_labels_give_chance_level(encoder, low_or_high, recipe, tmp_path):
    shuffled = replace(low_or_high, labels=np.random.default_rng(1).permutation(low_or_high.labels))
    assert 0.25 < ranking(train_and_test(encoder, shuffled, recipe, tmp_path), shuffled) < 0.75


def test_fine_tuning_learns_several_labels_per_clip(encoder, tmp_path):
    tones = np.array([[True, False], [False, True], [True, True]])[np.arange(80) % 3]
    names = np.array(["low", "high", "high,low"])[np.arange(80) % 3]
    task = task_of(tone_and_noise(tones), names.tolist(), multi_label=True)
    logits = train_and_test(
        encoder, task, replace(RECIPES["m2d, voxceleb1"], mixup=0.5), tmp_path
    )  # the loss of this recipe is for one label
    for name, scored in zip(task.classes, logits.T, strict=True):
        assert roc_auc_score(tones[40:, ["low", "high"].index(name)], scored) > 0.9


def test_scores_depend_on_the_seed_and_not_on_the_state_of_torch(encoder, low_or_high, tmp_path):
    recipe = short(AUDIOMAE["spcv2"])
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = train_and_test(encoder, low_or_high, recipe, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    np.testing.assert_array_equal(train_and_test(encoder, low_or_high, recipe, tmp_path), first)
    assert (train_and_test(encoder, low_or_high, recipe, tmp_path, seed=1) != first).any()


def test_encoder_is_not_changed(low_or_high, tmp_path):
    encoder, untouched = small_encoder(80), small_encoder(80)
    train_and_test(encoder, low_or_high, short(AUDIOMAE["esc50"]), tmp_path)
    assert encoder.vit.state_dict().keys() == untouched.vit.state_dict().keys()
    assert all(torch.equal(*pair) for pair in zip(encoder.vit.parameters(), untouched.vit.parameters(), strict=True))
    assert not encoder.vit.training
    assert not any(weight.requires_grad for weight in encoder.vit.parameters())


def test_test_and_validation_clips_do_not_affect_training(encoder, low_or_high, tmp_path):
    recipe, rng = short(M2D["spcv2"]), np.random.default_rng(3)
    same = train_and_test(encoder, low_or_high, recipe, tmp_path, HALVES)
    samples = low_or_high.full_recordings.samples.reshape(80, -1).copy()
    samples[60:] = rng.integers(-9000, 9000, samples[60:].shape)
    labels = low_or_high.labels.copy()
    labels[60:] = "low"
    other = task_of(samples, labels.tolist())
    split = Split(name="half", train=HALVES.train, valid=np.arange(60, 80), test=HALVES.test)
    logits = train_and_test(encoder, other, recipe, tmp_path, split)
    np.testing.assert_allclose(logits[:20], same[:20], atol=1e-5)
    assert (abs(logits[20:] - same[20:]) > 1e-3).any()


def test_scores_are_in_the_order_of_the_test_clips(encoder, low_or_high, tmp_path):
    recipe = short(M2D["spcv2"])
    order = np.random.default_rng(0).permutation(40)
    reordered = Split(name="half", train=HALVES.train, test=HALVES.test[order])
    expected = train_and_test(encoder, low_or_high, recipe, tmp_path)[order]
    np.testing.assert_allclose(train_and_test(encoder, low_or_high, recipe, tmp_path, reordered), expected, atol=1e-5)


@pytest.mark.parametrize("clips", [2, 3, 17])
def test_any_number_of_training_clips_is_supported(encoder, low_or_high, clips, tmp_path):
    split = Split(name="some", train=np.arange(clips), test=np.arange(clips, clips + 1))
    for recipe in (M2D["spcv2"], AUDIOMAE["esc50"]):
        assert train_and_test(encoder, low_or_high, short(recipe), tmp_path, split).shape == (1, 2)


@pytest.mark.parametrize("name", M2D)
@pytest.mark.parametrize("recipes", [M2D, AUDIOMAE], ids=["m2d", "audiomae"])
def test_every_recipe_runs_on_every_front_end(recipes, name, low_or_high, tmp_path):
    for height in FRONT_ENDS:
        logits = train_and_test(small_encoder(height), low_or_high, short(recipes[name], epochs=2), tmp_path)
        assert np.isfinite(logits).all()
        assert np.ptp(logits, axis=0).min() > 0  # clips get different scores


def test_unit_without_a_clip_length_is_the_longest_training_clip(run, tones, tmp_path, monkeypatch):
    """The clips are tones of 0.3 to 4.7 s in three folds. Test clips do not affect the length."""
    task, encoder = folder_task(Source(data=tones, cache=tmp_path))(), load_encoder(run)
    units = []
    monkeypatch.setattr(
        finetuning, "FineTuningContext", lambda **fields: units.append(fields["unit"]) or FineTuningContext(**fields)
    )
    for split in task.splits:
        normalisation = measure_normalisation(task.recordings, split.train, FRONT_ENDS[80], device="cpu", what="test")
        recipe = replace(M2D["spcv2"], epochs=1, warmup=0)
        logits = finetune(
            encoder, task, split, normalisation, recipe, 0, device="cpu", checkpoint=tmp_path / "training.pt"
        )
        assert logits.shape == (4, 2)
    assert units == [task.full_recordings.lengths[split.train].max() for split in task.splits]
    assert len(set(units)) == 2


def test_clips_that_the_recipe_does_not_cover_are_cropped(run, tones, tmp_path, monkeypatch):
    task, encoder = folder_task(Source(data=tones, cache=tmp_path))(), load_encoder(run)
    split, units = task.splits[0], []
    monkeypatch.setattr(
        finetuning, "FineTuningContext", lambda **fields: units.append(fields["unit"]) or FineTuningContext(**fields)
    )
    lengths = np.sort(task.full_recordings.lengths[split.train])
    for covered in (0.5, 0.75, 1):
        recipe = replace(M2D["spcv2"], epochs=1, warmup=0, covered=covered)
        finetune(encoder, task, split, NORMALISATION, recipe, 0, device="cpu", checkpoint=tmp_path / "training.pt")
    assert [int((lengths <= unit).sum()) for unit in units] == [5, 7, 8]


@pytest.mark.parametrize(
    ("recipe", "patch_counts"),
    [
        (M2D["spcv2"], {5 * 2, 4 * 2, 3 * 3}),
        (AUDIOMAE["esc50"], {4 * 3}),
        (PLAIN, {5 * 4}),
        (replace(PLAIN, patch_drop=0, time_steps=3), {5 * 3}),
    ],
)
def test_patches_are_dropped_only_in_training(low_or_high, recipe, patch_counts, tmp_path, monkeypatch):
    """A clip has 5 x 4 patches. Half are dropped (0, 1 or 2 rows, then columns), 0.2 of the rows and columns, none, or
    all but three columns."""
    observed = []

    def recording(model, log_mels, kept, pooling):
        observed.append((model.training, 20 if kept is None else kept.shape[1]))
        return scores(model, log_mels, kept, pooling)

    monkeypatch.setattr(finetuning, "scores", recording)
    recipe = replace(short(recipe, epochs=8), patch_drop=0 if recipe is PLAIN else recipe.patch_drop)
    train_and_test(small_encoder(80), low_or_high, recipe, tmp_path)
    assert {count for training, count in observed if training} == patch_counts
    assert {count for training, count in observed if not training} == {20}


def test_epochs_are_extended_to_the_minimum_number_of_updates():
    recipe = replace(M2D[""], epochs=10, warmup=1, batch_size=32, updates=100)
    for clips, epochs in ((2, 100), (32, 100), (33, 50), (320, 10), (100_000, 10)):
        chosen = recipe.for_clips(clips)
        assert (chosen.epochs, chosen.warmup) == (epochs, epochs / 10)
        assert chosen.epochs * -(-clips // 32) >= 100
    for published in (*M2D.values(), *AUDIOMAE.values()):
        assert published.updates or published.for_clips(1) == published


def test_training_takes_the_minimum_number_of_updates(encoder, low_or_high, tmp_path, monkeypatch):
    steps, update = [], finetuning.update
    monkeypatch.setattr(finetuning, "update", lambda *arguments: steps.append(1) or update(*arguments))
    train_and_test(encoder, low_or_high, replace(short(M2D["spcv2"]), updates=31), tmp_path)
    assert len(steps) == 11 * 3


@pytest.mark.parametrize("recipe", [M2D["spcv2"], M2D[""]], ids=["float32", "auto"])
def test_test_clips_are_scored_in_the_precision_of_the_recipe(encoder, low_or_high, recipe, tmp_path, monkeypatch):
    """Log-mels are always computed in float32."""
    observed = []

    def recording(model, log_mels, kept, pooling):
        observed.append((log_mels.dtype, torch.is_autocast_enabled("cpu")))
        return scores(model, log_mels, kept, pooling)

    monkeypatch.setattr(finetuning, "scores", recording)
    train_and_test(encoder, low_or_high, short(recipe, epochs=2), tmp_path)
    assert set(observed) == {(torch.float32, uses_bfloat16(recipe.precision, torch.device("cpu")))}


# Loss


def logits_and_targets(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (6,), generator=generator)
    return torch.randn(6, classes, generator=generator), functional.one_hot(labels, classes).float()


def stepped(recipe: FineTuning, classes: int) -> torch.Tensor:
    """Return logits after one step of SGD on the logits themselves."""
    logits, targets = logits_and_targets(classes)
    logits.requires_grad_(True)
    loss(logits, targets, recipe, False).backward()
    torch.optim.SGD([logits], recipe.learning_rate).step()
    return logits.detach()


@pytest.mark.parametrize("classes", [2, 8, 50])
def test_averaging_over_classes_divides_the_learning_rate_by_their_number(classes):
    evar = M2D["esc50"]
    assert (evar.learning_rate, evar.loss_average) == (0.5, "clips and classes")
    ordinary = replace(evar, learning_rate=0.5 / classes, loss_average="clips")
    torch.testing.assert_close(stepped(evar, classes), stepped(ordinary, classes), rtol=1e-5, atol=1e-7)


def test_averaging_over_classes_divides_the_learning_rate_of_a_full_training(encoder, low_or_high, tmp_path):
    evar = replace(short(M2D["spcv2"]), learning_rate=0.04, final_learning_rate=0)
    ordinary = replace(evar, learning_rate=0.02, loss_average="clips")
    logits = train_and_test(encoder, low_or_high, evar, tmp_path)
    np.testing.assert_allclose(logits, train_and_test(encoder, low_or_high, ordinary, tmp_path), atol=1e-5)
    assert (logits != train_and_test(encoder, low_or_high, replace(ordinary, learning_rate=0.04), tmp_path)).any()


def test_losses_agree_with_torch():
    logits, targets = logits_and_targets(7)
    plain = AUDIOMAE["esc50"]
    assert loss(logits, targets, plain, False) == pytest.approx(
        functional.cross_entropy(logits, targets.argmax(1)).item()
    )
    binary = pytest.approx(functional.binary_cross_entropy_with_logits(logits, targets).item())
    assert loss(logits, targets, AUDIOMAE["spcv2"], False) == binary
    assert loss(logits, targets, M2D["as20k"], True) == binary
    assert loss(logits, targets, plain, True) / 7 == binary


def test_loss_is_linear_in_mixed_targets():
    logits, targets = logits_and_targets(7)
    mixed = 0.3 * targets + 0.7 * targets.roll(1, 0)
    for recipe in (M2D["spcv2"], AUDIOMAE["spcv2"]):
        expected = 0.3 * loss(logits, targets, recipe, False) + 0.7 * loss(logits, targets.roll(1, 0), recipe, False)
        torch.testing.assert_close(loss(logits, mixed, recipe, False), expected)


def test_error_for_diverged_training_names_the_step(encoder, low_or_high, tmp_path):
    recipe = replace(short(M2D["spcv2"]), learning_rate=1e30)
    with pytest.raises(
        ValueError, match=r"epoch \d, step \d: the loss is (nan|inf).*learning rate of \d.*smaller learning_rate"
    ):
        train_and_test(encoder, low_or_high, recipe, tmp_path)


# Schedule and layer decay


def test_learning_rates_follow_the_published_schedule():
    m2d, audiomae = M2D["voxceleb1"], AUDIOMAE["esc50"]
    rates = [learning_rate_at(step, 10, m2d) for step in range(500)]
    assert rates[:50] == pytest.approx([5e-4 * step / 50 for step in range(50)])
    assert rates[250] == pytest.approx((5e-4 + 1e-7) / 2)  # the middle of the cosine, which begins at step 0
    rates = [learning_rate_at(step, 10, audiomae) for step in range(600)]
    assert rates[40] == pytest.approx(2.5e-4) == max(rates)
    assert rates[320] == pytest.approx((2.5e-4 + 1e-6) / 2)  # the middle of the cosine after the warm-up
    assert rates[599] == pytest.approx(1e-6, rel=0.02)


def test_invalid_recipe_is_rejected():
    for wrong in ({"epochs": 0}, {"loss": "hinge"}, {"patch_drop": 1}, {"warmup": 200}, {"batch_size": 2}):
        with pytest.raises(ValidationError):
            replace(M2D["spcv2"], **wrong)
    with pytest.raises(ValidationError, match="patch_drop must be 0"):
        replace(M2D["voxceleb1"], patch_drop=0.5)


def test_layer_decay_agrees_with_mae(encoder):
    recipe = AUDIOMAE["esc50"]
    vit = make_classifier(encoder, 2, 3, recipe, 0)
    names = {id(weight): name for name, weight in vit.named_parameters()}
    scales = {names[id(weight)]: group["lr_scale"] for group in layers(vit, recipe) for weight in group["params"]}
    blocks = len(list(vit.blocks.children()))

    def layer(name: str) -> int:
        """Return 0 for the embedding, 1 to n for the blocks, n + 1 for the head."""
        if name.startswith(("cls_token", "patch_embed")):
            return 0
        return int(name.split(".")[1]) + 1 if name.startswith("blocks") else blocks + 1

    assert scales == pytest.approx({name: 0.75 ** (blocks + 1 - layer(name)) for name in scales})
    assert set(scales) == {name for name in names.values() if name != "pos_embed"}
    for group in layers(vit, recipe):
        for weight in group["params"]:
            without_decay = weight.ndim == 1 or names[id(weight)] == "cls_token"
            assert group["weight_decay"] == (0 if without_decay else 1e-4)


def test_all_rates_are_equal_without_layer_decay(encoder):
    vit = make_classifier(encoder, 2, 3, M2D["spcv2"], 0)
    assert {group["lr_scale"] for group in layers(vit, M2D["spcv2"])} == {1}


def test_layers_are_trained_at_their_rates(encoder, low_or_high, tmp_path):
    """With this strong decay only the last layers change."""
    recipe = replace(short(AUDIOMAE["esc50"]), layer_decay=1e-6)
    vit = make_classifier(encoder, 2, 4, recipe, 0)
    before = {name: weight.detach().clone() for name, weight in vit.named_parameters()}
    train(vit, context_of(low_or_high, recipe), FineTuningCheckpoint(tmp_path / "training.pt", {}))
    changed = {
        name.split(".")[0] for name, weight in vit.named_parameters() if (weight - before[name]).abs().max() > 1e-6
    }
    assert changed == {"fc_norm", "head"}
