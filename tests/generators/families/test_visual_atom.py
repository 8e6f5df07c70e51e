"""VisualAtom: the published prior, the number of waves of a class, and no empty images."""

import numpy as np
import pytest

from synpat.families.visual_atom import VisualAtom
from synpat.family import Rejected
from synpat.painting.contours import NOISE, SHORTEST, length


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _atom(**parameters) -> VisualAtom:
    plain = {
        "vertices": 720,
        "orbits": 1,
        "roughness": 0.0,
        "spacing": 0.0,
        "radius": 60.0,
        "wave_1": 0,
        "wave_2": 0,
        "oval_y": 1.0,
        "oval_x": 1.0,
    }
    return VisualAtom(**{**plain, **parameters})


def test_classes_follow_the_published_prior(rng):
    atoms = [VisualAtom.draw(rng, category) for category in range(VisualAtom.categories)]
    assert all(200 <= atom.vertices <= 1000 and 10 <= atom.radius <= 60 for atom in atoms)
    assert np.mean([atom.vertices for atom in atoms]) == pytest.approx(600, abs=25)
    assert np.mean([atom.radius for atom in atoms]) == pytest.approx(35, abs=1.5)
    assert np.mean([atom.oval_y for atom in atoms]) == pytest.approx(1.5, abs=0.03)
    # Classes with very few contours are skipped, so the means are slightly above 100 and 2.
    assert 100 < np.mean([atom.orbits for atom in atoms]) < 112
    assert 1.9 < np.mean([atom.roughness for atom in atoms]) < 2.15
    assert not any(atom.wave_1 == atom.wave_2 != 0 for atom in atoms)
    assert {atom.wave_2 for atom in atoms} == set(range(21))


def test_a_class_does_not_depend_on_the_instance():
    assert VisualAtom.draw(np.random.default_rng(1), 5) == VisualAtom.draw(np.random.default_rng(2), 5)


def test_few_classes_are_skipped_as_nearly_empty(rng):
    drawn = [VisualAtom._drawn(rng) for _ in range(2000)]
    short = [length(a.radius * (a.oval_y + a.oval_x) / 2, a.roughness + a.spacing, a.orbits) < SHORTEST for a in drawn]
    assert 0.02 < np.mean(short) < 0.08


def test_vertices_cover_the_published_share_of_the_image(rng):
    covered = []
    for _ in range(150):
        atom = VisualAtom._drawn(rng)
        theta = 2 * np.pi * np.arange(atom.vertices) / atom.vertices
        y = rng.uniform(0, 512) + atom.radius * atom.oval_y * np.sin(theta)
        x = rng.uniform(0, 512) + atom.radius * atom.oval_x * np.cos(theta)
        growth = atom.roughness + atom.spacing + 0.5 * np.sin(atom.wave_1 * theta) + 0.5 * np.sin(atom.wave_2 * theta)
        lit = np.zeros((512, 512), bool)
        for _ in range(atom.orbits):
            y += np.sin(theta) * (growth - atom.roughness * rng.choice(NOISE, len(theta)))
            x += np.cos(theta) * (growth - atom.roughness * rng.choice(NOISE, len(theta)))
            inside = (y >= 0) & (y < 512) & (x >= 0) & (x < 512)
            lit[y[inside].astype(int), x[inside].astype(int)] = True
        covered.append(lit.mean())
    # families.md, section 7: quantiles 5 %, 50 % and 95 % over the published generator's images.
    assert np.allclose(np.quantile(covered, [0.05, 0.5, 0.95]), [0.010, 0.080, 0.227], atol=[0.008, 0.025, 0.05])


@pytest.mark.parametrize("wave", [3, 8])
def test_contours_have_the_number_of_waves_of_their_class(wave):
    # The centre is random: use an instance whose atom is completely inside the image.
    atom = _atom(wave_1=wave, orbits=60, radius=100.0)
    image = next(
        image
        for image in (atom.render(np.random.default_rng(seed), 512, 512) for seed in range(200))
        if not (image[[0, -1]].any() or image[:, [0, -1]].any())
    )
    row, column = np.nonzero(image)
    y, x = row - (row.min() + row.max()) / 2, column - (column.min() + column.max()) / 2
    angle = np.floor((np.arctan2(y, x) + np.pi) / (2 * np.pi) * 180).astype(int) % 180
    reach = np.array([np.hypot(y, x)[angle == a].max(initial=0) for a in range(180)])
    assert np.argmax(np.abs(np.fft.rfft(reach - reach.mean()))) == wave


def test_lengths_scale_with_the_shorter_side():
    atom = _atom(orbits=40, roughness=1.0, radius=50.0)
    lit = {side: np.mean([np.ptp(np.nonzero(_complete(atom, side))[0]) for _ in range(1)]) for side in (256, 512)}
    assert lit[512] / lit[256] == pytest.approx(2, rel=0.1)


def _complete(atom: VisualAtom, side: int) -> np.ndarray:
    """Return the first instance whose contours are all inside the image."""
    for seed in range(500):
        image = atom.render(np.random.default_rng(seed), side, side)
        if not (image[[0, -1]].any() or image[:, [0, -1]].any()):
            return image
    raise AssertionError


def test_a_nearly_empty_image_is_rejected(rng):
    with pytest.raises(Rejected):
        _atom(radius=5.0).render(rng, 512, 512)


def test_few_first_draws_are_rejected(rng):
    rejected = 0
    for category in range(0, 1000, 5):
        try:
            VisualAtom.draw(rng, category).render(rng, 80, 208)
        except Rejected:
            rejected += 1
    assert rejected <= 4


@pytest.mark.parametrize("category", [480, 488, 419, 899])  # of thin contours
def test_a_thin_class_is_not_rejected_in_a_large_image(category, rng):
    image = VisualAtom.draw(rng, category).render(rng, 2048, 2048)
    assert image.any()
