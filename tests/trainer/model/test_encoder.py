"""Features of a frozen encoder, compared with separate forward passes."""

import json
import shutil
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from synpat_shards import InputError
from synpat_train.model import timm_compat
from synpat_train.model.encoder import Encoder, load_encoder, random_encoder, resampled
from synpat_train.model.vit import ARCHITECTURES, build_vit, vit_arguments

HEIGHT, WIDTH, PATCH = 32, 48, 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write an encoder folder with a tiny encoder of 2 x 3 patches."""
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


def reference_features(encoder: Encoder, log_mel: torch.Tensor) -> torch.Tensor:
    """Return the features of one clip [height, frames], computed step by step from the definition."""
    vit = encoder.vit
    assert vit.cls_token is not None
    assert vit.pos_embed is not None
    columns = encoder.width // encoder.patch
    rows = encoder.height // encoder.patch
    frames = log_mel.shape[1]
    padded = torch.zeros(encoder.height, -(-frames // encoder.patch) * encoder.patch)
    padded[:, :frames] = log_mel
    features = []
    for start in range(0, padded.shape[1], encoder.width):
        chunk = padded[:, start : start + encoder.width]
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
def test_patch_features_of_any_length_equal_those_of_each_chunk(encoder, frames):
    clips = torch.randn(3, HEIGHT, frames, generator=torch.Generator().manual_seed(frames))
    features = encoder.patch_features(clips)
    assert features.shape == (3, -(-frames // PATCH), encoder.features)
    for clip, computed in zip(clips, features, strict=True):
        torch.testing.assert_close(computed, reference_features(encoder, clip), atol=1e-4, rtol=1e-4)


def test_patch_features_of_the_full_width_equal_those_of_timm(encoder):
    clips = torch.randn(2, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    tokens = encoder.vit.forward_features(clips[:, None])[:, 1:]
    expected = torch.cat([tokens[:, :3], tokens[:, 3:]], dim=2)
    torch.testing.assert_close(encoder.patch_features(clips), expected, atol=1e-5, rtol=1e-5)


def test_clip_embedding_is_the_mean_over_time_steps_with_frames(encoder):
    clip = torch.randn(1, HEIGHT, 70, generator=torch.Generator().manual_seed(0))
    expected = reference_features(encoder, clip[0]).mean(dim=0)
    torch.testing.assert_close(encoder.clip_embedding(clip)[0], expected, atol=1e-4, rtol=1e-4)


def test_log_mel_of_another_height_is_rejected(encoder):
    with pytest.raises(ValueError, match=r"must be \[batch, 32, frames\]"):
        encoder.patch_features(torch.zeros(1, 80, 48))


def test_encoder_is_loaded_from_encoder_folder_and_run_folder(folder, encoder):
    from_run = load_encoder(folder.parent)
    assert (from_run.height, from_run.width, from_run.patch, from_run.features) == (32, 48, 16, 384)
    for name, weight in encoder.vit.state_dict().items():
        assert torch.equal(weight, from_run.vit.state_dict()[name])


def test_public_names_turn_waveforms_into_embeddings(tmp_path):
    import synpat_train

    save_file(build_vit("tiny", 80, 48, PATCH).state_dict(), tmp_path / "model.safetensors")
    model = {"in_chans": 1, "img_size": [80, 48], "patch_size": PATCH}
    config = {"architecture": ARCHITECTURES["tiny"], "num_classes": 0, "model_args": model, "pretrained_cfg": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    clips = synpat_train.log_mel(torch.randn(2, 9600, generator=torch.Generator().manual_seed(0)))
    assert synpat_train.load_encoder(tmp_path).clip_embedding(clips).shape == (2, 5 * 192)


def test_random_encoder_depends_only_on_its_seed(encoder):
    before = torch.random.get_rng_state()
    first, again, other = (random_encoder(encoder, seed).vit.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    changed = "blocks.0.attn.qkv.weight"
    assert torch.equal(first[changed], again[changed])
    assert not torch.equal(first[changed], other[changed])
    assert torch.equal(first["pos_embed"], encoder.vit.state_dict()["pos_embed"])


def test_error_for_missing_encoder_names_the_searched_files(tmp_path):
    with pytest.raises(ValueError, match=r"contains no encoder: searched for config.json and model.safetensors"):
        load_encoder(tmp_path)


def test_error_for_wrong_weights_has_one_line(tmp_path):
    save_file({"nothing": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": ARCHITECTURES["tiny"], "num_classes": 0}))
    with pytest.raises(ValueError, match="cannot be loaded as a timm encoder") as error:
        load_encoder(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{", r"config.json is corrupt: Expecting property name"),
        ("{}", r"config.json is corrupt: 'architecture' is missing. Export the encoder again"),
        ("[1]", r"config.json is corrupt: list indices"),
        ('{"architecture": 3}', r"config.json is corrupt: "),
        ('{"architecture": "vit_tinny"}', "names the architecture 'vit_tinny', which timm does not have"),
        ("\xff", "config.json is corrupt: 'utf-8' codec"),
    ],
)
def test_error_for_a_broken_description_names_file_and_fault(config, words, tmp_path):
    save_file({"nothing": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(config, encoding="latin-1")
    with pytest.raises(InputError, match=words) as error:
        load_encoder(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["issue #17", "which?", "100%41", "a;b=c", "\u00e9t\u00e9\n2"])
def test_encoder_is_loaded_from_any_path(name, folder, encoder, tmp_path):
    shutil.copytree(folder, tmp_path / name)
    loaded = load_encoder(tmp_path / name)
    assert torch.equal(loaded.vit.state_dict()["pos_embed"], encoder.vit.state_dict()["pos_embed"])


def save_timm_encoder(folder, architecture, **arguments) -> Any:
    """Save a timm model with random weights in the `local-dir:` layout."""
    model = timm_compat.create_model(architecture, num_classes=0, **arguments)
    save_file(model.state_dict(), folder / "model.safetensors")
    config = {"architecture": architecture, "num_classes": 0, "model_args": arguments, "pretrained_cfg": {}}
    (folder / "config.json").write_text(json.dumps(config))
    return model.eval()


def test_model_without_a_position_for_every_patch_is_rejected(tmp_path):
    save_timm_encoder(tmp_path, "vit_tiny_patch16_224", img_size=[32, 48], pos_embed="none")
    with pytest.raises(ValueError, match=r"has no position for every patch: 6 are required"):
        load_encoder(tmp_path)


def test_model_that_is_not_a_vision_transformer_is_rejected(tmp_path):
    save_timm_encoder(tmp_path, "resnet10t", in_chans=1)
    with pytest.raises(ValueError, match="contains a ResNet, not a vision transformer"):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"class_token": False, "global_pool": "avg", "fc_norm": False},
        {"reg_tokens": 4, "no_embed_class": True},
        {"pre_norm": True, "init_values": 1e-5},
    ],
    ids=["colour", "no class token", "register tokens", "pre-norm"],
)
def test_features_of_other_vision_transformers_equal_those_of_timm(tmp_path, arguments):
    """The models take colour images: the grey image is repeated in all three channels."""
    model = save_timm_encoder(tmp_path, "vit_tiny_patch16_224", img_size=[32, 48], **arguments)
    grey = torch.randn(2, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model.forward_features(grey.unsqueeze(1).expand(-1, 3, -1, -1))[:, model.num_prefix_tokens :]
    by_step = expected.unflatten(1, (2, 3)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(load_encoder(tmp_path).patch_features(grey), by_step, rtol=1e-4, atol=1e-4)


def test_positions_are_resampled_as_in_timm(tmp_path):
    model = save_timm_encoder(tmp_path, "vit_tiny_patch16_224")
    model.set_input_size(img_size=(80, 224))
    image = torch.randn(1, 80, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model.forward_features(image.unsqueeze(1).expand(-1, 3, -1, -1))[:, 1:]
    computed = resampled(load_encoder(tmp_path), 80, 224).patch_features(image)
    torch.testing.assert_close(
        computed, expected.unflatten(1, (5, 14)).transpose(1, 2).flatten(2), rtol=1e-4, atol=1e-4
    )
    with pytest.raises(ValueError, match="84x224 is not a multiple of the encoder's patch size 16x16"):
        resampled(load_encoder(tmp_path), 84, 224)
