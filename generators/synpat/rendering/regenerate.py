"""Comparison of finished shards with the same shards rendered again from the manifest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from synpat.families import FAMILIES
from synpat_shards import (
    InputError,
    Manifest,
    SetSpec,
    ShardRecord,
    Store,
    decode_png,
    shard_members,
)

from .local_engine import Engine
from .render import paint_index


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Comparison of a shard with the same shard rendered again."""

    file: str
    """Name of the shard."""
    images: int
    """Number of compared images."""
    different: int
    """Number of compared images with at least one different pixel."""
    largest: int
    """Largest difference of a pixel, in grey levels 0..255."""
    fault: str | None = None
    """The error if the shard could not be read completely, else None."""


def regenerate(store: Store, manifest: Manifest, shards: Sequence[ShardRecord], engine: Engine) -> Iterable[Comparison]:
    """Render shards of a set again and compare their pixels with the existing ones.

    Raises InputError if the family is not installed in the version of the manifest.
    """
    spec = manifest.spec
    if spec.family not in FAMILIES:
        raise InputError(
            f"this version of synpat has no family {spec.family!r}: install the version that rendered this set"
        )
    if (version := FAMILIES[spec.family].version) != spec.family_version:
        raise InputError(
            f"this set was rendered with version {spec.family_version} of {spec.family}, but this synpat has version "
            f"{version}: install the version of synpat that rendered it"
        )
    return engine(partial(_compare, store, spec), shards)


def _compare(store: Store, spec: SetSpec, shard: ShardRecord) -> Comparison:
    images = different = largest = 0
    fault = None
    try:
        for member, data in shard_members(store, shard):
            if member.extension == "png":
                stored, painted = decode_png(data), paint_index(spec, shard.first_index + images).image
                difference = 255 if stored.shape != painted.shape else _largest_difference(stored, painted)
                images, different, largest = images + 1, different + (difference > 0), max(largest, difference)
    except (InputError, OSError) as error:
        fault = str(error)
    return Comparison(file=shard.file, images=images, different=different, largest=largest, fault=fault)


def _largest_difference(left: np.ndarray, right: np.ndarray) -> int:
    return int(np.abs(left.astype(np.int16) - right.astype(np.int16)).max())
