"""Feature visualisations: the network's shape, the list of units, an ascent that ascends, and what is refused."""

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
    _shaken,
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


def test_random_weights_keep_the_variance_of_rectified_features():
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


def test_the_ascent_raises_the_unit_that_it_is_for():
    # Compared under the same paint, so that only the steps differ.
    for unit in (5, 77):
        little = FeatureVisRandom(first=unit, steps=1, width=4).render(np.random.default_rng(0), 64, 64)
        much = FeatureVisRandom(first=unit, steps=60, width=4).render(np.random.default_rng(0), 64, 64)
        assert activation(much, unit) > activation(little, unit)


@pytest.mark.parametrize(("height", "width"), [(80, 208), (9, 16)])
def test_an_image_has_the_size_asked_for_and_uses_the_whole_range(height: int, width: int):
    image = FeatureVisRandom(first=3, second=9, **SMALL).render(np.random.default_rng(0), height, width)
    assert image.shape == (height, width, 3)
    assert (image.min(), image.max()) == (0, 255)


def test_the_same_arguments_give_the_same_pixels_whatever_torch_was_seeded_with():
    images = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        images.append(FeatureVisRandom(first=3, **SMALL).render(np.random.default_rng(0), 48, 48))
    assert np.array_equal(*images)


def test_the_number_of_threads_does_not_matter():
    before, images = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        images.append(FeatureVisRandom(first=3, steps=2).render(np.random.default_rng(0), 80, 208))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert np.array_equal(*images)


def test_shaking_pads_and_keeps_the_middle_near_its_place():
    image = torch.zeros(1, 3, 80, 120)
    image[:, :, 30:50, 45:75] = 1
    for seed in range(20):
        shaken = _shaken(np.random.default_rng(seed), image)
        assert shaken.shape[2] >= 104
        bright = (shaken[0, 0] > 0.75).nonzero().float().mean(0)
        assert (bright - torch.tensor([52.0, 72.0])).abs().max() < 20


def test_a_trained_encoder_is_read_and_its_file_is_pinned(encoder: Path):
    resolved_parameters = FeatureVisDeadLeaves.resolved_parameters({"encoder": str(encoder)})
    assert resolved_parameters == {"encoder": str(encoder), "sha256": encoder_digest(str(encoder))}
    image = FeatureVisDeadLeaves(first=1, steps=2, **resolved_parameters).render(np.random.default_rng(0), 48, 48)
    assert image.shape == (48, 48, 3)


def test_another_encoder_than_the_one_asked_for_is_refused(encoder: Path):
    pattern = FeatureVisDeadLeaves(first=1, steps=2, encoder=str(encoder), sha256="0" * 64)
    with pytest.raises(ValueError, match="is not the file that was asked for"):
        pattern.render(np.random.default_rng(0), 48, 48)


@pytest.mark.parametrize("encoder", ["", "/nowhere/encoder.pt"])
def test_without_an_encoder_the_way_to_make_one_is_told(encoder: str):
    pattern = FeatureVisDeadLeaves(first=1, encoder=encoder)
    with pytest.raises(ValueError, match=r"tools/train_dead_leaves_encoder\.py"):
        pattern.render(np.random.default_rng(0), 48, 48)
    with pytest.raises(ValueError, match=r"tools/train_dead_leaves_encoder\.py"):
        FeatureVisDeadLeaves.resolved_parameters({"encoder": encoder})


def test_a_file_that_holds_no_network_is_refused(tmp_path: Path):
    path = tmp_path / "broken.pt"
    path.write_bytes(b"not weights")
    with pytest.raises(ValueError, match="holds no weights of a ResNet-50"):
        FeatureVisDeadLeaves(first=1, encoder=str(path)).render(np.random.default_rng(0), 48, 48)


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match=r"pip install 'synpat\[neural\]'"):
        FeatureVisRandom(first=0, **SMALL).render(np.random.default_rng(0), 16, 16)


def test_a_device_that_torch_does_not_know_is_refused():
    with pytest.raises(ValueError, match="device must be cpu, cuda or cuda:N, got 'gpu'"):
        FeatureVisRandom(first=0, device="gpu")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"there is no cuda:1: torch sees 1 GPUs\. Leave the parameter device out"):
        paint("feature-vis-random", 0, 0, 32, 32, parameters=SMALL | {"device": "cuda:1"})


def test_a_batch_that_finds_no_memory_is_refused(monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(feature_vis, "_ascended", full)
    with pytest.raises(ValueError, match="no memory for a batch of 3: take a smaller one, or fewer workers"):
        paint("feature-vis-random", 0, 0, 32, 32, parameters=SMALL | {"batch": 3})


def test_a_batch_climbs_as_its_samples_do_alone():
    patterns = [FeatureVisRandom(first=3, steps=3, width=4), FeatureVisRandom(first=9, second=1, steps=3, width=4)]
    together = FeatureVisRandom.render_batch(patterns, [np.random.default_rng(i) for i in range(2)], 48, 64)
    for seed, (pattern, image) in enumerate(zip(patterns, together, strict=True)):
        alone = pattern.render(np.random.default_rng(seed), 48, 64)
        assert np.corrcoef(image.ravel(), alone.ravel())[0, 1] > 0.99
    assert abs(np.corrcoef(together[0].ravel(), together[1].ravel())[0, 1]) < 0.5


def test_a_batch_is_the_same_whichever_of_its_samples_is_asked_for():
    given = SMALL | {"batch": 3}
    forwards = [paint("feature-vis-random", 0, index, 24, 32, parameters=given).image for index in range(5)]
    backwards = [paint("feature-vis-random", 0, index, 24, 32, parameters=given).image for index in reversed(range(5))]
    assert all(np.array_equal(*pair) for pair in zip(forwards, reversed(backwards), strict=True))
    assert len({image.tobytes() for image in forwards}) == 5
