"""Painting of samples: reproducibility, rejection, mode, resizing and parameters."""

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar, Self

import cv2
import numpy as np
import pytest
from PIL import Image as Picture

from synpat.families import FAMILIES, Family, Image, Rejected
from synpat.rendering.sampling import paint, parse_parameters, sample
from synpat_shards import InputError


@dataclass(frozen=True, kw_only=True)
class Moody(Family):
    """A family that rejects 70 % of the draws."""

    source: ClassVar[str] = "this test"
    mood: float

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        return cls(mood=rng.random())

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        if self.mood < 0.7:
            raise Rejected
        return np.full((height, width), 9, np.uint8)


def test_another_process_paints_the_same_pixels():
    code = (
        "import hashlib; from synpat import sample; from synpat.families import FAMILIES\n"
        "for name in ('perlin', 'spectrum', 'white-noise', 'dead-leaves-squares'):\n"
        "    print(hashlib.sha256(sample(name, 1, 2, 80, 208)).hexdigest())"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in "ab"
    }
    assert len(runs) == 1


def test_rejected_draws_are_replaced_and_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(FAMILIES, "moody", Moody)
    samples = [paint("moody", 0, index, 4, 4) for index in range(300)]
    assert all(painted.parameters["mood"] >= 0.7 for painted in samples)
    assert np.mean([painted.rejects for painted in samples]) == pytest.approx(0.7 / 0.3, rel=0.15)


def test_too_many_rejected_draws_raise_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(FAMILIES, "moody", Moody)
    with pytest.raises(
        ValueError, match="100 draws in a row for seed 0, index 3: change its parameters or use a larger"
    ):
        paint("moody", 0, 3, 4, 4, parameters={"mood": 0.1})


def test_grey_is_weighted_by_rec_601():
    colour = paint("spectrum", 0, 0, 80, 208, mode="RGB").image.astype(float)
    grey = sample("spectrum", 0, 0, 80, 208)
    assert np.abs(colour @ [0.299, 0.587, 0.114] - grey).max() <= 0.51


def test_a_grey_family_in_mode_rgb_has_equal_channels():
    colour = paint("perlin", 0, 0, 80, 208, mode="RGB").image
    assert np.array_equal(colour, np.repeat(sample("perlin", 0, 0, 80, 208)[:, :, None], 3, axis=2))


def test_render_size_averages_areas():
    square = sample("white-noise", 0, 0, 160, 208)
    resized = paint("white-noise", 0, 0, 80, 104, render_size=(160, 208)).image
    assert np.abs(square.reshape(80, 2, 104, 2).mean((1, 3)) - resized).max() <= 0.5
    assert np.array_equal(resized, cv2.resize(square, (104, 80), interpolation=cv2.INTER_AREA))


def test_render_size_averages_areas_along_one_side_if_the_other_grows():
    square = paint("white-noise", 0, 0, 64, 64).image
    resized = paint("white-noise", 0, 0, 16, 128, render_size=(64, 64)).image
    expected = square.reshape(16, 4, 64).mean(1).repeat(2, axis=1)
    assert np.abs(expected - resized).max() <= 0.5


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_bilinear_filter_is_that_of_pillow(mode: str):
    square = paint("dead-leaves-shapes", 0, 0, 128, 128, mode="RGB").image
    resized = paint("dead-leaves-shapes", 0, 0, 80, 208, mode=mode, render_size=(128, 128), resize_filter="bilinear")
    expected = Picture.fromarray(square).resize((208, 80), Picture.Resampling.BILINEAR)
    if mode == "RGB":
        assert np.array_equal(resized.image, np.asarray(expected))
    else:
        assert np.abs(resized.image.astype(int) - np.asarray(expected.convert("L"))).max() <= 1


def test_an_unknown_resize_filter_is_rejected():
    with pytest.raises(ValueError, match="resize_filter must be area or bilinear, got 'cubic'"):
        paint("perlin", 0, 0, 8, 8, render_size=(16, 16), resize_filter="cubic")


def test_a_given_parameter_replaces_only_the_drawn_one():
    drawn, given = (paint("perlin", 0, 4, 80, 208, parameters=p).parameters for p in ({}, {"octaves": 1}))
    assert given == {**drawn, "octaves": 1}


def test_a_given_category_is_also_the_label():
    painted = paint("shaders", 0, 4, 80, 208, parameters={"category": 17})
    assert painted.category == painted.parameters["category"] == 17


def test_parameters_are_parsed_to_the_type_of_their_field():
    assert parse_parameters("rcdb", ("inverted=false",)) == {"inverted": False}
    assert parse_parameters("perlin", ("octaves=3", "persistence=0.25")) == {"octaves": 3, "persistence": 0.25}


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("colour=1", "no parameter 'colour'; its parameters are: rows"),
        ("octaves=x", "octaves of perlin must be int, got 'x'"),
    ],
)
def test_unknown_parameters_and_wrong_types_are_rejected(assignment: str, words: str):
    with pytest.raises(ValueError, match=words):
        parse_parameters("perlin", (assignment,))


def test_every_family_has_a_source_and_a_docstring():
    for family in FAMILIES.values():
        assert family.source
        assert (family.__doc__ or "").splitlines()[0].endswith(".")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("perln", 0, 0, 80, 208), "'perln' is not a family. Did you mean 'perlin'?"),
        (("perlin", 0, 0, 0, 208), "height and width must be between 1 and 16384 pixels, got 0 and 208"),
        (("perlin", 0, -1, 80, 208), "seed and index must be 0 or more, got 0 and -1"),
    ],
)
def test_invalid_arguments_of_sample_are_explained(arguments, message):
    with pytest.raises(InputError, match=re.escape(message)):
        sample(*arguments)
