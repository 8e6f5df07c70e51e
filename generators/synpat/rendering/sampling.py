"""Painting of one sample: a pure function of the family, its version, a seed, an index and a size."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any, get_type_hints

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import DTypeLike, NDArray

from synpat.families import FAMILIES, Image, Rejected, find_family
from synpat.painting.image import convert_mode, resized
from synpat_shards import LARGEST_SIDE, RESIZE_FILTERS, InputError, Sample

ATTEMPTS = 100
"""Maximum number of draws if a family rejects every one. No prior in synpat comes near it."""


TRUTH = {"true": True, "false": False}
"""Values of a bool on the command line."""


def sample(family: str, seed: int, index: int, height: int, width: int) -> Image:
    """Paint sample `index` of a family: uint8 [height, width], the same for the same arguments on every machine.

    family: a name in FAMILIES. seed, index: 0 or more. height (frequency) and width (time): pixels.
    Raises InputError for an unknown family, and for a seed, an index or a size that is not supported.
    """
    return paint(family, seed, index, height, width).image


def paint(
    family: str,
    seed: int,
    index: int,
    height: int,
    width: int,
    *,
    mode: str = "L",
    render_size: tuple[int, int] | None = None,
    resize_filter: str = "area",
    parameters: Mapping[str, Any] | None = None,
) -> Sample:
    """Paint a sample in mode L or RGB, and return it with its parameters and class: see `sample`.

    render_size: height and width at which the image is painted before it is resized by resize_filter, area or bilinear.
    parameters: values for fields of the family that replace the drawn ones.
    """
    check_arguments(seed, index, (height, width))
    if render_size:
        check_arguments(seed, index, render_size)
    if resize_filter not in RESIZE_FILTERS:
        raise InputError(f"resize_filter must be {' or '.join(RESIZE_FILTERS)}, got {resize_filter!r}")
    given = dict(parameters or {})
    batch = given.get("batch", 1)
    if batch == 1:
        return _paint_batch(
            family, seed, range(index, index + 1), height, width, mode, render_size, resize_filter, given
        )[0]
    first = index - index % batch
    indices = range(first, first + batch)
    batch_samples = _cached_batch(
        family, seed, indices, height, width, mode, render_size, resize_filter, tuple(given.items())
    )
    return batch_samples[index - first]


def check_arguments(seed: int, index: int, size: tuple[int, int]) -> None:
    """Raise InputError if a seed, an index or a size (height, width) is not supported."""
    if seed < 0 or index < 0:
        raise InputError(f"seed and index must be 0 or more, got {seed} and {index}")
    if min(size) < 1 or max(size) > LARGEST_SIDE:
        raise InputError(f"height and width must be between 1 and {LARGEST_SIDE} pixels, got {size[0]} and {size[1]}")


@lru_cache(maxsize=1)  # the samples of a batch are requested one after the other
def _cached_batch(
    family: str,
    seed: int,
    indices: range,
    height: int,
    width: int,
    mode: str,
    render_size: tuple[int, int] | None,
    resize_filter: str,
    given: tuple[tuple[str, Any], ...],
) -> list[Sample]:
    return _paint_batch(family, seed, indices, height, width, mode, render_size, resize_filter, dict(given))


def _paint_batch(
    family: str,
    seed: int,
    indices: range,
    height: int,
    width: int,
    mode: str,
    render_size: tuple[int, int] | None,
    resize_filter: str,
    given: Mapping[str, Any],
) -> list[Sample]:
    """Paint samples together. If the parameters of one are rejected, those of all are drawn again."""
    model = find_family(family)
    categories = [model.category_of(index, given) for index in indices]
    for attempt in range(ATTEMPTS):
        patterns, rngs = [], []
        for index, category in zip(indices, categories, strict=True):
            # Drawing and painting have separate generators, so that the number of parameters does not affect the
            # painting.
            drawing, painting = _generators(family, seed, index, attempt)
            pattern = model.draw(drawing, category or 0)
            patterns.append(replace(pattern, **given) if given else pattern)
            rngs.append(painting)
        try:
            images = model.render_batch(patterns, rngs, *(render_size or (height, width)))
        except Rejected:
            continue
        return [
            Sample(
                index=index,
                image=convert_mode(resized(image, height, width, resize_filter), mode),
                category=category,
                parameters=vars(pattern),
                rejects=attempt,
            )
            for index, image, pattern, category in zip(indices, images, patterns, categories, strict=True)
        ]
    raise _too_many_rejections(family, seed, indices[0])


def _too_many_rejections(family: str, seed: int, index: int) -> InputError:
    return InputError(
        f"{family} rejected {ATTEMPTS} draws in a row for seed {seed}, index {index}: change its parameters or use a "
        "larger size"
    )


def _generators(family: str, seed: int, index: int, attempt: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Return two independent generators, one for drawing parameters and one for painting.

    One BLAKE2 hash seeds both, because two SeedSequences of numpy would take as long as two octaves of noise.
    """
    digest = hashlib.blake2b(f"{family} {seed} {index} {attempt}".encode(), digest_size=64).digest()
    state = np.frombuffer(digest, np.uint64)
    return _generator(state[:4]), _generator(state[4:])


def _generator(words: NDArray[np.uint64]) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(_State(words)))  # pyright: ignore[reportArgumentType]  (its stub is too strict)


class _State(ISeedSequence):
    """A seed sequence with the 256 bits that numpy's PCG64 needs."""

    def __init__(self, words: NDArray[np.uint64]) -> None:
        self.words = words

    def generate_state(self, n_words: int, dtype: DTypeLike = np.uint64) -> NDArray[np.uint64]:
        assert (n_words, dtype) == (4, np.uint64)
        return self.words


def parameter_ranges(family: str) -> list[str]:
    """Return the fields of a family with their valid values, such as "octaves=1..16" and "folder=TEXT"."""
    ranges = {name: f"{low}..{high}" for name, (low, high) in FAMILIES[family].bounds.items()}
    words = {bool: "|".join(TRUTH), int: "0..", str: "TEXT"}
    return [f"{name}={ranges.get(name) or words[kind]}" for name, kind in _kinds(family).items()]


def parse_parameters(family: str, assignments: tuple[str, ...]) -> dict[str, Any]:
    """Parse texts "name=value" to values of a family's fields.

    Raises InputError for an unknown field and for a value of the wrong type.
    """
    kinds = _kinds(family)
    values = {}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if name not in kinds:
            known = ", ".join(kinds) or "none"
            raise InputError(f"{family} has no parameter {name!r}; its parameters are: {known}")
        try:
            values[name] = TRUTH[text] if kinds[name] is bool else kinds[name](text)
        except (ValueError, KeyError):
            raise InputError(f"{name} of {family} must be {kinds[name].__name__}, got {text!r}") from None
    return values


def _kinds(family: str) -> dict[str, type]:
    """Return the types of a family's fields, by name."""
    hints = get_type_hints(FAMILIES[family])
    return {field.name: hints[field.name] for field in fields(FAMILIES[family])}
