"""The frozen encoder gives the features that one forward pass after the other would give."""

import json

import pytest
import torch
from safetensors.torch import save_file

from synpat_train.encoder import Encoder, load_encoder, random_encoder
from synpat_train.vit import ARCHITECTURES, build_vit, vit_arguments

HEIGHT, WIDTH, PATCH = 32, 48, 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run folder with a tiny encoder of 2 x 3 patches."""
    folder = tmp_path_factory.mktemp("run") / "encoder"
    folder.mkdir()
    save_file(build_vit("tiny", HEIGHT, WIDTH, PATCH).state_dict(), folder / "model.safetensors")
    config = {
        "architecture": ARCHITECTURES["tiny"],
        "num_classes": 0,
        "model_args": vit_arguments(HEIGHT, WIDTH, PATCH),
        "pretrained_cfg": {},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def encoder(folder) -> Encoder:
    return load_encoder(folder)


def one_by_one(encoder: Encoder, log_mel: torch.Tensor) -> torch.Tensor:
    """The features of one clip [height, frames], step by step from the definition."""
    vit = encoder.vit
    assert vit.cls_token is not None
    assert vit.pos_embed is not None
    columns = encoder.width // encoder.patch
    rows = encoder.height // encoder.patch
    frames = log_mel.shape[1]
    filled = torch.zeros(encoder.height, -(-frames // encoder.patch) * encoder.patch)
    filled[:, :frames] = log_mel
    features = []
    for start in range(0, filled.shape[1], encoder.width):
        chunk = filled[:, start : start + encoder.width]
        steps = chunk.shape[1] // encoder.patch
        tokens = [vit.cls_token[0, 0] + vit.pos_embed[0, 0]]
        for row in range(rows):
            for step in range(steps):
                pixels = chunk[row * PATCH : (row + 1) * PATCH, step * PATCH : (step + 1) * PATCH]
                patch = (vit.patch_embed.proj.weight[:, 0] * pixels).sum(dim=(1, 2)) + vit.patch_embed.proj.bias
                tokens.append(patch + vit.pos_embed[0, 1 + row * columns + step])
        out = vit.norm(vit.blocks(torch.stack(tokens)[None]))[0, 1:]
        features += [torch.cat([out[row * steps + step] for row in range(rows)]) for step in range(steps)]
    return torch.stack(features)


@pytest.mark.parametrize("frames", [1, 16, 17, 47, 48, 49, 96, 131])
def test_features_of_any_length_are_those_of_chunk_after_chunk(encoder, frames):
    clips = torch.randn(3, HEIGHT, frames, generator=torch.Generator().manual_seed(frames))
    features = encoder.patch_features(clips)
    assert features.shape == (3, -(-frames // PATCH), encoder.features)
    for clip, found in zip(clips, features, strict=True):
        torch.testing.assert_close(found, one_by_one(encoder, clip), atol=1e-4, rtol=1e-4)


def test_features_of_a_full_width_are_those_of_timm(encoder):
    clips = torch.randn(2, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    tokens = encoder.vit.forward_features(clips[:, None])[:, 1:]
    expected = torch.cat([tokens[:, :3], tokens[:, 3:]], dim=2)
    torch.testing.assert_close(encoder.patch_features(clips), expected, atol=1e-5, rtol=1e-5)


def test_a_clip_embedding_is_the_mean_over_the_steps_that_hold_signal(encoder):
    clip = torch.randn(1, HEIGHT, 70, generator=torch.Generator().manual_seed(0))
    expected = one_by_one(encoder, clip[0]).mean(dim=0)
    torch.testing.assert_close(encoder.clip_embedding(clip)[0], expected, atol=1e-4, rtol=1e-4)


def test_a_log_mel_of_another_height_is_refused(encoder):
    with pytest.raises(ValueError, match=r"must be \[batch, 32, frames\]"):
        encoder.patch_features(torch.zeros(1, 80, 48))


def test_an_encoder_is_loaded_from_its_own_folder_and_from_its_run(folder, encoder):
    from_run = load_encoder(folder.parent)
    assert (from_run.height, from_run.width, from_run.patch, from_run.features) == (32, 48, 16, 384)
    for name, weight in encoder.vit.state_dict().items():
        assert torch.equal(weight, from_run.vit.state_dict()[name])


def test_a_waveform_becomes_one_embedding_by_the_public_names(tmp_path):
    import synpat_train

    save_file(build_vit("tiny", 80, 48, PATCH).state_dict(), tmp_path / "model.safetensors")
    model = {"in_chans": 1, "img_size": [80, 48], "patch_size": PATCH}
    config = {"architecture": ARCHITECTURES["tiny"], "num_classes": 0, "model_args": model, "pretrained_cfg": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    clips = synpat_train.log_mel(torch.randn(2, 9600, generator=torch.Generator().manual_seed(0)))
    assert synpat_train.load_encoder(tmp_path).clip_embedding(clips).shape == (2, 5 * 192)


def test_a_random_encoder_depends_on_its_seed_alone(encoder):
    before = torch.random.get_rng_state()
    first, again, other = (random_encoder(encoder, seed).vit.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    changed = "blocks.0.attn.qkv.weight"
    assert torch.equal(first[changed], again[changed])
    assert not torch.equal(first[changed], other[changed])
    assert torch.equal(first["pos_embed"], encoder.vit.state_dict()["pos_embed"])


def test_a_folder_without_an_encoder_is_refused_with_what_was_looked_for(tmp_path):
    with pytest.raises(ValueError, match=r"holds no encoder: looked for config.json and model.safetensors"):
        load_encoder(tmp_path)


def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path):
    save_file({"nothing": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": ARCHITECTURES["tiny"], "num_classes": 0}))
    with pytest.raises(ValueError, match="does not load as a timm encoder") as refusal:
        load_encoder(tmp_path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("architecture", "arguments", "reason"),
    [
        ("resnet10t", {"in_chans": 1}, "holds a ResNet; a vision transformer is needed"),
        ("vit_tiny_patch16_224", {"img_size": [32, 48]}, "expects 3 channels"),
        ("vit_tiny_patch16_224", {"in_chans": 1, "img_size": [32, 48], "class_token": False, "global_pool": "avg"},
         "needs a class token"),
    ],
)  # fmt: skip
def test_models_whose_tokens_would_be_misread_are_refused(tmp_path, architecture, arguments, reason):
    import timm

    model = timm.create_model(architecture, num_classes=0, **arguments)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    config = {"architecture": architecture, "num_classes": 0, "model_args": arguments, "pretrained_cfg": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=reason):
        load_encoder(tmp_path)
