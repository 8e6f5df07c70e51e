"""The families follow the law of the images of the published programs, and a change of a model is detected."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synpat.families import Image, ifs, statistical
from synpat.families.ifs import _background_palette, _colour, _plasma
from synpat.painting.eigenvectors import eigenvectors
from synpat.painting.steerable_pyramid import _taps, masks_of
from synpat.rendering.render import make_spec, render_set
from synpat.rendering.sampling import sample

TOOL = Path(__file__).parents[2] / "tools" / "compare_published.py"
IMAGES = 100


def _module() -> Any:
    spec = importlib.util.spec_from_file_location("compare_published", TOOL)
    assert spec
    assert spec.loader
    module = sys.modules["compare_published"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = _module()
TABLES = sorted(tool.PUBLISHED.glob("*.csv"))


def background(index: int, side: int) -> Image:
    """Paint the background of ifs alone."""
    rng, image = np.random.default_rng(index), np.zeros((side, side, 3), np.uint8)
    _colour(image, _plasma(rng, side, side), _background_palette(rng))
    return image


def compared(name: str) -> Any:
    """Compare 100 images with the published table of this name."""
    family, _, side = name.rpartition("-")
    if family == "ifs-background":
        images = (background(index, int(side)) for index in range(IMAGES))
    else:
        images = (sample(family, 0, index, int(side), int(side)) for index in range(IMAGES))
    return tool.compare(tool.read_table(tool.PUBLISHED / f"{name}.csv"), tool.measured(images))


@pytest.mark.parametrize("name", [path.stem for path in TABLES])
def test_a_family_does_not_differ_from_the_published_images(name: str):
    comparison = compared(name)
    assert not comparison.differs, comparison


def test_axes_of_colour_with_fixed_signs_are_detected(monkeypatch: pytest.MonkeyPatch):
    def positive(matrix: np.ndarray) -> np.ndarray:
        axes = eigenvectors(matrix)
        return axes * np.sign(axes[np.arange(3), np.abs(axes).argmax(1)])[:, None]

    monkeypatch.setattr(statistical, "eigenvectors", positive)
    assert compared("spectrum-128").differs


def test_a_pyramid_without_leakage_is_detected(monkeypatch: pytest.MonkeyPatch):
    """Remove the first moment of the band filters: the response at low frequencies f falls as f cubed instead of f."""
    taps = _taps()
    x = np.tile(np.arange(9.0) - 4, 9)
    y = np.repeat(np.arange(9.0) - 4, 9)
    moments = np.stack([x, y])
    bands = taps["bfilts"] - moments.T @ np.linalg.solve(moments @ moments.T, moments @ taps["bfilts"])
    monkeypatch.setattr("synpat.painting.steerable_pyramid._taps", lambda: taps | {"bfilts": bands})
    masks_of.cache_clear()
    try:
        assert compared("spectrum-color-wmm-128").differs
    finally:
        masks_of.cache_clear()


def test_a_stretched_background_with_hues_in_full_turns_is_detected(monkeypatch: pytest.MonkeyPatch):
    def stretched(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        plasma = ifs._plasma(rng, height, width)
        return (plasma - plasma.min()) / np.ptp(plasma)

    monkeypatch.setitem(globals(), "_plasma", stretched)
    monkeypatch.setattr(ifs, "_turns", lambda hue: hue / 255 % 1)
    assert compared("ifs-background-224").differs


def test_another_family_is_detected():
    images = (sample("dead-leaves-oriented", 0, index, 128, 128) for index in range(IMAGES))
    published = tool.read_table(tool.PUBLISHED / "dead-leaves-squares-128.csv")
    assert tool.compare(published, tool.measured(images)).differs


def test_two_halves_of_one_family_do_not_differ():
    table = tool.measured(sample("perlin", 0, index, 64, 64) for index in range(200))
    assert not tool.compare(table[::2], table[1::2]).differs


def test_statistics_of_stripes():
    image = np.tile(np.array([0, 200], np.uint8), (64, 32))
    values = dict(zip(tool.NAMES, tool.measured([image])[0], strict=True))
    assert (values["mean"], values["std"], values["entropy"], values["levels"]) == (100, 100, 1, 2)
    assert (values["total_variation"], values["equal_neighbours"], values["constant_patches"]) == (200, 0.5, 0)
    assert values["anisotropy"] > 20
    assert values["autocorrelation_1"] == pytest.approx(0)
    assert values["autocorrelation_4"] == pytest.approx(1)


def test_the_command_compares_a_set(tmp_path: Path):
    render_set(tmp_path / "squares", make_spec("dead-leaves-squares", 60, height=128, width=128), 1, lambda *_: None)
    render_set(tmp_path / "perlin", make_spec("perlin", 2, height=128, width=128), 1, lambda *_: None)
    done = subprocess.run([sys.executable, TOOL, tmp_path / "squares"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no significant difference" in done.stdout
    unknown = subprocess.run([sys.executable, TOOL, tmp_path / "perlin"], capture_output=True, text=True)
    assert "no published statistics of perlin at 128x128: render one of dead-leaves" in unknown.stderr
