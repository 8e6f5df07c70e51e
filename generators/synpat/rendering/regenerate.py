"""Rendering finished shards again, from nothing but their manifest, to see whether the pixels are the same."""

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
    """A shard against the same one rendered again."""

    file: str
    images: int
    """That were compared."""
    different: int
    """Images of these with any pixel that differs."""
    largest: int
    """Largest difference of a pixel, in grey levels 0..255."""
    fault: str | None = None
    """Why the shard could not be read to its end; None if it could."""


def regenerate(store: Store, manifest: Manifest, shards: Sequence[ShardRecord], engine: Engine) -> Iterable[Comparison]:
    """Render these shards of a set again and compare their pixels with what lies there.

    Raises InputError if the family that is installed paints other pixels than that of the manifest, by its version.
    """
    spec = manifest.spec
    if spec.family not in FAMILIES:
        raise InputError(f"this synpat has no family {spec.family!r}: nothing can be rendered again to compare with")
    if (version := FAMILIES[spec.family].version) != spec.family_version:
        raise InputError(
            f"version {spec.family_version} of {spec.family} rendered this set, this synpat has version {version}: "
            "install the synpat that it was made with"
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
    except (InputError, OSError) as trouble:
        fault = str(trouble)
    return Comparison(file=shard.file, images=images, different=different, largest=largest, fault=fault)


def _largest_difference(left: np.ndarray, right: np.ndarray) -> int:
    return int(np.abs(left.astype(np.int16) - right.astype(np.int16)).max())
