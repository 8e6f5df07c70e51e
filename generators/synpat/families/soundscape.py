"""Sound scenes: images with the structure of log-mel spectrograms, computed from formulas without any sound."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from synpat.family import Bounds, Family, Image

KINDS = ("tone", "melody", "voice", "noise", "clicks")
"""Kinds of events. The first three consist of partials, the others of noise."""
SHARES = (0.4, 0.1, 0.15, 0.25, 0.1)
"""How often each kind occurs among the events that do not dominate."""
REGISTERS = 3
"""Low, middle and high: thirds of the range of pitches or bands of an event."""
SPAN = 208
"""Frames in which one event dominates; a wider image has one for each such span."""
LOWEST, HIGHEST = 50.0, 8000.0
"""Lower edge of the first band and upper edge of the last, in Hz."""
PARTIALS = 160
"""Most partials of a tone: all below 8 kHz from a fundamental of 50 Hz on."""
SILENCE = 2.0**-23
"""Power that is added to each pixel before the logarithm, as front ends do."""
PAD = 8
"""Bands beyond either end of the image that lines may reach into."""
TAPS = 12
"""Bands that a line covers: 5 below the one it lies in, and 6 above."""
FRACTIONS = 32
"""Positions of a line inside a band that are told apart."""
HOLD = 4
"""Frames for which the filter of a voice stays the same."""
ATTACK = 8.0
"""Nepers by which the power rises in an attack."""
RELEASE = 0.15
"""Nepers a frame by which the power falls after the end of an event."""

_REGISTER = math.log(2500 / 60) / REGISTERS  # nepers of the fundamental
_KNEE = math.log(1000)
_SLOPE = 27 / math.log(6.4)  # mel per neper of frequency above 1 kHz


def mel(hertz: float) -> float:
    """Return a frequency on Slaney's mel scale: linear below 1 kHz, logarithmic above."""
    return hertz * 3 / 200 if hertz < 1000 else 15 + _SLOPE * (math.log(hertz) - _KNEE)


_MEL_LOW, _MEL_HIGH = mel(LOWEST), mel(HIGHEST)

# The tables hold float32, which hides the last bit, in which mathematical libraries differ.
_DEGREES = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
_SCORES = 256
"""Normal scores from -4 to 4 at which the grain is tabulated."""


def _normal_table() -> NDArray[np.float32]:
    """Quantiles of the normal distribution at the centres of 4096 equal parts."""
    x = np.linspace(-6, 6, 24001)
    below = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
    return np.interp((np.arange(4096) + 0.5) / 4096, below, x).astype(np.float32)


def _normal_scores() -> NDArray[np.float64]:
    """Values of a standard normal variable at which the grain is tabulated: [score]."""
    return (np.arange(_SCORES) + 0.5) / _SCORES * 8 - 4


def _grain_table() -> NDArray[np.float32]:
    """Logarithms of the mean of k unit exponentials at the normal scores: [k in _DEGREES, score]."""
    below = np.array([0.5 * math.erfc(-score / math.sqrt(2)) for score in _normal_scores()])
    logs = np.linspace(-16, 4, 20001)
    table = np.empty((len(_DEGREES), _SCORES))
    for row, k in enumerate(_DEGREES):
        density = np.exp(k * logs - k * np.exp(logs))  # of the logarithm of the mean
        cumulative = np.cumsum(density)
        table[row] = np.interp(below, cumulative / cumulative[-1], logs)
    return table.astype(np.float32)


def _grain_means(grain: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the logarithms of each row of the table of the grain."""
    return np.average(grain, axis=1, weights=np.exp(-0.5 * _normal_scores() ** 2)).astype(np.float32)


def _line_table() -> NDArray[np.float32]:
    """Power of a line in the bands around it: [width, fraction of a band, band]."""
    distance = np.arange(TAPS) - 5 - ((np.arange(FRACTIONS) + 0.5) / FRACTIONS)[:, None]
    return np.exp(-0.5 * (distance / _LINE_WIDTHS[:, None, None]) ** 2).astype(np.float32)


_LINE_WIDTHS = 0.4 + 0.07 * np.arange(16)
"""Standard deviations of lines, in bands."""
_NARROW = 6
"""The first so many of them, up to 0.75, need only eight taps."""
_NORMAL, _GRAIN, _LINE = _normal_table(), _grain_table(), _line_table()
_GRAIN_MEAN = _grain_means(_GRAIN)
_COSINE = np.cos(np.arange(4096) * (2 * np.pi / 4096)).astype(np.float32)
_LN = np.log(1 + (np.arange(4096) + 0.5) / 4096).astype(np.float32)
_LN_NUMBER = np.log(np.maximum(np.arange(PARTIALS + 1), 1)).astype(np.float32)
_POWER_OF_2 = 2.0 ** np.arange(-150, 151)
_SCALES = np.array([[0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 10], [0, 2, 4, 7, 9, 12, 14]])
"""Semitones of the major, the minor and the pentatonic scale."""


@dataclass(frozen=True, kw_only=True)
class Soundscape(Family):
    """A scene of sound events as a log-mel spectrogram; a class is the kind and the register of the loudest event.

    The image models the mel spectrogram of a scene of several sound sources. Row 0 is the lowest of the mel bands,
    which divide 50 to 8000 Hz evenly on the scale of Slaney, "Auditory Toolbox", version 2, 1998. A column is a frame
    of 10 ms. The power of all sources is added, and the image is its logarithm.

    The sources are harmonic tones, melodies and chords, syllables (source and filter, after Fant, "Acoustic theory of
    speech production", 1960), bands of noise, and clicks. A partial of a stiff string lies at k sqrt(1 + B k^2) times
    the fundamental (Fletcher and Rossing, "The physics of musical instruments", 1991). Attacks, decays and
    reverberation are straight lines in the logarithm. Noise has the distribution of a band that averages k independent
    bins of a spectrum: a chi-square law with 2 k degrees of freedom.

    No recording was used, neither for the images nor for any range: the ranges follow from textbook acoustics (pitches,
    formants, decay times, and the resolution of a window of 25 ms).
    """

    source: ClassVar[str] = "synpat; Slaney, Auditory Toolbox, version 2, 1998, for the mel scale"
    categories: ClassVar[int] = len(KINDS) * REGISTERS
    bounds: ClassVar[Bounds] = {
        "kind": (0, len(KINDS) - 1),
        "register": (0, REGISTERS - 1),
        "events": (0, 64),
        "floor": (-20, 0),
        "tilt": (-10, 10),
        "grain": (0, 2),
        "repetition": (0, 1),
        "wander": (0, 1),
        "reverberation": (0, 10),
        "dynamic_range": (10, 200),
    }

    kind: int
    """Kind of the loudest event: 0 tone, 1 melody, 2 voice, 3 noise, 4 clicks."""
    register: int
    """Register of the loudest event: 0 low, 1 middle, 2 high."""
    events: int
    """Further events for every 208 frames, 0 to 64."""
    floor: float
    """Level of the background noise: natural logarithm of the power, -20 to 0; an event of gain 0 has a power of 1."""
    tilt: float
    """Increase of the log power of the background noise from the lowest to the highest band, -10 to 10."""
    grain: float
    """Strength of the random fluctuation of noise, an exponent, 0 to 2: 0 is smooth, 1 is a single analysis window."""
    repetition: float = 0.25
    """Share of the tones and bands of noise that are repeated at regular intervals, 0 to 1."""
    wander: float = 0.25
    """Share of the tones whose pitch follows a random walk, 0 to 1."""
    reverberation: float = 0.0
    """Reverberation time (RT60) of the lowest band in seconds, 0 to 10; 0 for none."""
    dynamic_range: float = 200.0
    """Dynamic range in decibels, 10 to 200: values further below the largest value are clipped."""
    smooth: bool = False
    """Replace the random fluctuation of noise by its mean logarithm. Everything else is the scene that the same seed
    paints without it, in the same grey levels: a target for training without what cannot be predicted."""

    @classmethod
    def draw(cls, rng: np.random.Generator, category: int) -> Self:
        kind, register = divmod(category, REGISTERS)
        u = rng.random(7).tolist()
        return cls(
            kind=kind,
            register=register,
            events=int(u[0] * 8),
            floor=-16 + 8 * u[1],
            tilt=-5 + 6 * u[2],
            grain=0.3 + 0.8 * u[3],
            reverberation=0.2 + 1.8 * (u[4] - 0.7) / 0.3 if u[4] > 0.7 else 0.0,
            dynamic_range=60 + 40 * u[6] if u[5] > 0.7 else 200.0,
        )

    def render(self, rng: np.random.Generator, height: int, width: int) -> Image:
        state = rng.integers(0, 1 << 63, 1, np.uint64)
        levels, low, high = self._levels(state.copy() if self.smooth else state, False, height, width)
        if self.smooth:
            levels, _, _ = self._levels(state, True, height, width)
        return _image(levels, low, high, height)

    def _levels(
        self, state: NDArray[np.uint64], smooth: bool, height: int, width: int
    ) -> tuple[NDArray[np.float32], Any, Any]:
        """Return what `_develop` returns."""
        scene = np.array([self.floor, self.tilt, self.grain, self.repetition, self.wander, smooth])
        power, background, table = _compose(
            state, self.kind, self.register, self.events, scene, np.array(SHARES), height, width
        )
        return _develop(state, power, background, table, self.reverberation, self.dynamic_range, height)


# Random numbers: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_0, _1, _2, _3, _4 = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
_20, _36, _52, _LOW_12 = np.uint64(20), np.uint64(36), np.uint64(52), np.uint64(4095)


@njit(cache=True, error_model="numpy")
def _bits(state):
    """Return 64 random bits. state: uint64 [1], advanced."""
    state[0] += _GOLDEN
    return _mixed(state[0])


@njit(cache=True, error_model="numpy")
def _mixed(z):
    """Return 64 bits of a counter, mixed."""
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    return z ^ (z >> _31)


@njit(cache=True, error_model="numpy")
def _uniform(state, low, high):
    """Return a uniform number between two."""
    return low + (high - low) * (np.float64(_bits(state) >> _11) * 2.0**-53)


@njit(cache=True, error_model="numpy")
def _normal(state):
    """Return a standard normal number."""
    return np.float64(_NORMAL[_bits(state) & _LOW_12])


@njit(cache=True, error_model="numpy")
def _log_uniform(state, low, high):
    """Return a number between two whose logarithm is uniform."""
    return _exp(_uniform(state, _log(low), _log(high)))


# Exponential and logarithm from sums and products alone, which are the same on every processor.


@njit(cache=True, error_model="numpy")
def _exp(x):
    """Return e^x with a relative error below 1e-9; x from -100 to 100, clipped."""
    x = min(max(x, -100.0), 100.0)
    n = math.floor(x * 1.4426950408889634 + 0.5)
    r = x - n * 0.6931471805599453
    p = 1 / 40320 * r + 1 / 5040
    p = ((((((p * r + 1 / 720) * r + 1 / 120) * r + 1 / 24) * r + 1 / 6) * r + 0.5) * r + 1) * r + 1
    return p * _POWER_OF_2[np.uint64(n + 150)]


@njit(cache=True, error_model="numpy")
def _exp_all(values, work):
    """Replace values, float32 [n] of at most 80, by their exponentials, with a relative error below 1e-6.

    Those below -80 are clipped. work: int32 [n].
    """
    for n in range(len(values)):
        x = max(values[n], np.float32(-80))
        whole = np.int32(x * np.float32(1.4426950) + np.float32(200.5)) - np.int32(200)
        # The first part of ln 2 has few bits, so that its product is exact.
        r = x - np.float32(whole) * np.float32(0.693359375) + np.float32(whole) * np.float32(2.1219444e-4)
        p = ((np.float32(1 / 120) * r + np.float32(1 / 24)) * r + np.float32(1 / 6)) * r + np.float32(0.5)
        values[n] = (p * r + np.float32(1)) * r + np.float32(1)
        work[n] = (whole + np.int32(127)) << 23
    powers = work.view(np.float32)
    for n in range(len(values)):
        values[n] *= powers[n]


@njit(cache=True, error_model="numpy")
def _log(x):
    """Return ln x with an error below 1e-9; x > 0."""
    m, n = math.frexp(x)  # 0.5 <= m < 1
    if m < 0.7071067811865476:
        m, n = 2 * m, n - 1
    z = (m - 1) / (m + 1)
    q = z * z
    s = ((((1 / 11 * q + 1 / 9) * q + 1 / 7) * q + 1 / 5) * q + 1 / 3) * q + 1
    return 2 * z * s + n * 0.6931471805599453


@njit(cache=True, error_model="numpy")
def _cosine(turns):
    """Return the cosine of an angle in turns."""
    return np.float64(_COSINE[int((turns - math.floor(turns)) * 4096) & 4095])


@njit(cache=True, error_model="numpy")
def _mel(hertz, ln_hertz):
    """Return a frequency and its logarithm, both float32, on Slaney's mel scale."""
    low = hertz * np.float32(0.015)
    return low if low < np.float32(15) else ln_hertz * np.float32(_SLOPE) + np.float32(15 - _SLOPE * _KNEE)


@njit(cache=True, error_model="numpy")
def _row(ln_hertz, height):
    """Return the row at which a frequency lies; integers are the centres of bands."""
    mels = _mel(np.float32(_exp(ln_hertz)), np.float32(ln_hertz))
    return (mels - _MEL_LOW) * (height + 1) / (_MEL_HIGH - _MEL_LOW) - 1


@njit(cache=True, error_model="numpy")
def _spacing(row, height):
    """Return the distance of neighbouring bands at a row in Hz."""
    step = (_MEL_HIGH - _MEL_LOW) / (height + 1)
    mels = _MEL_LOW + step * (row + 1)
    return step / 0.015 if mels < 15 else step / _SLOPE * 1000 * _exp((mels - 15) / _SLOPE)


@njit(cache=True, error_model="numpy")
def _compose(state, kind, register, events, scene, shares, height, width):
    """Paint the power of all events, and choose the background.

    state: uint64 [1], the random numbers, advanced. scene: floor, tilt, grain, repetition, wander and smooth of
    `Soundscape`. shares: see SHARES. Returns the power [width, height + 2 PAD] of the events, the mean power [height]
    of the background, both float32, and the table of the grain, see `_grain_rows`.
    """
    power = np.zeros((width, height + 2 * PAD), np.float32)
    background = _background(state, scene[0], scene[1], height)
    rows = _grain_rows(height)
    table = _grain_powers(scene[2], scene[5] > 0)
    lines = np.empty(height, np.int64)
    resolution = _uniform(state, 18.0, 34.0)  # Hz: the standard deviation of the main lobe of a window of 18 to 34 ms
    for y in range(height):
        wide = math.sqrt((resolution / _spacing(y, height)) ** 2 + 0.17)
        lines[y] = min(max(int((wide - 0.4) / 0.07 + 0.5), 0), len(_LINE_WIDTHS) - 1)
    for start in range(0, width, SPAN):
        loudest = _uniform(state, -2.0, 1.0)
        for n in range(1 + events):
            chosen, place, gain = kind, register, loudest
            if n > 0:
                pick, chosen, place = _uniform(state, 0.0, 1.0), 0, -1
                while chosen < len(shares) - 1 and pick >= shares[chosen]:
                    pick -= shares[chosen]
                    chosen += 1
                gain -= _uniform(state, 0.3, 8.0)
            # A single call, since numba compiles a function for each set of types, and True and False are two.
            _add_event(state, power, chosen, place, gain, n == 0, start, scene, background, rows, table, lines)
    return power, background, table


@njit(cache=True, error_model="numpy")
def _background(state, floor, tilt, height):
    """Return the mean power of the background noise in each row, float32 [height]: a tilt and up to three bumps."""
    levels = np.empty(height)
    for y in range(height):
        levels[y] = floor + tilt * y / height
    for _ in range(int(_uniform(state, 0.0, 4.0))):
        centre, wide = _uniform(state, 0.0, height), _uniform(state, 2.0, max(height / 2, 2.0))
        tall = _uniform(state, -3.0, 4.0)
        for y in range(height):
            levels[y] += tall * _exp(-0.5 * ((y - centre) / wide) ** 2)
    background = np.empty(height, np.float32)
    for y in range(height):
        background[y] = _exp(levels[y])
    return background


@njit(cache=True, error_model="numpy")
def _add_event(state, power, kind, register, gain, dominant, start, scene, background, rows, table, lines):
    """Add the power of one event.

    register: -1 for any. gain: nepers. start: first frame of the span that the event belongs to. The other arguments
    are those of `_compose` and what it prepares.
    """
    width, height = len(power), len(background)
    span = min(SPAN, width)
    if register < 0:
        register = int(_uniform(state, 0.0, REGISTERS))
    envelope, since = np.zeros(width, np.float32), np.zeros(width)
    onset = start + (_uniform(state, -0.2, 0.5) if dominant else _uniform(state, -0.3, 1.0)) * span
    duration = _log_uniform(state, 0.2 * span + 3 if dominant else 3.0, 1.5 * SPAN)
    if kind == 1:
        _add_melody(state, power, envelope, since, register, gain, onset, duration, background, lines)
        return
    if kind == 2:
        _add_voice(state, power, envelope, since, register, gain, onset, duration, background, rows, table, lines)
        return
    attack, decay = _log_uniform(state, 0.5, 30.0), _log_uniform(state, 0.002, 0.3)
    if kind == 4:
        period, left, at = _log_uniform(state, 3.0, SPAN), int(_log_uniform(state, 1.0, 30.0)), onset
        decay, attack = _log_uniform(state, 0.06, 2.0), 0.5
        while left > 0 and at < width:
            _add_envelope(envelope, since, at, attack, decay, 1e9, gain + 0.4 * _normal(state))
            at += period * (1 + 0.1 * _normal(state))
            left -= 1
    elif _uniform(state, 0.0, 1.0) < scene[3]:
        period = _log_uniform(state, 8.0, 100.0)
        duration = period * _uniform(state, 0.2, 1.0)
        attack, decay, at = min(attack, duration / 2), max(decay, 1 / period), onset
        loudness = 0.5 * abs(_normal(state))
        for _ in range(int(_log_uniform(state, 2.0, 30.0))):
            if at >= width:
                break
            _add_envelope(envelope, since, at, attack, decay, duration, gain + loudness * _normal(state))
            at += period
    else:
        _add_envelope(envelope, since, onset, attack, decay, duration, gain)
    if kind == 0:
        _modulate(state, envelope, 0.15)
        _add_tone(state, power, envelope, since, register, scene[4], background, lines)
    else:
        if kind == 3:
            _modulate(state, envelope, 0.4)
        wide = _log_uniform(state, 1.5, float(max(height, 2))) if kind == 3 else height * _uniform(state, 0.2, 2.0)
        centre = height * (register + _uniform(state, 0.0, 1.0)) / REGISTERS
        drift = 0.2 * _normal(state) if kind == 3 else 0.0
        _add_noise(state, power, envelope, centre, wide, drift, background, rows, table)


@njit(cache=True, error_model="numpy")
def _add_envelope(envelope, since, onset, attack, decay, duration, gain):
    """Add a rise and straight decays, in nepers, to the power of an event.

    envelope: float32 [width]. since: float64 [width], set to the frames since the onset. onset, attack, duration:
    frames. decay: nepers a frame. gain: nepers at the onset of a decay without an attack.
    """
    start = math.ceil(onset)
    if attack < 1 and 0 < start <= len(envelope):
        # The window of the frame before covers a part of the onset.
        share = 1 - (onset - (start - 1))
        envelope[start - 1] += np.float32(0.5 * share**4 * _exp(gain))
    for x in range(max(start, 0), len(envelope)):
        t = x - onset
        level = gain - decay * t
        if t < attack:
            level -= ATTACK * (1 - t / attack)
        if t > duration:
            level -= RELEASE * (t - duration)
        if level < -20 and t > attack:
            break
        envelope[x] += np.float32(_exp(level))
        since[x] = t


@njit(cache=True, error_model="numpy")
def _modulate(state, envelope, share):
    """Multiply an envelope by a periodic amplitude in this share of the events."""
    if _uniform(state, 0.0, 1.0) >= share:
        return
    depth, rate = _uniform(state, 0.0, 3.0), _log_uniform(state, 0.02, 1.0) / (2 * math.pi)
    turns = _uniform(state, 0.0, 1.0)
    for x in range(len(envelope)):
        if envelope[x] > 0:
            envelope[x] *= np.float32(_exp(-0.5 * depth * (1 + _cosine(turns + rate * x))))


@njit(cache=True, error_model="numpy")
def _timbre(state, lowest, voiced):
    """Return the partials of a tone: their ratios to the fundamental, the logarithms of these, and their powers.

    lowest: the lowest fundamental in Hz; partials that it puts above 8 kHz are left out. voiced: whether the tone is
    that of a voice, whose partials are harmonic, complete and even, and fall more steeply. The last result, fading, is
    the nepers a frame by which the power of the first partial, and twice that of the second one, falls beside the
    envelope; and the distance of the numbers of the partials, 1 or 2.
    """
    pick = int(_uniform(state, 0.0, 4.0))
    stiffness = 0.0 if pick < 2 else (3e-4 if pick == 2 else 3e-3)
    tilt, rough = _uniform(state, 0.2, 3.0), _uniform(state, 0.0, 1.5)
    step = 2 if _uniform(state, 0.0, 1.0) < 0.2 else 1
    fading = _uniform(state, 0.0, 0.01)
    if voiced:
        stiffness, tilt, rough, step, fading = 0.0, 0.8 + tilt, 0.3 * rough, 1, 0.0
    ratios, ln_ratios = np.empty(PARTIALS), np.empty(PARTIALS)
    powers = np.empty(PARTIALS)
    count = 0
    for k in range(1, PARTIALS + 1, step):
        stretch = math.sqrt(1 + stiffness * k * k)
        if lowest * k * stretch > HIGHEST:
            break
        ratios[count] = k * stretch
        ln_ratios[count] = _LN_NUMBER[k] + (_log(stretch) if stiffness > 0 else 0.0)
        powers[count] = _exp(-tilt * _LN_NUMBER[k] + rough * _normal(state))
        count += 1
    return ratios[:count], ln_ratios[:count], powers[:count], fading, step


@njit(cache=True, error_model="numpy")
def _set_resonances(levels, centres, wides, talls, count):
    """Set levels, float32 [height], to the power of a filter with resonances: rows, half widths in rows, nepers."""
    levels[:] = 0
    for n in range(count):
        centre, narrow, tall = np.float32(centres[n]), np.float32(1 / wides[n]), np.float32(talls[n])
        for y in range(len(levels)):
            d = (np.float32(y) - centre) * narrow
            levels[y] += tall / (np.float32(1) + d * d)
    _exp_all(levels, np.empty(len(levels), np.int32))


@njit(cache=True, error_model="numpy")
def _still_filter(state, height):
    """Return a filter of 0 to 4 random resonances that do not move: float32 [1, height]."""
    centres, wides, talls = np.empty(4), np.empty(4), np.empty(4)
    count = int(_uniform(state, 0.0, 5.0))
    for n in range(count):
        ln_hertz = _uniform(state, _log(200.0), _log(7000.0))
        centres[n] = _row(ln_hertz, height)
        wides[n] = height * _log_uniform(state, 0.02, 0.2)
        talls[n] = _uniform(state, 0.0, 5.0)
    filters = np.empty((1, height), np.float32)
    _set_resonances(filters[0], centres, wides, talls, count)
    return filters


@njit(cache=True, error_model="numpy")
def _add_tone(state, power, envelope, since, register, wander, background, lines):
    """Add a single tone with an envelope; its pitch may glide, vibrate and wander."""
    width, height = len(power), len(background)
    base = _log(60.0) + _REGISTER * (register + _uniform(state, 0.0, 1.0))
    glide = vibrato = rate = step = 0.0
    if _uniform(state, 0.0, 1.0) < 0.75:
        glide, vibrato = 0.3 * _normal(state) / SPAN, abs(0.02 * _normal(state))
        rate = _uniform(state, 0.02, 0.5) / (2 * math.pi)
    if _uniform(state, 0.0, 1.0) < wander:
        glide, step = 8 * glide, _log_uniform(state, 0.002, 0.05)
    turns = _uniform(state, 0.0, 1.0)
    pitches = np.empty(width)
    slope = away = 0.0
    for x in range(width):
        if step > 0:
            slope = 0.9 * slope + 0.4 * step * _normal(state)
            away = 0.98 * away + slope
        pitches[x] = base + glide * since[x] + vibrato * _cosine(turns + rate * x) + away
        pitches[x] = min(max(pitches[x], 3.95), 8.7)  # 52 to 6000 Hz
    timbre = _timbre(state, 60.0 if step > 0 else _exp(base) / 1.5, False)
    filters = _still_filter(state, height)
    _add_partials(power, np.int64(0), width, envelope, since, pitches, timbre, filters, background, lines)


@njit(cache=True, error_model="numpy")
def _add_melody(state, power, envelope, since, register, gain, onset, duration, background, lines):
    """Add notes or chords of one timbre on a grid of onsets and semitones."""
    width, height = len(power), len(background)
    period, scale = _log_uniform(state, 7.0, 60.0), _SCALES[int(_uniform(state, 0.0, 3.0))]
    base = _log(60.0) + _REGISTER * (register + _uniform(state, 0.0, 0.8))
    attack, decay = _log_uniform(state, 0.5, 6.0), _log_uniform(state, 0.004, 0.2)
    voices = 1 if _uniform(state, 0.0, 1.0) < 0.6 else 2 + int(_uniform(state, 0.0, 3.0))
    timbre = _timbre(state, _exp(base) / 2, False)
    filters = _still_filter(state, height)
    pitches = np.empty(width)
    degree, at, end = 0, onset, min(onset + max(duration, 3 * period), width)
    while at < end:
        degree = min(max(degree + int(_uniform(state, -3.0, 4.0)), -4), 9)
        length = period * (0.5 if _uniform(state, 0.0, 1.0) < 0.3 else 1.0)
        sounding = 0 if _uniform(state, 0.0, 1.0) < 0.15 else voices
        for n in range(sounding):
            note = degree + 2 * n
            pitch = base + (scale[note % 7] + 12 * (note // 7)) * (0.6931471805599453 / 12)
            first, last = max(math.ceil(at), 0), min(int(at + length + 12), width)
            for x in range(first, last):
                envelope[x], pitches[x] = 0, min(pitch, 8.7)
            _add_envelope(envelope[: max(last, 0)], since, at, attack, decay, length, gain + 0.3 * _normal(state))
            _add_partials(power, first, last, envelope, since, pitches, timbre, filters, background, lines)
        at += length if _uniform(state, 0.0, 1.0) < 0.8 else 2 * length


@njit(cache=True, error_model="numpy")
def _add_voice(state, power, envelope, since, register, gain, onset, duration, background, rows, table, lines):
    """Add syllables: a burst of noise, then a tone whose resonances move from vowel to vowel."""
    width, height = len(power), len(background)
    base = _log(75.0) + 0.55 * (register + _uniform(state, 0.0, 1.0))  # 75 to 390 Hz
    tract = _uniform(state, -0.1, 0.2)  # nepers: shorter tracts have higher resonances
    period = _log_uniform(state, 12.0, 35.0)
    timbre = _timbre(state, _exp(base) / 1.7, True)
    pitches = np.full(width, base)
    filters = np.ones((width // HOLD + 1, height), np.float32)
    burst = np.zeros(width, np.float32)
    here, there, talls, wides = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    _vowel(state, here, tract, height)
    for n in range(4):
        talls[n], wides[n] = _uniform(state, 2.5, 5.0) - 0.4 * n, height * _uniform(state, 0.015, 0.04)
    centres = np.empty(4)
    slope = away = 0.0
    at, end = onset, min(onset + max(duration, 2 * period), width)
    while at < end:
        length = period * _uniform(state, 0.6, 1.4)
        _vowel(state, there, tract, height)
        attack, accent = _uniform(state, 1.0, 5.0), 0.5 * _normal(state)
        _add_envelope(envelope, since, at, attack, _uniform(state, 0.0, 0.05), 0.7 * length, gain + accent)
        first, last = max(math.ceil(at), 0), min(math.ceil(at + length), width)
        for x in range(first, last):
            slope = 0.85 * slope + 0.006 * _normal(state)
            away = 0.97 * away + slope
            pitches[x] = min(max(base + away + 0.1 * accent - 0.1 * (x - at) / length, 4.0), 6.5)
            if x % HOLD == 0 or x == first:
                t = min(1.6 * (x - at) / length, 1.0)
                t = t * t * (3 - 2 * t)
                for n in range(4):
                    centres[n] = here[n] + t * (there[n] - here[n])
                _set_resonances(filters[x // HOLD], centres, wides, talls, 4)
        if _uniform(state, 0.0, 1.0) < 0.6:
            burst[:] = 0
            noise = _uniform(state, 2.0, 12.0)
            _add_envelope(
                burst, since, at - noise, 1.0, _uniform(state, 0.0, 0.1), noise, gain + _uniform(state, -4.0, -0.5)
            )
            centre, wide = height * _uniform(state, 0.4, 1.0), height * _log_uniform(state, 0.06, 0.3)
            _add_noise(state, power, burst, centre, wide, 0.0, background, rows, table)
        here[:] = there
        at += length if _uniform(state, 0.0, 1.0) < 0.85 else length + period * _uniform(state, 0.5, 2.0)
    _add_partials(power, np.int64(0), width, envelope, since, pitches, timbre, filters, background, lines)


@njit(cache=True, error_model="numpy")
def _vowel(state, centres, tract, height):
    """Set the rows of the four resonances of a vowel. tract: nepers by which they lie higher."""
    first = _uniform(state, _log(270.0), _log(850.0))
    second = max(_uniform(state, _log(750.0), _log(2400.0)), first + 0.3)
    third = max(_uniform(state, _log(2300.0), _log(3100.0)), second + 0.15)
    for n in range(4):
        ln_hertz = tract + (first, second, third, third + 0.3)[n]
        centres[n] = _row(ln_hertz, height)


@njit(cache=True, error_model="numpy")
def _add_partials(power, first, last, envelope, since, pitches, timbre, filters, background, lines):
    """Add the lines of a tone to the power of frames first to last.

    pitches: float64 [width], logarithm of the fundamental in Hz. timbre: see `_timbre`. filters: float32 [1, height],
    or one for every HOLD frames. A line far below the background is left out.
    """
    height = len(background)
    ratios, ln_ratios, powers, fading, step = timbre
    faint = background * np.float32(0.04)
    frames = np.empty(max(last - first, 0), np.int64)
    count = 0
    for x in range(first, last):
        frames[count] = x
        count += envelope[x] > 0
    pitch, fundamental = np.empty(count, np.float32), np.empty(count, np.float32)
    loud, fade, rows = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.float32)
    lowest = HIGHEST
    for n in range(count):
        x = frames[n]
        pitch[n], fundamental[n] = pitches[x], _exp(pitches[x])
        lowest = min(lowest, fundamental[n])
        fade[n] = _exp(-fading * since[x])
        loud[n] = envelope[x] * fade[n]
        if step == 2:
            fade[n] *= fade[n]
    still = len(filters) == 1
    scale = np.float32((height + 1) / (_MEL_HIGH - _MEL_LOW))
    offset = np.float32(PAD - 1 - _MEL_LOW * scale)
    top = np.float32(PAD + height)
    for k in range(len(ratios)):  # partial by partial, because adding overlapping lines in turn would stall
        if lowest * ratios[k] >= HIGHEST:
            break
        ratio, ln_ratio, strength = np.float32(ratios[k]), np.float32(ln_ratios[k]), np.float32(powers[k])
        for n in range(count):
            rows[n] = _mel(fundamental[n] * ratio, pitch[n] + ln_ratio) * scale + offset  # counted from -PAD
        for n in range(count):
            if rows[n] >= top:
                continue
            below, x = int(rows[n]), frames[n]
            y = min(max(below - PAD, 0), height - 1)
            amount = loud[n] * strength * filters[0 if still else x // HOLD, y]
            if amount > faint[y]:
                part = int((rows[n] - np.float32(below)) * np.float32(FRACTIONS))
                if lines[y] < _NARROW:
                    _add_line(power, x, below - 5, lines[y], part, amount, _2, np.uint64(10))
                else:
                    _add_line(power, x, below - 5, lines[y], part, amount, _0, np.uint64(TAPS))
        if fading > 0:
            for n in range(count):
                loud[n] *= fade[n]


@njit(cache=True, error_model="numpy")
def _add_line(power, x, bottom, width, part, amount, first, last):
    """Add the taps first to last of a line, times its power, to the bands from `bottom` on of frame x."""
    # Unsigned, so that no index can count from the end, and the loop is vectorised.
    x, bottom, width, part = np.uint64(x), np.uint64(bottom), np.uint64(width), np.uint64(part)
    for n in range(first, last):
        power[x, bottom + n] += amount * _LINE[width, part, n]


@njit(cache=True, error_model="numpy")
def _add_noise(state, power, envelope, centre, wide, drift, background, rows, table):
    """Add a band of noise: a bell over rows with an envelope over frames, times the grain.

    centre, wide: rows. drift: rows a frame. rows, table: see `_grain_rows`.
    """
    width, height = len(power), len(background)
    scores, mixed = np.zeros((2, height + 1), np.float32), np.empty(height + 1, np.float32)
    places, noise = np.empty(height, np.int32), np.empty(height, np.float32)
    bell, work = np.empty(height, np.float32), np.empty(height, np.int32)
    narrow = np.float32(1 / wide)
    first = next_bell = -1
    low = high = 0
    for x in range(width):
        loud = envelope[x]
        if loud <= 0:
            continue
        if x >= next_bell:
            first = x if first < 0 else first
            middle = centre + drift * (x - first)
            low, high = max(int(middle - 4 * wide), 0), min(int(middle + 4 * wide) + 2, height)
            for y in range(height):
                d = (np.float32(y) - np.float32(middle)) * narrow
                bell[y] = np.float32(-0.5) * d * d
            _exp_all(bell, work)
            next_bell = x + HOLD if drift != 0 else width
        if low >= high:
            continue
        _fill_grain(state, scores, mixed, places, noise, x, low, high, rows, table)
        frame = power[x, PAD : PAD + height]
        for y in range(np.uint64(low), np.uint64(high)):
            frame[y] += loud * noise[y] * bell[y]


@njit(cache=True, error_model="numpy")
def _grain_rows(height):
    """Return where the row of the grain's table for each band starts, int32 [height].

    A band averages about as many independent bins of 60 Hz as it is wide. The table, float32 [_DEGREES, _SCORES],
    holds powers of the grain at normal scores.
    """
    rows = np.empty(height, np.int32)
    for y in range(height):
        degrees = 1 + _spacing(y, height) / 60
        best = 0
        for n in range(len(_DEGREES)):
            if abs(_DEGREES[n] - degrees) < abs(_DEGREES[best] - degrees):
                best = n
        rows[y] = best * _SCORES
    return rows


@njit(cache=True, error_model="numpy")
def _grain_powers(exponent, smooth):
    """Return the table of the grain to a power; if it is smooth, of its geometric mean."""
    table = np.empty((len(_DEGREES), _SCORES), np.float32)
    for k in range(len(_DEGREES)):
        for n in range(_SCORES):
            table[k, n] = _exp(exponent * (_GRAIN_MEAN[k] if smooth else _GRAIN[k, n]))
    return table


@njit(cache=True, error_model="numpy")
def _fill_grain(state, scores, mixed, places, grain, x, low, high, rows, table):
    """Set the grain of the bands low to high of a frame.

    scores: float32 [2, height + 1], the normal numbers of this frame and the last one, that of band y at y + 1. mixed:
    float32 [height + 1], places: int32 [height], work space. Neighbouring frames share part of their window, and
    neighbouring bands part of their bins: their scores have correlations of 0.3 and 0.25.
    """
    here, before = scores[x % 2], scores[(x + 1) % 2]
    _fill_normal(state, here, low, high + 1)
    a, b = np.float32(0.944), np.float32(0.330)
    c, d = np.float32(0.966 * _SCORES / 8), np.float32(0.259 * _SCORES / 8)
    for y in range(np.uint64(low), np.uint64(high + 1)):
        mixed[y] = a * here[y] + b * before[y]
    flat = table.reshape(-1)
    for y in range(np.uint64(low), np.uint64(high)):
        score = c * mixed[y + _1] + d * mixed[y] + np.float32(_SCORES / 2)
        places[y] = rows[y] + np.int32(min(max(score, np.float32(0)), np.float32(_SCORES - 1)))
    for y in range(np.uint64(low), np.uint64(high)):  # a loop of its own, so that the one above is vectorised
        grain[y] = flat[np.uint32(places[y])]


@njit(cache=True, error_model="numpy")
def _fill_normal(state, numbers, low, high):
    """Set the numbers low to high, float32, to normal ones: four from each 64 bits."""
    first, base = np.uint64(low), state[0]
    fours = np.uint64(high - low) >> _2
    for n in range(fours):
        bits = _mixed(base + (n + _1) * _GOLDEN)
        y = first + _4 * n
        numbers[y] = _NORMAL[bits >> _52]
        numbers[y + _1] = _NORMAL[(bits >> _36) & _LOW_12]
        numbers[y + _2] = _NORMAL[(bits >> _20) & _LOW_12]
        numbers[y + _3] = _NORMAL[(bits >> _4) & _LOW_12]
    state[0] = base + fours * _GOLDEN
    for y in range(first + _4 * fours, np.uint64(high)):
        numbers[y] = _NORMAL[_bits(state) >> _52]


@njit(cache=True, error_model="numpy")
def _develop(state, power, background, table, reverberation, dynamic_range, height):
    """Add reverberation and background to the power of events.

    Returns the total power, float32 [width, height], and the logarithms that are painted as 0 and as 255. The other
    arguments are those of `Soundscape` and the results of `_compose`.
    """
    width = len(power)
    rows = _grain_rows(height)
    tail, keep = np.zeros(height, np.float32), np.zeros(height, np.float32)
    wet = np.float32(0)
    if reverberation > 0:
        wet = np.float32(_exp(_uniform(state, -5.0, -1.5)))
        for y in range(height):  # 60 dB are 13.8 nepers; air and walls absorb more of high frequencies
            keep[y] = _exp(-0.138 / reverberation * (1 + y / height))
    scores, mixed = np.zeros((2, height + 1), np.float32), np.empty(height + 1, np.float32)
    places, grain = np.empty(height, np.int32), np.empty(height, np.float32)
    levels = np.empty((width, height), np.float32)
    bits = levels.view(np.int32)  # positive numbers compare as their bits do, which is faster
    least, most = np.int32(0x7F800000), np.int32(0)
    for x in range(width):
        _fill_grain(state, scores, mixed, places, grain, x, 0, height, rows, table)
        dry, total = power[x, PAD : PAD + height], levels[x]
        if wet > 0:
            for y in range(height):
                tail[y] = keep[y] * (tail[y] + wet * dry[y])
        for y in range(height):
            total[y] = dry[y] + (background[y] + tail[y]) * grain[y] + np.float32(SILENCE)
        line = bits[x]
        for y in range(height):
            least, most = min(least, line[y]), max(most, line[y])
    high = _quick_log(most)
    low = max(_quick_log(least), high - np.float32(dynamic_range * 0.2302585))
    return levels, low, high


@njit(cache=True, error_model="numpy")
def _image(levels, low, high, height):
    """Return the uint8 image [height, width] of the logarithm of a power.

    levels, low, high: results of `_develop`. levels is overwritten.
    """
    width, low, high = len(levels), np.float32(low), np.float32(high)
    bits, places = levels.view(np.int32), np.empty(height, np.int32)
    scale = np.float32(255) / max(high - low, np.float32(1e-20))
    image, greys = np.empty((height, width), np.uint8), np.empty((width, height), np.uint8)
    for x in range(width):
        line, level, grey = bits[x], levels[x], greys[x]
        for y in range(height):
            places[y] = (line[y] >> 11) & 4095
            level[y] = np.float32((line[y] >> 23) - 127) * np.float32(0.6931472) - low
        for y in range(height):
            value = (level[y] + _LN[np.uint32(places[y])]) * scale + np.float32(0.5)
            grey[y] = np.uint8(np.int32(min(max(value, np.float32(0.5)), np.float32(255.5))))
    for left in range(0, width, 16):
        for y in range(height):
            for x in range(np.uint64(left), np.uint64(min(left + 16, width))):
                image[y, x] = greys[x, y]
    return image


@njit(cache=True, error_model="numpy")
def _quick_log(bits):
    """Return the logarithm of a positive float32 from its bits, with an error below 2e-4."""
    return np.float32((bits >> 23) - 127) * np.float32(0.6931472) + _LN[(bits >> 11) & 4095]
