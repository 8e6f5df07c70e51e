"""Fine-tuning learns what is there and nothing else, by the published settings, and goes on exactly when killed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional

from synpat_train.encoder import Encoder, load_encoder, random_encoder
from synpat_train.evaluation import finetune as finetuning
from synpat_train.evaluation import unfinished
from synpat_train.evaluation.classifier import DropPath, fit_positions, make_classifier, scores
from synpat_train.evaluation.clips import Batch, Trial, augmented, normalised, training_batch
from synpat_train.evaluation.embedding import Normalisation, measure
from synpat_train.evaluation.finetune import finetune, layers, learning_rate, loss, train
from synpat_train.evaluation.finetune_recipes import AUDIOMAE, M2D, FineTuning
from synpat_train.evaluation.folder import folder_task
from synpat_train.evaluation.front_end import FRONT_ENDS
from synpat_train.evaluation.recordings import Recordings
from synpat_train.evaluation.task import Source, Split, Task
from synpat_train.evaluation.unfinished import Unfinished
from synpat_train.timm_door import VisionTransformer, create_model
from synpat_train.vit import initialise, sincos_positions, vit_arguments

UNIT = 8000
LEARNT = Split(name="half", train=np.arange(40), test=np.arange(40, 80))
NORMALISATION = Normalisation(-6, 4)


def small_encoder(height: int, columns: int = 3) -> Encoder:
    """Two blocks, so that training takes a moment."""
    arguments: dict[str, Any] = {"depth": 2, "embed_dim": 32, "num_heads": 2}
    arguments |= vit_arguments(height, 16 * columns, 16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        vit = create_model("vit_tiny_patch16_224", num_classes=0, **arguments)
        assert isinstance(vit, VisionTransformer)
        vit.pos_embed = nn.Parameter(sincos_positions(height // 16, columns, 32, prefix=1), requires_grad=False)
        initialise(vit)
    vit.eval().requires_grad_(False)
    return Encoder(vit, height, 16 * columns, 16, features=height // 16 * 32)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return small_encoder(80)


def recordings(samples: np.ndarray, digest: str = "generated") -> Recordings:
    """Clips of one length: int16 [clips, samples]."""
    clips, length = samples.shape
    lengths = np.full(clips, length)
    return Recordings(samples=samples.ravel(), starts=np.arange(clips) * length, lengths=lengths, digest=digest)


def task_of(samples: np.ndarray, labels: Sequence[str], multi_label: bool = False) -> Task:
    whole = recordings(samples)
    return Task(
        name="generated",
        files=np.arange(len(samples)).astype(str),
        recordings=whole.cut(np.zeros(len(samples), np.int64), UNIT),
        whole=whole,
        labels=np.array(labels),
        splits=[LEARNT],
        multi_label=multi_label,
        unit=UNIT,
    )


def tone_and_noise(tones: np.ndarray) -> np.ndarray:
    """Clips a half longer than the unit; tones: whether each has a low tone and a high one, bool [clips, 2]."""
    rng = np.random.default_rng(0)
    clips, length = len(tones), UNIT * 3 // 2
    hertz = np.stack([rng.uniform(200, 500, clips), rng.uniform(2500, 4000, clips)])
    waves = np.sin(2 * np.pi * hertz[:, :, None] * np.arange(length) / 16000)
    samples = (tones.T[:, :, None] * waves).sum(axis=0) * 6000 + rng.normal(size=(clips, length)) * 300
    return samples.astype(np.int16)


@pytest.fixture(scope="module")
def low_or_high() -> Task:
    high = np.arange(80) % 2 == 1
    return task_of(tone_and_noise(np.stack([~high, high], axis=1)), np.where(high, "high", "low").tolist())


def short(recipe: FineTuning, epochs: int = 3) -> FineTuning:
    """The recipe for few small batches."""
    return replace(recipe, epochs=epochs, batch_size=16, warmup=1)


def train_and_test(
    encoder: Encoder, task: Task, recipe: FineTuning, folder: Path, split: Split = LEARNT, seed: int = 0
) -> np.ndarray:
    return finetune(encoder, task, split, NORMALISATION, recipe, seed, device="cpu", checkpoint=folder / "training.pt")


def ranking(found: np.ndarray, task: Task) -> float:
    """How often a clip of the second class has a higher score of it than one of the first: 0.5 by chance."""
    return float(roc_auc_score(task.targets[LEARNT.test], found[:, 1] - found[:, 0]))


RECIPES = {
    "m2d": replace(short(M2D[""], epochs=20), learning_rate=0.02),
    "m2d, as20k": replace(short(M2D["as20k"], epochs=20), learning_rate=0.1),
    "m2d, voxceleb1": short(M2D["voxceleb1"], epochs=6),
    "audiomae": replace(short(AUDIOMAE["esc50"], epochs=12), learning_rate=3e-3),
    "audiomae, spcv2": replace(short(AUDIOMAE["spcv2"], epochs=12), learning_rate=3e-3),
}
"""Those that differ most; the rates are higher than published, as so small an encoder can bear and needs them."""
PLAIN = replace(M2D["spcv2"], mixup=0, frequency_mask=0, time_mask=0, resize_crop=False)
"""No clip is changed."""
every_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


@every_recipe
def test_tones_are_learnt(encoder, low_or_high, recipe, tmp_path):
    found = train_and_test(encoder, low_or_high, recipe, tmp_path)
    assert found.shape == (40, 2)
    assert found.dtype == np.float32
    assert ranking(found, low_or_high) > 0.85


@every_recipe
def test_shuffled_labels_leave_chance(encoder, low_or_high, recipe, tmp_path):
    shuffled = replace(low_or_high, labels=np.random.default_rng(1).permutation(low_or_high.labels))
    assert 0.25 < ranking(train_and_test(encoder, shuffled, recipe, tmp_path), shuffled) < 0.75


def test_several_labels_a_clip_are_learnt(encoder, tmp_path):
    tones = np.array([[True, False], [False, True], [True, True]])[np.arange(80) % 3]
    names = np.array(["low", "high", "high,low"])[np.arange(80) % 3]
    task = task_of(tone_and_noise(tones), names.tolist(), multi_label=True)
    found = train_and_test(
        encoder, task, replace(RECIPES["m2d, voxceleb1"], mixup=0.5), tmp_path
    )  # whose loss is for one label
    for name, scored in zip(task.classes, found.T, strict=True):
        assert roc_auc_score(tones[40:, ["low", "high"].index(name)], scored) > 0.9


def test_the_same_seed_gives_the_same_scores_whatever_torch_drew_before(encoder, low_or_high, tmp_path):
    recipe = short(AUDIOMAE["spcv2"])
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = train_and_test(encoder, low_or_high, recipe, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    np.testing.assert_array_equal(train_and_test(encoder, low_or_high, recipe, tmp_path), first)
    assert (train_and_test(encoder, low_or_high, recipe, tmp_path, seed=1) != first).any()


def test_the_encoder_stays_as_it_is(low_or_high, tmp_path):
    encoder, untouched = small_encoder(80), small_encoder(80)
    train_and_test(encoder, low_or_high, short(AUDIOMAE["esc50"]), tmp_path)
    assert encoder.vit.state_dict().keys() == untouched.vit.state_dict().keys()
    assert all(torch.equal(*pair) for pair in zip(encoder.vit.parameters(), untouched.vit.parameters(), strict=True))
    assert not encoder.vit.training
    assert not any(weight.requires_grad for weight in encoder.vit.parameters())


def test_tested_clips_have_no_say_nor_have_those_to_validate_by(encoder, low_or_high, tmp_path):
    recipe, rng = short(M2D["spcv2"]), np.random.default_rng(3)
    same = train_and_test(encoder, low_or_high, recipe, tmp_path, LEARNT)
    samples = low_or_high.whole.samples.reshape(80, -1).copy()
    samples[60:] = rng.integers(-9000, 9000, samples[60:].shape)
    labels = low_or_high.labels.copy()
    labels[60:] = "low"
    other = task_of(samples, labels.tolist())
    split = Split(name="half", train=LEARNT.train, valid=np.arange(60, 80), test=LEARNT.test)
    found = train_and_test(encoder, other, recipe, tmp_path, split)
    np.testing.assert_allclose(found[:20], same[:20], atol=1e-5)
    assert (abs(found[20:] - same[20:]) > 1e-3).any()


def test_scores_come_in_the_order_of_the_tested_clips(encoder, low_or_high, tmp_path):
    recipe = short(M2D["spcv2"])
    order = np.random.default_rng(0).permutation(40)
    turned = Split(name="half", train=LEARNT.train, test=LEARNT.test[order])
    expected = train_and_test(encoder, low_or_high, recipe, tmp_path)[order]
    np.testing.assert_allclose(train_and_test(encoder, low_or_high, recipe, tmp_path, turned), expected, atol=1e-5)


# Killed and gone on with


class Killed(BaseException):
    """What no one catches."""


def killed_after(epochs: int, monkeypatch, *arguments, **keywords) -> None:
    """Run, write each epoch, and stop right after some have been written."""
    write = unfinished.Unfinished.save

    def save_and_die(self, model, optimizer, done):
        write(self, model, optimizer, done)
        if done == epochs:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(unfinished, "SECONDS_BETWEEN_WRITES", 0)
        patch.setattr(unfinished.Unfinished, "save", save_and_die)
        with pytest.raises(Killed):
            train_and_test(*arguments, **keywords)


@pytest.fixture
def updates(monkeypatch) -> list[int]:
    """One entry for each update that is made."""
    made, update = [], finetuning.update

    def counted(*arguments):
        made.append(1)
        return update(*arguments)

    monkeypatch.setattr(finetuning, "update", counted)
    return made


@pytest.mark.parametrize("recipe", [M2D["spcv2"], M2D["voxceleb1"], AUDIOMAE["spcv2"]], ids=["sgd", "amsgrad", "adamw"])
def test_a_killed_training_goes_on_to_the_bit(encoder, low_or_high, recipe, tmp_path, monkeypatch, updates):
    recipe = short(recipe, epochs=4)
    straight = train_and_test(encoder, low_or_high, recipe, tmp_path)
    assert len(updates) == 4 * 3
    killed_after(3, monkeypatch, encoder, low_or_high, recipe, tmp_path)
    assert isinstance(torch.load(tmp_path / "training.pt", weights_only=True), dict)
    updates.clear()
    np.testing.assert_array_equal(train_and_test(encoder, low_or_high, recipe, tmp_path), straight)
    assert len(updates) == 1 * 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("other", ["seed", "recipe", "encoder", "split", "labels", "unit", "normalisation"])
def test_another_training_does_not_go_on_from_it(encoder, low_or_high, other, tmp_path, monkeypatch, updates):
    recipe = short(M2D["spcv2"])
    straight = train_and_test(encoder, low_or_high, recipe, tmp_path)
    theirs = {"encoder": encoder, "task": low_or_high, "recipe": recipe, "folder": tmp_path}
    match other:
        case "seed":
            theirs["seed"] = 1
        case "recipe":
            theirs["recipe"] = replace(recipe, learning_rate=0.1)
        case "encoder":
            theirs["encoder"] = random_encoder(encoder, 5)
        case "split":
            theirs["split"] = replace(LEARNT, train=np.arange(1, 40))
        case "labels":
            theirs["task"] = replace(low_or_high, labels=low_or_high.labels[::-1])
        case "unit":
            theirs["task"] = replace(low_or_high, unit=UNIT - 1600)
        case "normalisation":
            monkeypatch.setitem(globals(), "NORMALISATION", Normalisation(-5, 4))
    killed_after(2, monkeypatch, **theirs)
    if other == "normalisation":
        monkeypatch.setitem(globals(), "NORMALISATION", Normalisation(-6, 4))
    updates.clear()
    np.testing.assert_array_equal(train_and_test(encoder, low_or_high, recipe, tmp_path), straight)
    assert len(updates) == 3 * 3


def test_a_damaged_file_is_named(encoder, low_or_high, tmp_path):
    (tmp_path / "training.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match=r"training\.pt is damaged.*Remove it"):
        train_and_test(encoder, low_or_high, short(M2D["spcv2"]), tmp_path)


def test_no_file_is_written_within_the_first_minute(encoder, low_or_high, tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished.torch, "save", lambda *_: pytest.fail("written"))
    train_and_test(encoder, low_or_high, short(M2D["spcv2"]), tmp_path)


# The loss


def logits_and_targets(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    dice = torch.Generator().manual_seed(0)
    wanted = torch.randint(classes, (6,), generator=dice)
    return torch.randn(6, classes, generator=dice), functional.one_hot(wanted, classes).float()


def stepped(recipe: FineTuning, classes: int) -> torch.Tensor:
    """Logits after one step of SGD on themselves."""
    logits, targets = logits_and_targets(classes)
    logits.requires_grad_(True)
    loss(logits, targets, recipe, False).backward()
    torch.optim.SGD([logits], recipe.learning_rate).step()
    return logits.detach()


@pytest.mark.parametrize("classes", [2, 8, 50])
def test_half_on_the_average_over_classes_is_half_over_classes_on_the_ordinary_loss(classes):
    evar = M2D["esc50"]
    assert (evar.learning_rate, evar.loss_average) == (0.5, "clips and classes")
    ordinary = replace(evar, learning_rate=0.5 / classes, loss_average="clips")
    torch.testing.assert_close(stepped(evar, classes), stepped(ordinary, classes), rtol=1e-5, atol=1e-7)


def test_so_is_a_whole_training(encoder, low_or_high, tmp_path):
    evar = replace(short(M2D["spcv2"]), learning_rate=0.04, final_learning_rate=0)
    ordinary = replace(evar, learning_rate=0.02, loss_average="clips")
    found = train_and_test(encoder, low_or_high, evar, tmp_path)
    np.testing.assert_allclose(found, train_and_test(encoder, low_or_high, ordinary, tmp_path), atol=1e-5)
    assert (found != train_and_test(encoder, low_or_high, replace(ordinary, learning_rate=0.04), tmp_path)).any()


def test_losses_are_those_of_torch():
    logits, targets = logits_and_targets(7)
    plain = AUDIOMAE["esc50"]
    assert loss(logits, targets, plain, False) == pytest.approx(
        functional.cross_entropy(logits, targets.argmax(1)).item()
    )
    binary = pytest.approx(functional.binary_cross_entropy_with_logits(logits, targets).item())
    assert loss(logits, targets, AUDIOMAE["spcv2"], False) == binary
    assert loss(logits, targets, M2D["as20k"], True) == binary
    assert loss(logits, targets, plain, True) / 7 == binary


def test_mixed_targets_are_taken_as_shares():
    logits, targets = logits_and_targets(7)
    mixed = 0.3 * targets + 0.7 * targets.roll(1, 0)
    for recipe in (M2D["spcv2"], AUDIOMAE["spcv2"]):
        expected = 0.3 * loss(logits, targets, recipe, False) + 0.7 * loss(logits, targets.roll(1, 0), recipe, False)
        torch.testing.assert_close(loss(logits, mixed, recipe, False), expected)


def test_a_training_that_diverges_says_where(encoder, low_or_high, tmp_path):
    recipe = replace(short(M2D[""]), learning_rate=1e30)
    with pytest.raises(
        ValueError, match=r"epoch \d, step \d: the loss is (nan|inf).*learning rate of \d.*smaller learning_rate"
    ):
        train_and_test(encoder, low_or_high, recipe, tmp_path)


# The network


@pytest.mark.parametrize("frames", [48, 32, 41, 7])
def test_before_training_the_features_are_those_of_the_frozen_encoder(encoder, frames):
    log_mels = torch.randn(4, 80, frames, generator=torch.Generator().manual_seed(0))
    vit = make_classifier(encoder, 2, -(-frames // 16), M2D["voxceleb1"], 0)
    vit.fc_norm, vit.head = nn.Identity(), nn.Identity()
    with torch.inference_mode():
        torch.testing.assert_close(scores(vit.eval(), log_mels, None, "time steps"), encoder.clip_embedding(log_mels))
        patches = encoder.patch_features(log_mels).unflatten(2, (5, 32)).mean(dim=(1, 2))
        torch.testing.assert_close(scores(vit, log_mels, None, "patches"), patches)


def test_patches_that_are_dropped_are_not_seen(encoder):
    vit = make_classifier(encoder, 2, 3, M2D["spcv2"], 0).eval()
    log_mels = torch.randn(4, 80, 48, generator=torch.Generator().manual_seed(0))
    every, some = torch.arange(15).expand(4, -1), torch.tensor([0, 1, 3, 4]).expand(4, -1)
    changed = log_mels.clone()
    changed[:, :, 32:] = 9  # the last column: patches 2, 5, 8, ...
    with torch.inference_mode():
        torch.testing.assert_close(scores(vit, log_mels, every, "patches"), scores(vit, log_mels, None, "patches"))
        assert torch.equal(scores(vit, log_mels, some, "patches"), scores(vit, changed, some, "patches"))
        assert not torch.equal(scores(vit, log_mels, None, "patches"), scores(vit, changed, None, "patches"))


@pytest.mark.parametrize(
    ("recipe", "seen"), [(M2D["spcv2"], {5 * 2, 4 * 2, 3 * 3}), (AUDIOMAE["esc50"], {4 * 3}), (PLAIN, {5 * 4})]
)
def test_patches_are_dropped_in_training_and_not_in_the_test(low_or_high, recipe, seen, tmp_path, monkeypatch):
    """Of 5 x 4: half of all patches, by 0, 1 or 2 rows and then columns; or 0.2 of the rows and of the columns."""
    found = []

    def recorded(model, log_mels, kept, pooling):
        found.append((model.training, 20 if kept is None else kept.shape[1]))
        return scores(model, log_mels, kept, pooling)

    monkeypatch.setattr(finetuning, "scores", recorded)
    recipe = replace(short(recipe, epochs=8), patch_drop=0 if recipe is PLAIN else recipe.patch_drop)
    train_and_test(small_encoder(80), low_or_high, recipe, tmp_path)
    assert {count for training, count in found if training} == seen
    assert {count for training, count in found if not training} == {20}


def test_positions_are_kept_cut_or_interpolated():
    positions = torch.randn(1, 5 * 6, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fit_positions(positions, 5, 6, 6), positions)
    table = positions.reshape(5, 6, 8)
    cut = fit_positions(positions, 5, 6, 4)
    assert torch.equal(cut.reshape(5, 4, 8), table[:, :4])
    longer = fit_positions(positions, 5, 6, 11)
    expected = functional.interpolate(table.permute(2, 0, 1)[None], (5, 11), mode="bicubic")[0].permute(1, 2, 0)
    torch.testing.assert_close(longer.reshape(5, 11, 8), expected)


@pytest.mark.parametrize(
    "arguments",
    [{"class_token": False, "global_pool": "avg", "fc_norm": False}, {"reg_tokens": 4, "no_embed_class": True}],
    ids=["no class token", "register tokens"],
)
def test_vision_transformers_of_others_are_classified_by_the_features_that_they_give(arguments):
    sizes = {"img_size": [80, 48], "in_chans": 1, "depth": 2, "embed_dim": 32, "num_heads": 2}
    vit = create_model("vit_tiny_patch16_224", num_classes=0, **sizes, **arguments)
    assert isinstance(vit, VisionTransformer)
    other = Encoder(vit.eval(), 80, 48, 16, features=5 * 32)
    model = make_classifier(other, 2, 3, replace(M2D["esc50"], patch_drop=0, pooling="time steps"), 0).eval()
    model.head = torch.nn.Identity()
    clips = torch.randn(3, 80, 48, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = scores(model, clips, None, "time steps")
        expected = model.fc_norm(other.clip_embedding(clips))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_rates_of_the_layers_are_those_of_mae(encoder):
    recipe = AUDIOMAE["esc50"]
    vit = make_classifier(encoder, 2, 3, recipe, 0)
    names = {id(weight): name for name, weight in vit.named_parameters()}
    found = {names[id(weight)]: group["lr_scale"] for group in layers(vit, recipe) for weight in group["params"]}
    blocks = len(list(vit.blocks.children()))

    def layer(name: str) -> int:
        """0 for the embedding, 1 to n for the blocks, n + 1 for the head."""
        if name.startswith(("cls_token", "patch_embed")):
            return 0
        return int(name.split(".")[1]) + 1 if name.startswith("blocks") else blocks + 1

    assert found == pytest.approx({name: 0.75 ** (blocks + 1 - layer(name)) for name in found})
    assert set(found) == {name for name in names.values() if name != "pos_embed"}
    for group in layers(vit, recipe):
        for weight in group["params"]:
            undecayed = weight.ndim == 1 or names[id(weight)] == "cls_token"
            assert group["weight_decay"] == (0 if undecayed else 1e-4)


def test_without_layer_decay_all_rates_are_one(encoder):
    vit = make_classifier(encoder, 2, 3, M2D["spcv2"], 0)
    assert {group["lr_scale"] for group in layers(vit, M2D["spcv2"])} == {1}


def test_a_layer_is_trained_at_its_rate(encoder, low_or_high, tmp_path):
    """With so steep a decay the last layers alone move."""
    recipe = replace(short(AUDIOMAE["esc50"]), layer_decay=1e-6)
    vit = make_classifier(encoder, 2, 4, recipe, 0)
    before = {name: weight.detach().clone() for name, weight in vit.named_parameters()}
    train(vit, trial_of(low_or_high, recipe), Unfinished(tmp_path / "training.pt", {}))
    moved = {
        name.split(".")[0] for name, weight in vit.named_parameters() if (weight - before[name]).abs().max() > 1e-6
    }
    assert moved == {"fc_norm", "head"}


def test_a_frozen_patch_embedding_and_the_positions_are_not_trained(encoder):
    vit = make_classifier(encoder, 2, 3, M2D["esc50"], 0)
    frozen = {name for name, weight in vit.named_parameters() if not weight.requires_grad}
    assert frozen == {"pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}


def test_the_chance_to_drop_a_block_rises_from_the_first_to_the_last(run):
    vit = make_classifier(load_encoder(run), 2, 3, AUDIOMAE["esc50"], 0)
    chances = [part.drop_prob for part in vit.blocks.modules() if isinstance(part, DropPath)][::2]
    assert chances == pytest.approx(np.linspace(0, 0.1, 12).tolist())


@pytest.mark.parametrize(("recipes", "spread"), [(M2D, 0.01), (AUDIOMAE, 2e-5 * 0.88)], ids=["m2d", "audiomae"])
def test_new_weights_are_of_the_published_sizes(encoder, recipes, spread):
    """The cut at two standard deviations takes 12 % of them."""
    head = make_classifier(encoder, 500, 3, recipes[""], 0).head
    assert isinstance(head, nn.Linear)
    assert head.weight.std().item() == pytest.approx(spread, rel=0.05)
    assert not head.bias.any()


# The schedule


def test_learning_rates_rise_and_fall_as_published():
    m2d, audiomae = M2D["voxceleb1"], AUDIOMAE["esc50"]
    found = [learning_rate(step, 10, m2d) for step in range(500)]
    assert found[:50] == pytest.approx([5e-4 * step / 50 for step in range(50)])
    assert found[250] == pytest.approx((5e-4 + 1e-7) / 2)  # the middle of a cosine that began with the first step
    found = [learning_rate(step, 10, audiomae) for step in range(600)]
    assert found[40] == pytest.approx(2.5e-4) == max(found)
    assert found[320] == pytest.approx((2.5e-4 + 1e-6) / 2)  # the middle of the rest
    assert found[599] == pytest.approx(1e-6, rel=0.02)


def test_what_no_training_can_follow_is_refused():
    for wrong in ({"epochs": 0}, {"loss": "hinge"}, {"patch_drop": 1}, {"warmup": 200}, {"batch_size": 2}):
        with pytest.raises(ValidationError):
            replace(M2D["spcv2"], **wrong)
    with pytest.raises(ValidationError, match="patch_drop must be 0"):
        replace(M2D["voxceleb1"], patch_drop=0.5)


# The clips


def trial_of(task: Task, recipe: FineTuning, split: Split = LEARNT) -> Trial:
    return Trial(
        task=task,
        split=split,
        normalisation=NORMALISATION,
        recipe=recipe,
        seed=0,
        front_end=FRONT_ENDS[80],
        unit=UNIT,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize("clips", [2, 3, 15, 16, 17, 31, 33, 49, 65])
def test_an_epoch_has_each_training_clip_once_in_batches_of_one_size(clips):
    samples = np.repeat(np.arange(1, 81, dtype=np.int16)[:, None], UNIT, axis=1)
    task = task_of(samples, ["a", "b"] * 40)
    split = Split(name="some", train=np.arange(3, 3 + clips), test=np.arange(3))
    trial = trial_of(task, short(M2D["spcv2"]), split)
    epochs = []
    for epoch in range(2):
        batches = [training_batch(trial, (epoch, step)) for step in range(trial.steps)]
        sizes = [len(batch.waveforms) for batch in batches]
        assert 2 <= min(sizes) <= max(sizes) <= min(16, min(sizes) + 1)
        epochs.append(torch.cat([batch.waveforms[:, 0] for batch in batches]) - 1)
        assert sorted(epochs[-1].tolist()) == split.train.tolist()
        wanted = torch.cat([batch.targets for batch in batches])
        assert torch.equal(wanted.argmax(dim=1), torch.from_numpy(task.targets)[epochs[-1].long()])
    assert clips == 2 or not torch.equal(*epochs)


@pytest.mark.parametrize("clips", [2, 3, 17])
def test_any_number_of_clips_can_be_learnt_from(encoder, low_or_high, clips, tmp_path):
    split = Split(name="some", train=np.arange(clips), test=np.arange(clips, clips + 1))
    for recipe in (M2D["spcv2"], AUDIOMAE["esc50"]):
        assert train_and_test(encoder, low_or_high, short(recipe), tmp_path, split).shape == (1, 2)


def test_training_clips_are_cut_elsewhere_in_each_epoch():
    ramps = np.tile(np.arange(3 * UNIT, dtype=np.int16), (80, 1))
    trial = trial_of(task_of(ramps, ["a", "b"] * 40), short(M2D["spcv2"]))
    starts = []
    for epoch in range(30):
        batch = training_batch(trial, (epoch, 0))
        assert (batch.waveforms.int().diff(dim=1) == 1).all()
        starts.append(batch.waveforms[:, 0])
    starts = torch.cat(starts)
    assert starts.min() < 0.1 * UNIT
    assert starts.max() > 1.9 * UNIT
    assert len(starts.unique()) > 0.9 * len(starts)


def test_a_rolled_clip_goes_round():
    ramps = np.tile(np.arange(1, UNIT // 2 + 1, dtype=np.int16), (80, 1))
    batch = training_batch(trial_of(task_of(ramps, ["a", "b"] * 40), short(AUDIOMAE["esc50"])), (0, 0))
    assert (batch.waveforms[:, UNIT // 2 :] == 0).all()
    assert len(batch.waveforms[:, 0].unique()) > 10
    for waveform in batch.waveforms[:, : UNIT // 2].int():
        np.testing.assert_array_equal(waveform.roll(int(waveform.argmin().neg())), ramps[0])


def test_behind_a_short_clip_are_zeros_and_before_it_is_as_alone(low_or_high):
    front_end, lengths = FRONT_ENDS[80], np.array([UNIT, 5000, 399])
    waveforms = torch.randn(3, UNIT, generator=torch.Generator().manual_seed(0)) * 0.1
    for waveform, length in zip(waveforms, lengths, strict=True):
        waveform[length:] = 0
    found = normalised(waveforms, lengths, trial_of(low_or_high, M2D[""]))
    for log_mel, waveform, length in zip(found, waveforms, lengths, strict=True):
        alone = (front_end.spectrogram(waveform[:length]) + 6) / 4
        frames = front_end.frames(length)
        assert (log_mel[:, frames:] == 0).all()
        torch.testing.assert_close(log_mel[:, : frames - 2], alone[:, : frames - 2], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "asked",
    [{"roll": True}, {"noise": 20}, {"mixup": 1}, {"frequency_mask": 30}, {"time_mask": 48}, {"resize_crop": True}],
    ids=str,
)
def test_a_clip_is_changed_in_the_way_that_is_asked_for_and_in_no_other(low_or_high, asked):
    trial = trial_of(low_or_high, PLAIN)
    batch = training_batch(trial, (0, 0))
    plain = normalised(batch.waveforms / 32768, batch.lengths, trial)
    assert torch.equal(augmented(batch, trial, trial.dice(0, 0, 1))[0], plain)
    changed, targets = augmented(batch, trial_of(low_or_high, replace(PLAIN, **asked)), trial.dice(0, 0, 1))
    assert (changed != plain).any()
    assert torch.equal(targets, batch.targets) == ("mixup" not in asked)


def test_a_mixture_is_as_long_as_the_longer_clip(low_or_high):
    trial = trial_of(low_or_high, replace(PLAIN, mixup=1))
    lengths = np.array([2000, UNIT] * 8)
    waveforms = torch.zeros(16, UNIT, dtype=torch.int16)
    for waveform, length in zip(waveforms, lengths, strict=True):
        waveform[:length] = 1000
    log_mels, targets = augmented(Batch(waveforms, lengths, torch.eye(16)), trial, np.random.default_rng(0))
    frames = FRONT_ENDS[80].frames(2000)
    for log_mel, clips in zip(log_mels, targets > 0, strict=True):
        assert (log_mel[:, frames:].any() == (lengths[clips].max() == UNIT)).item()
    assert ((targets > 0).sum(dim=1) == 2).any()


@pytest.mark.parametrize("name", M2D)
@pytest.mark.parametrize("recipes", [M2D, AUDIOMAE], ids=["m2d", "audiomae"])
def test_every_recipe_runs_on_every_front_end(recipes, name, low_or_high, tmp_path):
    for height in FRONT_ENDS:
        found = train_and_test(small_encoder(height), low_or_high, short(recipes[name], epochs=2), tmp_path)
        assert np.isfinite(found).all()


def test_clips_of_a_folder_count_as_of_the_longest_that_is_learnt_from(run, tones, tmp_path, monkeypatch):
    """Tones of 0.3 to 4.7 s in three folds; nothing of the tested ones decides the length."""
    task, encoder = folder_task(Source(data=tones, cache=tmp_path)), load_encoder(run)
    units = []
    monkeypatch.setattr(finetuning, "Trial", lambda **fields: units.append(fields["unit"]) or Trial(**fields))
    for split in task.splits:
        normalisation = measure(task.recordings, split.train, FRONT_ENDS[80], device="cpu", what="test")
        recipe = replace(M2D[""], epochs=1, warmup=0)
        found = finetune(
            encoder, task, split, normalisation, recipe, 0, device="cpu", checkpoint=tmp_path / "training.pt"
        )
        assert found.shape == (4, 2)
    assert units == [task.whole.lengths[split.train].max() for split in task.splits]
    assert len(set(units)) == 2
