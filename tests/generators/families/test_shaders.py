"""Procedural programs: operations compared with their formulas, and programs that are not flat."""

import numpy as np
import pytest

from synpat.families import shaders
from synpat.families.shaders import (
    FIRST_IS_FLAT,
    Program,
    Shaders,
    is_flat,
    random_program,
    run,
)
from synpat.family import Rejected, category_generator


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def plane(rng) -> np.ndarray:
    """Return the coordinates (u, v) of a thousand random positions, float32 [2, 1000]."""
    return rng.uniform(-2, 2, (2, 1000)).astype(np.float32)


def _turned(operation: int, plane: np.ndarray, *p: float) -> np.ndarray:
    result = np.empty_like(plane)
    shaders._turn_plane(operation, result[0], result[1], plane[0], plane[1], _numbers(*p))
    return result


def _read(operation: int, plane: np.ndarray, *p: float) -> np.ndarray:
    result = np.empty_like(plane[0])
    scratch = np.empty((2, len(result)), np.float32)
    shaders._read_plane(operation, result, plane[0], plane[1], _numbers(*p), scratch)
    return result


def _bent(operation: int, values: np.ndarray, *p: float) -> np.ndarray:
    result = np.empty_like(values)
    shaders._bend(operation, result, values, _numbers(*p))
    return result


def _numbers(*p: float) -> np.ndarray:
    return np.array([*p, *[0] * (shaders.NUMBERS - len(p))], np.float32)


def _noise(plane: np.ndarray, frequency: float, octaves: int, gradient: bool) -> np.ndarray:
    result = np.empty_like(plane[0])
    shaders._noise(result, plane[0], plane[1], _numbers(frequency), octaves, np.uint32(5), gradient)
    return result


def test_sine_and_angle_agree_with_numpy():
    turns = np.linspace(-3, 3, 2001, dtype=np.float32)
    assert np.allclose([shaders._sine(t) for t in turns], np.sin(2 * np.pi * turns), atol=3e-6)
    angle = np.linspace(-np.pi, np.pi, 721)
    y, x = np.sin(angle).astype(np.float32), np.cos(angle).astype(np.float32)
    actual = [shaders._half_angle(b, a) for b, a in zip(y, x, strict=True)]
    assert np.allclose(actual, np.abs(angle) / (2 * np.pi), atol=3e-6)


def test_transforms_of_planes_agree_with_complex_arithmetic(plane):
    z = plane[0] + 1j * plane[1]
    cases = {
        shaders.ROTATE: ((0.15, 1.3, 0.2, -0.4), 1.3 * z * np.exp(0.3j * np.pi) + 0.2 - 0.4j),
        shaders.SQUARE: ((0.3, -0.2), z**2 + 0.3 - 0.2j),
        shaders.INVERT: ((0.7, 0.2), 0.7 * z / (np.abs(z) ** 2 + 0.2)),
        shaders.SWIRL: ((0.5, 2.0), z * np.exp(1j * np.pi / (1 + 2 * np.abs(z) ** 2))),
        shaders.POLAR: ((1.5, 0.1, 2.0), 1.5 * np.abs(z) + 0.1 + 4j * np.abs(np.angle(z)) / (2 * np.pi)),
    }
    for operation, (p, expected) in cases.items():
        assert np.allclose(_turned(operation, plane, *p), [expected.real, expected.imag], atol=2e-4)


def test_a_fold_mirrors_one_side_onto_the_other(plane):
    folded = _turned(shaders.FOLD, plane, 0.1, 0.2)
    side = np.cos(0.2 * np.pi) * folded[0] + np.sin(0.2 * np.pi) * folded[1]
    assert side.min() >= 0.2 - 1e-5
    assert np.allclose(_turned(shaders.FOLD, folded, 0.1, 0.2), folded, atol=1e-5)


def test_tilings_are_periodic_and_mirrored_ones_continuous():
    ramp = np.stack([np.linspace(-3, 3, 6001, dtype=np.float32)] * 2)
    for operation, period in ((shaders.TILE, 1), (shaders.MIRROR, 2)):
        tiled, later = (_turned(operation, ramp + shift, 1, 0.3, 1, 0.3) for shift in (0, np.float32(period)))
        assert tiled.min() >= -1 - 1e-5
        assert tiled.max() <= 1 + 1e-5
        same = np.abs(tiled - later) < 1e-4
        assert same.mean() > 0.998  # rounding may shift a jump by one position
    assert np.abs(np.diff(_turned(shaders.MIRROR, ramp, 1, 0.3, 1, 0.3))).max() < 0.003


def test_sources_agree_with_their_formulas(plane):
    u, v = plane.astype(float)
    radius = np.hypot(u, v)
    assert np.allclose(_read(shaders.STRIPES, plane, 2, -1, 0.1), np.sin(2 * np.pi * (2 * u - v + 0.1)), atol=1e-4)
    assert np.allclose(_read(shaders.RINGS, plane, 2, 0.1), np.sin(2 * np.pi * (2 * radius + 0.1)), atol=1e-4)
    assert np.allclose(_read(shaders.DISC, plane, 0.5), radius - 0.5, atol=1e-5)
    assert np.allclose(_read(shaders.BOX, plane, 0.5, 0.3), np.maximum(np.abs(u) - 0.5, np.abs(v) - 0.3), atol=1e-5)


def test_orbits_stay_inside_the_filled_julia_set_or_escape():
    # For c = 0 the set is the unit disc.
    inside, outside = (np.array([[r], [0]], np.float32) for r in (0.5, 1.9))
    assert _read(shaders.TRAP, inside, 0, 0, 1)[0] == pytest.approx(-1, abs=0.01)
    assert _read(shaders.ESCAPE, inside, 0, 0, 1)[0] > 0.8
    assert _read(shaders.ESCAPE, outside, 0, 0, 1)[0] < -0.9


def test_curves_agree_with_their_formulas(rng):
    s = rng.uniform(-2, 2, 1000).astype(np.float32)
    assert np.allclose(_bent(shaders.SINE, s, 0.5, 0.1), np.sin(2 * np.pi * (0.5 * s + 0.1)), atol=1e-4)
    assert np.allclose(_bent(shaders.POWER, s), s * np.abs(s), atol=1e-5)
    assert np.allclose(_bent(shaders.ROOT, s), np.sqrt(np.abs(s)), atol=1e-5)
    assert np.allclose(_bent(shaders.SQUASH, s, 3), 3 * s / (1 + np.abs(3 * s)), atol=1e-5)
    step = _bent(shaders.STEP, s, -0.2, 0.5)
    assert np.all(step[s < -0.2] == -1)
    assert np.allclose(step[s > 0.3], 1)
    assert np.all(np.diff(step[np.argsort(s)]) >= -1e-6)


def test_gradient_noise_is_zero_on_the_lattice_and_smooth_between():
    lattice = np.stack(np.meshgrid(np.arange(-8, 8), np.arange(-8, 8))).reshape(2, -1).astype(np.float32)
    assert np.all(_noise(lattice, 1, 1, True) == 0)
    assert np.std(_noise(lattice, 1, 1, False)) > 0.3
    walk = np.stack([np.linspace(-5, 5, 10_001), np.full(10_001, 0.3)]).astype(np.float32)
    for gradient in (False, True):
        values = _noise(walk, 1, 4, gradient)
        assert np.abs(np.diff(values)).max() < 0.05
        assert np.std(values) > 0.15


def test_noise_has_mean_0(rng):
    plane = rng.uniform(-1000, 1000, (2, 100_000)).astype(np.float32)
    for gradient in (False, True):
        values = _noise(plane, 1, 3, gradient)
        assert np.mean(values) == pytest.approx(0, abs=0.01)
        assert np.abs(values).max() < 3


def test_cells_are_distances_to_scattered_points():
    y, x = np.mgrid[0:400, 0:400] / np.float32(40)
    result = np.empty(160_000, np.float32)
    shaders._cells(result, x.ravel(), y.ravel(), _numbers(1), np.uint32(3))
    distance = (result.reshape(400, 400) + 1) / 2
    # The slope of a distance is at most 1, and each of the 10 x 10 cells has a point.
    assert np.abs(np.diff(distance)).max() <= 1 / 40 + 1e-5
    lowest = distance.reshape(10, 40, 10, 40).min((1, 3))
    assert np.mean(lowest < 0.03) > 0.9


def test_the_virtual_machine_agrees_with_a_formula():
    moving = np.zeros((1, shaders.NUMBERS, 5))
    moving[0, :3, 0] = 1.5, 0.5, 0.2  # stripes whose phase increases by 0.1 per second
    moving[0, 2, 1] = 0.1
    colours = np.zeros((3, 4, 5))
    colours[:, :, 0] = [[0.5, 0.4, 0.3, 0.0], [0.5, 0.3, 0.6, 0.1], [0.4, 0.4, 0.2, 0.7]]
    program = Program(
        code=np.array([[shaders.STRIPES, 2, 0, 0, 0]], np.int32), numbers=moving, colours=colours, shape=2, shade=2
    )
    height, width, time = 40, 90, 3.0
    reach = np.sqrt(width / height)
    v, u = np.meshgrid(
        (np.arange(height) + 0.5) / height * 2 - 1, ((np.arange(width) + 0.5) / width * 2 - 1) * reach, indexing="ij"
    )
    stripes = np.sin(2 * np.pi * (1.5 * u + 0.5 * v + 0.2 + 0.1 * time))[:, :, None]
    middle, amplitude, frequency, phase = colours[:, :, 0].T
    expected = (0.75 + 0.25 * stripes) * (middle + amplitude * np.sin(2 * np.pi * (frequency * stripes + phase)))
    image = run(program, np.random.default_rng(0), height, width, time=time)
    assert np.abs(image - 255 * np.clip(expected, 0, 1)).max() < 0.51


def test_programs_have_10_to_60_steps_and_read_only_written_registers(rng):
    lengths = []
    for _ in range(100):
        code = random_program(rng).code
        lengths.append(len(code))
        for operation, out, a, b, c in code.tolist():
            reads = (a,) if operation not in (shaders.WARP, *shaders._COMBINERS) else (a, b)
            reads += (c,) if operation in (shaders.WARP, shaders.BLEND) else ()
            assert all(0 <= read < out for read in reads)
    assert min(lengths) >= 5
    assert max(lengths) <= 61
    assert 20 < np.mean(lengths) < 40


def test_the_result_of_every_step_is_used(rng):
    for _ in range(30):
        program = random_program(rng)
        used = {program.shape, program.shade}
        for operation, _, a, b, c in program.code.tolist():
            used |= {a, b, c} if operation in (shaders.WARP, *shaders._COMBINERS) else {a}
        assert set(program.code[:, 1].tolist()) <= used


def test_all_operations_occur(rng):
    seen = np.concatenate([random_program(rng).code[:, 0] for _ in range(300)])
    assert set(seen.tolist()) == set(shaders._CHOICES)


def test_the_categories_whose_first_program_is_flat_are_listed():
    flat = set()
    for category in range(Shaders.categories):
        rng = category_generator("shaders", category)
        if is_flat(random_program(rng), rng):
            flat.add(category)
    assert flat == FIRST_IS_FLAT


def test_a_class_determines_the_program_and_an_instance_the_time():
    early, late = (Shaders(category=4, time=time, jitter=0).render(np.random.default_rng(0), 64, 64) for time in (1, 8))
    assert np.array_equal(early, Shaders(category=4, time=1, jitter=0).render(np.random.default_rng(9), 64, 64))
    assert not np.array_equal(early, late)
    shaken = Shaders(category=4, time=1).render(np.random.default_rng(0), 64, 64)
    assert not np.array_equal(early, shaken)


def test_a_flat_image_is_rejected():
    flat = Program(
        code=np.array([[shaders.STRIPES, 2, 0, 0, 0]], np.int32),
        numbers=np.zeros((1, shaders.NUMBERS, 5)),
        colours=np.zeros((3, 4, 5)),
        shape=2,
        shade=2,
    )
    with pytest.raises(Rejected, match="flat"):
        run(flat, np.random.default_rng(0), 32, 32, time=1)


def test_an_image_that_is_not_finite_is_rejected():
    numbers = np.zeros((1, shaders.NUMBERS, 5))
    numbers[:, :, 0] = np.nan
    program = Program(
        code=np.array([[shaders.STRIPES, 2, 0, 0, 0]], np.int32),
        numbers=numbers,
        colours=np.ones((3, 4, 5)),
        shape=2,
        shade=2,
    )
    with pytest.raises(Rejected, match="not finite"):
        run(program, np.random.default_rng(0), 32, 32, time=1)


def test_few_draws_are_rejected(rng):
    rejected = 0
    for category in range(0, 1000, 10):
        try:
            image = Shaders.draw(rng, category).render(rng, 80, 208)
        except Rejected:
            rejected += 1
        else:
            assert len(np.unique(image.mean(2).astype(int))) >= 16
    assert rejected <= 3


def test_a_category_out_of_range_is_rejected():
    with pytest.raises(ValueError, match="category must be between 0 and 999, got 1000"):
        Shaders(category=1000, time=1.0).render(np.random.default_rng(0), 8, 8)
