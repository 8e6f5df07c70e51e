"""Properties of all families."""

import json
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synpat.families import FAMILIES, Image
from synpat.families.feature_vis import random_weights
from synpat.rendering import sampling
from synpat_shards import Sample, decode_png, encode_png

GOLDEN = Path(__file__).parent / "golden"

CHEAP: dict[str, dict[str, Any]] = {
    "stylegan-random": {"width": 8},
    "feature-vis-random": {"width": 4, "steps": 2},
    "feature-vis-dead-leaves": {"steps": 2},
}
"""Parameters with which expensive families can be tested quickly."""
CHAOTIC = {"feature-vis-random", "feature-vis-dead-leaves"}
"""Families without golden pixels: gradient ascent amplifies differences between processors in the last bit."""

BOUNDED = [(family, name) for family, model in FAMILIES.items() for name in model.bounds]
"""Parameters with bounds."""

every_family = pytest.mark.parametrize("family", list(FAMILIES))


@pytest.fixture(scope="module", autouse=True)
def _an_encoder(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("encoder") / "encoder.pt"
    torch.save({name: torch.tensor(value) for name, value in random_weights(4).items()}, path)
    CHEAP["feature-vis-dead-leaves"]["encoder"] = str(path)


def paint(family: str, seed: int, index: int, height: int, width: int) -> Sample:
    return sampling.paint(family, seed, index, height, width, parameters=CHEAP.get(family))


def sample(family: str, seed: int, index: int, height: int, width: int) -> Image:
    return paint(family, seed, index, height, width).image


@every_family
@given(height=st.integers(8, 96), width=st.integers(8, 240), index=st.integers(0, 2**40))
def test_any_size_gives_one_uint8_image_of_that_size(family: str, height: int, width: int, index: int):
    image = sample(family, 0, index, height, width)
    assert image.shape == (height, width)
    assert image.dtype == np.uint8


@every_family
def test_the_same_arguments_give_the_same_pixels(family: str):
    assert np.array_equal(sample(family, 3, 5, 80, 208), sample(family, 3, 5, 80, 208))


@every_family
@pytest.mark.parametrize(("seed", "index"), [(3, 6), (4, 5)])
def test_another_seed_or_index_gives_other_pixels(family: str, seed: int, index: int):
    assert not np.array_equal(sample(family, 3, 5, 80, 208), sample(family, seed, index, 80, 208))


def legacy_state() -> np.ndarray:
    """Return the state of numpy's global generator."""
    state: Any = np.random.get_state()  # noqa: NPY002
    return state[1].copy()


@every_family
def test_the_global_random_state_is_neither_used_nor_changed(family: str):
    before = legacy_state()
    first = sample(family, 0, 1, 80, 208)
    assert np.array_equal(before, legacy_state())
    np.random.seed(7)  # noqa: NPY002
    assert np.array_equal(first, sample(family, 0, 1, 80, 208))


@every_family
def test_parameters_survive_json_and_paint_the_same(family: str):
    pattern = FAMILIES[family](**paint(family, 0, 2, 80, 208).parameters)
    again = FAMILIES[family](**json.loads(json.dumps(vars(pattern))))
    assert again == pattern
    first, second = (p.render(np.random.default_rng(1), 80, 208) for p in (pattern, again))
    assert np.array_equal(first, second)


@every_family
def test_patterns_are_frozen(family: str):
    pattern = FAMILIES[family](**paint(family, 0, 2, 80, 208).parameters)
    name = fields(pattern)[0].name if fields(pattern) else "anything"
    with pytest.raises((FrozenInstanceError, TypeError)):
        setattr(pattern, name, 1)


@every_family
def test_no_sample_is_flat_and_rejections_are_rare(family: str):
    samples = [paint(family, 0, index, 80, 208) for index in range(200)]
    for painted in samples:
        counts = np.bincount(painted.image.ravel(), minlength=256)
        shares = counts[counts > 0] / counts.sum()
        assert painted.image.std() > 2
        assert len(shares) >= 2
        assert -(shares * np.log2(shares)).sum() > 0.05  # bits
    assert sum(painted.rejects for painted in samples) < 60


@every_family
def test_categories_increase_with_the_index(family: str):
    categories, class_run_length = FAMILIES[family].categories, FAMILIES[family].class_run_length
    assert paint(family, 0, (categories + 1) * class_run_length, 80, 208).category == (1 if categories > 1 else None)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in CHAOTIC])
@pytest.mark.parametrize(("height", "width"), [(80, 208), (128, 128)])
def test_golden_pixels(family: str, height: int, width: int, request: pytest.FixtureRequest):
    """Four samples below one another. A change of pixels needs a new version of the family and a new golden image."""
    sheet = np.concatenate([sample(family, 0, index, height, width) for index in range(4)])
    path = GOLDEN / f"{family}-v{FAMILIES[family].version}-{height}x{width}.png"
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_png(sheet))
    assert path.exists(), "no golden image: check the images of the family, then run pytest --update-golden"
    golden = decode_png(path.read_bytes()).astype(int)
    # Sine, cosine and power may differ in the last bit between processors. This changes a grey level by at most one,
    # or moves very few points by a pixel.
    assert np.mean(np.abs(golden - sheet) > 1) < 0.001


@pytest.mark.parametrize(("family", "name"), BOUNDED)
def test_a_parameter_out_of_its_bounds_is_rejected(family: str, name: str):
    model = FAMILIES[family]
    pattern = model.draw(np.random.default_rng(0), 0)
    low, high = model.bounds[name]
    for wrong in (low - 1, high + 1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"{name} must be between {low} and {high}, got {wrong}"):
            replace(pattern, **{name: wrong})


@every_family
def test_every_numeric_parameter_has_bounds(family: str):
    numbers = {field.name for field in fields(FAMILIES[family]) if field.type in (int, float)}
    assert (
        numbers - {"category"} <= FAMILIES[family].bounds.keys()
    )  # the number of categories depends on the folder of shaders
