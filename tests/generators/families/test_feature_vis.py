"""Feature visualisations: shape of the network, list of units, gradient ascent, and invalid parameters."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synpat.families import feature_vis
from synpat.families.feature_vis import (
    OBJECTIVES,
    FeatureVisDeadLeaves,
    FeatureVisRandom,
    _layout,
    _random_weights,
    _transformed,
    _units,
    encoder_digest,
    pooled_features,
    random_weights,
)
from synpat.rendering.sampling import paint

torch = pytest.importorskip("torch")

SMALL: dict[str, Any] = {"steps": 4, "width": 4}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "encoder.pt"
    torch.save({name: torch.tensor(value) for name, value in random_weights(4).items()}, path)
    return path


def activation(image: np.ndarray, unit: int) -> float:
    seen = torch.tensor(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    mean, deviation = (torch.tensor(v)[:, None, None] for v in (feature_vis.MEAN, feature_vis.DEVIATION))
    return float(pooled_features(_random_weights(4, "cpu"), (seen - mean) / deviation)[0, unit])


def test_the_network_is_resnet_50():
    # He et al. 2016, without the classifier: 23.5 million weights in 53 convolutions, 2048 features.
    shapes = dict(_layout(64))
    weights = sum(int(np.prod(shape)) for name, shape in shapes.items() if "running" not in name)
    assert weights == 23_508_032
    assert sum(len(shape) == 4 for shape in shapes.values()) == 53
    assert pooled_features(_random_weights(4, "cpu"), torch.zeros(2, 3, 64, 96)).shape == (2, 128)


def test_random_weights_have_the_variance_of_kaiming_initialisation():
    weights = random_weights(16)
    kernel = weights["layer1.0.conv2.weight"]
    assert kernel.std() == pytest.approx(np.sqrt(2 / (16 * 9)), rel=0.05)
    assert (weights["bn1.running_var"] == 1).all()
    assert (weights["bn1.bias"] == 0).all()


def test_units_are_listed_singly_and_then_in_pairs():
    assert _units(0) == (0, -1)
    assert _units(2047) == (2047, -1)
    assert _units(2048) == (0, 1)
    assert _units(2048 + 2046) == (0, 2047)
    assert _units(2048 + 2047) == (1, 2)
    assert _units(OBJECTIVES - 1)[0] <= 50


def test_gradient_ascent_increases_the_activation_of_its_unit():
    # With the same generator, so that only the number of steps differs.
    for unit in (5, 77):
        early = FeatureVisRandom(first=unit, steps=1, width=4).render(np.random.default_rng(0), 64, 64)
        late = FeatureVisRandom(first=unit, steps=60, width=4).render(np.random.default_rng(0), 64, 64)
        assert activation(late, unit) > activation(early, unit)


@pytest.mark.parametrize(("height", "width"), [(80, 208), (9, 16)])
def test_an_image_has_the_requested_size_and_the_full_range(height: int, width: int):
    image = FeatureVisRandom(first=3, second=9, **SMALL).render(np.random.default_rng(0), height, width)
    assert image.shape == (height, width, 3)
    assert (image.min(), image.max()) == (0, 255)


def test_pixels_do_not_depend_on_the_seed_of_torch():
    images = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        images.append(FeatureVisRandom(first=3, **SMALL).render(np.random.default_rng(0), 48, 48))
    assert np.array_equal(*images)


def test_pixels_do_not_depend_on_the_number_of_threads():
    before, images = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        images.append(FeatureVisRandom(first=3, steps=2).render(np.random.default_rng(0), 80, 208))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert np.array_equal(*images)


def test_random_transforms_pad_the_image_and_keep_its_centre():
    image = torch.zeros(1, 3, 80, 120)
    image[:, :, 30:50, 45:75] = 1
    for seed in range(20):
        transformed = _transformed(np.random.default_rng(seed), image)
        assert transformed.shape[2] >= 104
        bright = (transformed[0, 0] > 0.75).nonzero().float().mean(0)
        assert (bright - torch.tensor([52.0, 72.0])).abs().max() < 20


def test_a_trained_encoder_is_loaded_and_its_checksum_recorded(encoder: Path):
    resolved_parameters = FeatureVisDeadLeaves.resolved_parameters({"encoder": str(encoder)})
    assert resolved_parameters == {"encoder": str(encoder), "sha256": encoder_digest(str(encoder))}
    image = FeatureVisDeadLeaves(first=1, steps=2, **resolved_parameters).render(np.random.default_rng(0), 48, 48)
    assert image.shape == (48, 48, 3)


def test_an_encoder_with_another_checksum_is_rejected(encoder: Path):
    pattern = FeatureVisDeadLeaves(first=1, steps=2, encoder=str(encoder), sha256="0" * 64)
    with pytest.raises(ValueError, match="pass the file that the set started with"):
        pattern.render(np.random.default_rng(0), 48, 48)


@pytest.mark.parametrize("encoder", ["", "/nowhere/encoder.pt"])
def test_a_missing_encoder_is_reported_with_the_script_that_trains_one(encoder: str):
    pattern = FeatureVisDeadLeaves(first=1, encoder=encoder)
    with pytest.raises(ValueError, match=r"tools/train_dead_leaves_encoder\.py"):
        pattern.render(np.random.default_rng(0), 48, 48)
    with pytest.raises(ValueError, match=r"tools/train_dead_leaves_encoder\.py"):
        FeatureVisDeadLeaves.resolved_parameters({"encoder": encoder})


def test_an_invalid_encoder_file_is_rejected(tmp_path: Path):
    path = tmp_path / "broken.pt"
    path.write_bytes(b"not weights")
    with pytest.raises(ValueError, match="does not contain the weights of a ResNet-50"):
        FeatureVisDeadLeaves(first=1, encoder=str(path)).render(np.random.default_rng(0), 48, 48)


def test_without_torch_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match=r"pip install 'synpat\[neural\]'"):
        FeatureVisRandom(first=0, **SMALL).render(np.random.default_rng(0), 16, 16)


def test_an_invalid_device_is_rejected():
    with pytest.raises(ValueError, match="device must be cpu, cuda or cuda:N, got 'gpu'"):
        FeatureVisRandom(first=0, device="gpu")


def test_a_missing_gpu_is_reported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"device cuda:1 does not exist: torch finds 1 GPUs\. Omit the parameter"):
        paint("feature-vis-random", 0, 0, 32, 32, parameters=SMALL | {"device": "cuda:1"})


def test_out_of_memory_in_a_batch_is_reported(monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(feature_vis, "_optimised", full)
    with pytest.raises(ValueError, match="out of memory for a batch of 3: use a smaller batch or fewer workers"):
        paint("feature-vis-random", 0, 0, 32, 32, parameters=SMALL | {"batch": 3})


def test_samples_in_a_batch_agree_with_single_samples():
    patterns = [FeatureVisRandom(first=3, steps=3, width=4), FeatureVisRandom(first=9, second=1, steps=3, width=4)]
    together = FeatureVisRandom.render_batch(patterns, [np.random.default_rng(i) for i in range(2)], 48, 64)
    for seed, (pattern, image) in enumerate(zip(patterns, together, strict=True)):
        alone = pattern.render(np.random.default_rng(seed), 48, 64)
        assert np.corrcoef(image.ravel(), alone.ravel())[0, 1] > 0.99
    assert abs(np.corrcoef(together[0].ravel(), together[1].ravel())[0, 1]) < 0.5


def test_a_batch_does_not_depend_on_the_order_of_requests():
    given = SMALL | {"batch": 3}
    forwards = [paint("feature-vis-random", 0, index, 24, 32, parameters=given).image for index in range(5)]
    backwards = [paint("feature-vis-random", 0, index, 24, 32, parameters=given).image for index in reversed(range(5))]
    assert all(np.array_equal(*pair) for pair in zip(forwards, reversed(backwards), strict=True))
    assert len({image.tobytes() for image in forwards}) == 5
