"""The network for fine-tuning: the features of an encoder, and a new head."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from synpat_train.evaluation.finetuning.classifier import make_classifier, scores
from synpat_train.evaluation.finetuning.recipes import AUDIOMAE, M2D
from synpat_train.model.encoder import Encoder, load_encoder
from synpat_train.model.timm_compat import DropPath, VisionTransformer, create_model


@pytest.mark.parametrize("frames", [48, 32, 41, 7])
def test_initial_features_equal_those_of_the_frozen_encoder(encoder, frames):
    log_mels = torch.randn(4, 80, frames, generator=torch.Generator().manual_seed(0))
    vit = make_classifier(encoder, 2, -(-frames // 16), M2D["voxceleb1"], 0)
    vit.fc_norm, vit.head = nn.Identity(), nn.Identity()
    with torch.inference_mode():
        torch.testing.assert_close(scores(vit.eval(), log_mels, None, "time steps"), encoder.clip_embedding(log_mels))
        patches = encoder.patch_features(log_mels).unflatten(2, (5, 32)).mean(dim=(1, 2))
        torch.testing.assert_close(scores(vit, log_mels, None, "patches"), patches)


def test_dropped_patches_do_not_affect_the_scores(encoder):
    vit = make_classifier(encoder, 2, 3, M2D["spcv2"], 0).eval()
    log_mels = torch.randn(4, 80, 48, generator=torch.Generator().manual_seed(0))
    all_patches, some = torch.arange(15).expand(4, -1), torch.tensor([0, 1, 3, 4]).expand(4, -1)
    changed = log_mels.clone()
    changed[:, :, 32:] = 9  # the last column: patches 2, 5, 8, ...
    with torch.inference_mode():
        torch.testing.assert_close(
            scores(vit, log_mels, all_patches, "patches"), scores(vit, log_mels, None, "patches")
        )
        assert torch.equal(scores(vit, log_mels, some, "patches"), scores(vit, changed, some, "patches"))
        assert not torch.equal(scores(vit, log_mels, None, "patches"), scores(vit, changed, None, "patches"))


@pytest.mark.parametrize(
    "arguments",
    [{"class_token": False, "global_pool": "avg", "fc_norm": False}, {"reg_tokens": 4, "no_embed_class": True}],
    ids=["no class token", "register tokens"],
)
def test_classifier_of_other_vision_transformers_uses_their_features(arguments):
    sizes = {"img_size": [80, 48], "in_chans": 1, "depth": 2, "embed_dim": 32, "num_heads": 2}
    vit = create_model("vit_tiny_patch16_224", num_classes=0, **sizes, **arguments)
    assert isinstance(vit, VisionTransformer)
    other = Encoder(vit.eval(), 80, 48, 16, features=5 * 32)
    model = make_classifier(other, 2, 3, replace(M2D["esc50"], patch_drop=0, pooling="time steps"), 0).eval()
    model.head = torch.nn.Identity()
    clips = torch.randn(3, 80, 48, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        computed = scores(model, clips, None, "time steps")
        expected = model.fc_norm(other.clip_embedding(clips))
    torch.testing.assert_close(computed, expected, rtol=1e-4, atol=1e-4)


def test_frozen_patch_embedding_and_positions_are_not_trained(encoder):
    vit = make_classifier(encoder, 2, 3, M2D["esc50"], 0)
    frozen = {name for name, weight in vit.named_parameters() if not weight.requires_grad}
    assert frozen == {"pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}


def test_drop_path_rises_from_the_first_to_the_last_block(run):
    vit = make_classifier(load_encoder(run), 2, 3, AUDIOMAE["esc50"], 0)
    probabilities = [part.drop_prob for part in vit.blocks.modules() if isinstance(part, DropPath)][::2]
    assert probabilities == pytest.approx(np.linspace(0, 0.1, 12).tolist())


@pytest.mark.parametrize(("recipes", "spread"), [(M2D, 0.01), (AUDIOMAE, 2e-5 * 0.88)], ids=["m2d", "audiomae"])
def test_new_weights_have_the_published_standard_deviation(encoder, recipes, spread):
    """The truncation at two standard deviations reduces the standard deviation by 12 %."""
    head = make_classifier(encoder, 500, 3, recipes[""], 0).head
    assert isinstance(head, nn.Linear)
    assert head.weight.std().item() == pytest.approx(spread, rel=0.05)
    assert not head.bias.any()
