"""Pre-training with targets other than the images: pairing, loss, and runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from synpat.rendering.render import make_spec, render_set
from synpat_shards import InputError
from synpat_train.config import Config, make_config
from synpat_train.data.batches import make_batch
from synpat_train.data.decoded_cache import CachedImages
from synpat_train.data.images import check_targets
from synpat_train.data.shard_sets import open_sets
from synpat_train.data.shuffle import SampleOrder
from synpat_train.data.streaming import StreamedImages
from synpat_train.distributed import process_group
from synpat_train.model.mae import MaskedAutoencoder, patchify, split_patches, standardise_as
from synpat_train.pretraining.cli import main
from synpat_train.pretraining.model_card import card
from synpat_train.pretraining.train import Objective, pretrain

SETTINGS = {
    "model": "tiny",
    "width": 48,
    "decoder_width": 48,
    "decoder_depth": 1,
    "decoder_heads": 3,
    "batch_size": 8,
    "steps": 6,
    "log_every": 2,
    "checkpoint_every": 3,
    "precision": "float32",
}
CONFIG = make_config("synpat", SETTINGS)


def rendered(folder: Path, seed: int = 0, n: int = 40, width: int = 48, **parameters: object) -> Path:
    spec = make_spec("soundscape", n, seed=seed, width=width, parameters=parameters, samples_per_shard=10)
    render_set(folder, spec, workers=1, progress=lambda *_: None)
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Scenes, and the same scenes without the fluctuation of noise."""
    folder = tmp_path_factory.mktemp("sets")
    return rendered(folder / "scenes"), rendered(folder / "smooth", smooth=True)


def train(run: Path, pair: tuple[Path, Path], config: Config = CONFIG) -> torch.Tensor:
    """Return a weight of the encoder."""
    shards, targets = map(str, pair)
    pretrain(shards, run, config, targets=targets, cache=run.parent / "cache", workers=1)
    return load_file(run / "encoder" / "model.safetensors")["blocks.0.attn.qkv.weight"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_image_and_its_target_are_read_together(stream: bool, pair: tuple[Path, Path], tmp_path: Path):
    sets = [open_sets([str(folder)], 80, tmp_path) for folder in pair]
    channels = [StreamedImages(each, 48, 2, False) if stream else CachedImages(each, 48, tmp_path) for each in sets]
    order = SampleOrder(seed=0, counts=(10,) * 4, weights=(1.0,) * 4, window=CONFIG.window if stream else None)
    with process_group() as group:
        images = make_batch(1, CONFIG, order, channels, group).images
    assert images.shape == (8, 2, 80, 48)
    rough, smooth = images.float().flatten(2).unbind(1)
    similarity = torch.corrcoef(torch.cat([rough, smooth]))[:8, 8:]
    assert torch.equal(similarity.argmax(dim=1), torch.arange(8))


def test_the_loss_is_the_error_of_the_targets():
    config = make_config("synpat", SETTINGS | {"norm_pix": False, "visible_weight": 0.0, "hog_weight": 0.0})
    model, noise = MaskedAutoencoder(config), torch.rand(3, config.patches)
    images, targets = torch.randn(2, 3, 1, 80, 48)
    kept, masked = split_patches(noise, config.kept)
    predictions = model.decode(model.encode(patchify(images, 16), kept), kept, masked)
    goal = patchify(targets, 16).gather(1, masked.unsqueeze(-1).expand(-1, -1, 256))
    loss = model(torch.cat([images, targets], dim=1), noise)
    assert loss.item() == pytest.approx((predictions - goal).square().mean().item(), rel=1e-5)


def test_targets_equal_to_the_images_give_the_same_loss():
    model, noise = MaskedAutoencoder(CONFIG), torch.rand(2, CONFIG.patches)
    images = torch.randint(0, 255, (2, 1, 80, 48), dtype=torch.uint8)
    objective = Objective(model, "image", 0.0, 1.0)
    twice = objective(images.expand(-1, 2, -1, -1), noise)
    assert twice.item() == pytest.approx(objective(images, noise).item(), rel=1e-3)


def test_targets_have_the_scale_of_the_patches_of_the_images():
    patches, targets = torch.randn(2, 2, 3, 256) * 4 + 7
    expected = (targets.numpy() - patches.numpy().mean(-1, keepdims=True)) / patches.numpy().std(
        -1, ddof=1, keepdims=True
    )
    assert np.allclose(standardise_as(targets, patches).numpy(), expected, atol=1e-4)


def test_the_target_of_a_constant_patch_is_not_amplified():
    assert standardise_as(torch.full((1, 1, 256), 0.02), torch.zeros(1, 1, 256)).abs().max() <= 2


def test_a_resumed_run_ends_with_the_same_weights(pair: tuple[Path, Path], tmp_path: Path):
    expected = train(tmp_path / "whole", pair)
    train(tmp_path / "run", pair)
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        if "000006" in path.name:
            path.unlink()
    (tmp_path / "run" / "encoder" / "model.safetensors").unlink()
    assert torch.equal(train(tmp_path / "run", pair), expected)


def test_targets_change_what_is_learned_and_are_recorded(pair: tuple[Path, Path], tmp_path: Path):
    with_targets = train(tmp_path / "run", pair)
    without = train(tmp_path / "other", (pair[0], pair[0]))
    assert not torch.allclose(with_targets, without, atol=1e-5)
    recorded = json.loads((tmp_path / "run" / "sets.json").read_text())
    assert [Path(each["path"]).name for each in recorded["targets"]] == ["smooth"]
    assert "| smooth | targets | soundscape |" in card(tmp_path / "run")
    with pytest.raises(InputError, match="learned from other shard sets"):
        train(tmp_path / "run", (pair[0], pair[0]))


def test_the_command_takes_targets(pair: tuple[Path, Path], tmp_path: Path):
    settings = [f"{name}={value}" for name, value in SETTINGS.items()]
    places = ["--shards", pair[0], "--targets", pair[1], "--out", tmp_path / "run", "--cache", tmp_path / "cache"]
    done = CliRunner().invoke(main, [*map(str, places), "--set", *settings])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "encoder").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": 1}, "soundscape with seed 1, not soundscape with seed 0. Render both with the same --seed"),
        ({"n": 30}, "they have 30 images instead of 40"),
        ({"width": 64}, "other widths. Render both with the same --size"),
    ],
)
def test_targets_of_other_scenes_are_refused(given: dict, message: str, pair: tuple[Path, Path], tmp_path: Path):
    other = rendered(tmp_path / "other", **given)
    with pytest.raises(InputError, match=message):
        train(tmp_path / "run", (pair[0], other))


def test_each_set_needs_targets(pair: tuple[Path, Path], tmp_path: Path):
    sets = open_sets(map(str, pair), 80, tmp_path)
    with pytest.raises(InputError, match="2 shard sets and 1 of targets: give one set of targets for each"):
        check_targets(sets, sets[:1], 48)


def test_padded_images_cannot_have_targets(pair: tuple[Path, Path], tmp_path: Path):
    with pytest.raises(InputError, match="images narrower than 64 columns cannot have targets"):
        train(tmp_path / "run", pair, make_config("synpat", SETTINGS | {"width": 64}))


def test_corrupt_images_cannot_be_skipped_with_targets(pair: tuple[Path, Path], tmp_path: Path):
    with pytest.raises(InputError, match="skip_damaged replaces images, but not their targets"):
        train(tmp_path / "run", pair, make_config("synpat", SETTINGS | {"skip_damaged": True}))
