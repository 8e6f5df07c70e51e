"""Sound scenes against the acoustics that they model, computed here in another way."""

import math

import numpy as np
import pytest
from scipy import special, stats

from synpat import paint
from synpat.families import soundscape
from synpat.families.soundscape import KINDS, PAD, REGISTERS, Soundscape

HEIGHT, WIDTH = 80, 208


def band_of(hertz: float, height: int = HEIGHT) -> float:
    """Row of a frequency: bands are centred at even distances in mel between 50 and 8000 Hz, both edges left out."""

    def mel(f: float) -> float:
        return 3 * f / 200 if f < 1000 else 15 + 27 * math.log(f / 1000) / math.log(6.4)

    return (mel(hertz) - mel(50)) / (mel(8000) - mel(50)) * (height + 1) - 1


def state(seed: int = 0) -> np.ndarray:
    return np.array([seed], np.uint64)


def tone(hertz: np.ndarray, ratios: np.ndarray, gain: float = 0.0, height: int = HEIGHT) -> np.ndarray:
    """Power [frames, height] of a tone of equal partials at ratios to the fundamental [frames]."""
    frames = len(hertz)
    power = np.zeros((frames, height + 2 * PAD), np.float32)
    timbre = (ratios.astype(float), np.log(ratios), np.ones(len(ratios)), 0.0, 1)
    flat = np.ones((1, height), np.float32)
    envelope = np.full(frames, math.exp(gain), np.float32)
    background, lines = np.full(height, 1e-9, np.float32), np.full(height, 3)
    since = np.arange(frames, dtype=float)
    soundscape._add_partials(power, 0, frames, envelope, since, np.log(hertz), timbre, flat, background, lines)
    return power[:, PAD:-PAD]


def developed(
    power: np.ndarray, background: np.ndarray, table: np.ndarray, reverberation: float, dynamic_range: float
) -> np.ndarray:
    """Image of the power of events."""
    levels = soundscape._develop(state(), power, background, table, reverberation, dynamic_range, HEIGHT)
    return soundscape._image(*levels, HEIGHT)


def peaks(frame: np.ndarray) -> list[float]:
    """Rows of the maxima of a frame, by a parabola through the logarithms around each: exact for a Gaussian."""
    log = np.log(frame + 1e-12)
    places = [y for y in range(1, len(log) - 1) if log[y - 1] < log[y] >= log[y + 1] and frame[y] > 0.1]
    return [y + (log[y - 1] - log[y + 1]) / (2 * (log[y - 1] - 2 * log[y] + log[y + 1])) for y in places]


@pytest.mark.parametrize("height", [80, 128])
@pytest.mark.parametrize("fundamental", [220.0, 443.7, 1234.5])
def test_partials_lie_at_the_rows_of_their_frequencies(fundamental: float, height: int):
    numbers = np.array([k for k in (1, 2, 3, 5) if k * fundamental < 7500])
    found = peaks(tone(np.full(3, fundamental), numbers, height=height)[1])
    assert found == pytest.approx([band_of(fundamental * k, height) for k in numbers], abs=0.1)


def test_a_glide_follows_the_scale():
    hertz = np.geomspace(300, 3000, 50)
    rows = [peaks(frame)[0] for frame in tone(hertz, np.array([1]))]
    assert rows == pytest.approx([band_of(f) for f in hertz], abs=0.1)


def test_partials_above_8_kilohertz_are_left_out():
    assert tone(np.full(2, 5000.0), np.array([1, 2]))[1].argmax() == round(band_of(5000))
    assert len(peaks(tone(np.full(2, 5000.0), np.array([1, 2]))[1])) == 1


def test_the_partials_of_a_stiff_string_are_stretched():
    for seed in range(40):
        ratios, logs, powers, _, step = soundscape._timbre(state(seed), 100.0, False)
        k = np.arange(1, step * len(ratios) + 1, step)
        stiffness = ((ratios / k) ** 2 - 1)[-1] / k[-1] ** 2
        assert min(abs(stiffness - b) for b in (0, 3e-4, 3e-3)) < 1e-9
        assert ratios == pytest.approx(k * np.sqrt(1 + stiffness * k**2))
        assert logs == pytest.approx(np.log(ratios), abs=1e-6)
        assert (powers > 0).all()


def test_the_partials_of_a_voice_are_harmonic_and_complete():
    for seed in range(10):
        ratios, _, _, fading, step = soundscape._timbre(state(seed), 100.0, True)
        assert np.array_equal(ratios, np.arange(1, 81))
        assert (fading, step) == (0, 1)


@pytest.mark.parametrize("decay", [0.01, 0.2])
def test_attack_decay_and_release_are_straight_lines_in_the_logarithm(decay: float):
    envelope, since = np.zeros(100, np.float32), np.zeros(100)
    soundscape._add_envelope(envelope, since, 10.0, 5.0, decay, 50.0, 1.5)
    assert not envelope[:10].any()
    slopes = np.diff(np.log(envelope[10:90].astype(float)))
    assert slopes[:4] == pytest.approx(soundscape.ATTACK / 5 - decay, abs=1e-4)
    assert slopes[6:49] == pytest.approx(-decay, abs=1e-4)
    assert slopes[52:] == pytest.approx(-decay - soundscape.RELEASE, abs=1e-4)
    assert np.log(envelope[16]) == pytest.approx(1.5 - 6 * decay, abs=1e-5)


def grains(exponent: float, frames: int = 4000) -> np.ndarray:
    """The grain of noise, [frames, HEIGHT]."""
    rows, table = soundscape._grain_rows(HEIGHT), soundscape._grain_powers(exponent, False)
    scores, mixed = np.zeros((2, HEIGHT + 1), np.float32), np.empty(HEIGHT + 1, np.float32)
    places, grain = np.empty(HEIGHT, np.int32), np.empty((frames, HEIGHT), np.float32)
    random = state(7)
    for x in range(frames):
        soundscape._fill_grain(random, scores, mixed, places, grain[x], x, 0, HEIGHT, rows, table)
    return grain[2:]


def test_grain_is_the_mean_of_k_exponentials():
    grain, starts = grains(1.0), soundscape._grain_rows(HEIGHT)
    degrees = np.array(soundscape._DEGREES)[starts // soundscape._SCORES]
    assert sorted(set(degrees.tolist())) == [1.5, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert grain.mean(0) == pytest.approx(1, abs=0.08)
    assert grain.var(0) * degrees == pytest.approx(1, abs=0.25)
    for y in (0, 40, 79):  # every third frame: neighbours are correlated
        distance = stats.kstest(grain[::3, y], stats.gamma(degrees[y], scale=1 / degrees[y]).cdf).statistic
        assert distance < 0.05


def test_neighbouring_grains_share_their_window_and_their_bins():
    scores = stats.norm.ppf(stats.rankdata(grains(1.0), axis=0) / 4000)
    assert np.mean([np.corrcoef(scores[1:, y], scores[:-1, y])[0, 1] for y in range(80)]) == pytest.approx(
        0.3, abs=0.03
    )
    assert np.mean([np.corrcoef(scores[2:, y], scores[:-2, y])[0, 1] for y in range(80)]) == pytest.approx(0, abs=0.02)
    assert np.mean([np.corrcoef(scores[:, y], scores[:, y + 1])[0, 1] for y in range(79)]) == pytest.approx(
        0.25, abs=0.03
    )


def test_the_exponent_flattens_the_grain():
    assert (grains(0.0, 50) == 1).all()
    assert np.log(grains(0.5, 50)) == pytest.approx(0.5 * np.log(grains(1.0, 50)), abs=1e-5)


def test_the_mean_logarithm_of_the_grain_is_that_of_the_gamma_law():
    k = np.array(soundscape._DEGREES)
    assert np.allclose(soundscape._GRAIN_MEAN, special.digamma(k) - np.log(k), atol=1e-3)


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_smooth_is_the_mean_of_the_scene_without_its_fluctuation(kind: int):
    scene = {"kind": kind, "register": 1, "events": 4, "floor": -9, "tilt": -2, "grain": 1}

    def painted(seed: int, smooth: bool) -> np.ndarray:
        pattern = Soundscape(**scene, smooth=smooth, reverberation=0.8)
        return pattern.render(np.random.default_rng(seed), HEIGHT, WIDTH).astype(float)

    pairs = [(painted(seed, False), painted(seed, True)) for seed in range(20)]
    assert np.mean([rough - smooth for rough, smooth in pairs]) == pytest.approx(0, abs=3)  # sums of noise vary less
    assert np.median([np.corrcoef(rough.ravel(), smooth.ravel())[0, 1] for rough, smooth in pairs]) > 0.9
    roughness, smoothness = (np.median([abs(np.diff(pair[n])) for pair in pairs]) for n in (0, 1))
    assert smoothness < 0.5 * roughness


def test_smooth_changes_nothing_without_grain():
    scene = {"kind": 3, "register": 0, "events": 5, "floor": -9, "tilt": 0, "grain": 0}
    rough, smooth = (
        Soundscape(**scene, smooth=smooth).render(np.random.default_rng(3), HEIGHT, WIDTH) for smooth in (False, True)
    )
    assert np.array_equal(rough, smooth)


def test_powers_of_events_add_up():
    first, second = tone(np.full(4, 400.0), np.array([1, 2])), tone(np.full(4, 430.0), np.array([1, 2]), gain=1.0)
    power = np.zeros((4, HEIGHT + 2 * PAD), np.float32)
    for hertz, gain in ((400.0, 0.0), (430.0, 1.0)):
        power[:, PAD:-PAD] += tone(np.full(4, hertz), np.array([1, 2]), gain)
    assert power[:, PAD:-PAD] == pytest.approx(first + second)
    background, table = np.full(HEIGHT, 1e-4, np.float32), soundscape._grain_powers(0.0, False)
    image = developed(power, background, table, 0.0, 200.0)
    log = np.log(first + second + np.float32(1e-4)).T
    expected = (log - log.min()) / (log.max() - log.min()) * 255
    assert image == pytest.approx(expected, abs=0.51)


def test_reverberation_falls_by_60_decibels_in_its_time():
    power = np.zeros((150, HEIGHT + 2 * PAD), np.float32)
    power[10] = 1e6
    background, table = np.full(HEIGHT, 1e-6, np.float32), soundscape._grain_powers(0.0, False)
    image = developed(power, background, table, 1.0, 200.0)
    nepers = image[0].astype(float) * (math.log(1e6) - math.log(1e-6 + 2.0**-23)) / 255
    assert nepers[20] - nepers[120] == pytest.approx(13.8, abs=0.2)
    assert np.diff(nepers[20:120]) == pytest.approx(-0.138, abs=0.12)  # of whole grey levels


def test_the_dynamic_range_clips_at_a_floor():
    power = np.zeros((20, HEIGHT + 2 * PAD), np.float32)
    power[:, PAD:-PAD] = np.exp(np.linspace(-14, 0, HEIGHT))
    background, table = np.full(HEIGHT, 1e-9, np.float32), soundscape._grain_powers(0.0, False)
    image = developed(power, background, table, 0.0, 30.0)
    level = np.linspace(-14, 0, HEIGHT)
    expected = np.clip(255 * (1 + level / (30 * math.log(10) / 10)), 0, 255)
    assert image[:, 5] == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("kind", [kind for kind, name in enumerate(KINDS) if name != "voice"])
def test_a_higher_register_lies_higher_in_the_image(kind: int):
    def centre(register: int) -> float:
        pattern = Soundscape(kind=kind, register=register, events=0, floor=-16, tilt=0, grain=1)
        images = [pattern.render(np.random.default_rng(seed), HEIGHT, WIDTH).astype(float) for seed in range(60)]
        weights = np.mean([(image**4).sum(1) / (image**4).sum() for image in images], axis=0)
        return float((np.arange(HEIGHT) * weights).sum())

    low, middle, high = (centre(register) for register in range(REGISTERS))
    assert low < middle < high


def test_a_higher_voice_has_fewer_partials():
    def lines(register: int) -> float:
        pattern = Soundscape(kind=KINDS.index("voice"), register=register, events=0, floor=-16, tilt=0, grain=0)
        images = [pattern.render(np.random.default_rng(seed), HEIGHT, WIDTH).astype(int) for seed in range(40)]
        inner = [image[1:29][(image[1:29] > image[:28] + 2) & (image[1:29] > image[2:30] + 2)] for image in images]
        return sum(map(len, inner)) / sum((image.max(0) > 128).sum() for image in images)

    assert lines(1) > 1.2 * lines(2)  # those of the lowest register lie too close to be told apart


def test_a_class_is_the_kind_and_the_register_of_the_loudest_event():
    for category in range(Soundscape.categories):
        parameters = paint("soundscape", 0, category, HEIGHT, WIDTH).parameters
        assert (parameters["kind"], parameters["register"]) == divmod(category, REGISTERS)


def test_a_wide_image_has_events_all_over_it():
    pattern = Soundscape(kind=3, register=1, events=1, floor=-16, tilt=0, grain=1)
    images = [pattern.render(np.random.default_rng(seed), 128, 1024).astype(float) for seed in range(10)]
    loudness = np.mean(images, axis=(0, 1)).reshape(4, 256).mean(1)
    assert loudness.min() > 0.4 * loudness.max()


def test_every_image_uses_the_range_of_grey():
    for index in range(30):
        image = paint("soundscape", 1, index, HEIGHT, WIDTH).image
        assert (image.min(), image.max()) == (0, 255)


def test_exponential_and_logarithm():
    x = np.linspace(-40, 40, 401)
    assert [soundscape._exp(v) for v in x] == pytest.approx(np.exp(x), rel=1e-8)
    assert [soundscape._log(v) for v in np.exp(x)] == pytest.approx(x, abs=1e-8)
    values, work = x.astype(np.float32), np.empty(len(x), np.int32)
    soundscape._exp_all(values, work)
    assert values == pytest.approx(np.exp(x), rel=1e-5)
