"""Rendering a set: one pure task a shard, and a loop that runs those that are still missing."""

import json
import platform
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path

from synpat_shards import (
    ENCODING,
    Manifest,
    Recipe,
    Sample,
    ShardRecord,
    begin_set,
    complete_set,
    finished_shards,
    write_shard,
)

from .families import FAMILIES
from .sampling import paint
from .workers import run_tasks


def render_set(folder: Path, recipe: Recipe, workers: int, progress: Callable[[ShardRecord, bool], None]) -> Manifest:
    """Render what is missing of a set into a folder and complete it; the bytes do not depend on the workers.

    progress: called with each shard, and whether it was there already.
    Raises ValueError if the folder holds anything else.
    """
    begin_set(folder, recipe)
    paint_index(recipe, 0)  # compiles the kernels once, before the workers would do it side by side
    records = finished_shards(folder, recipe)
    for record in records.values():
        progress(record, True)
    missing = [number for number in range(recipe.shard_count) if number not in records]
    work = partial(render_shard, folder, recipe)
    for record in map(work, missing) if workers == 1 else run_tasks(work, missing, workers):
        records[record.first_index // recipe.samples_per_shard] = record
        progress(record, False)
    return complete_set(folder, recipe, [records[number] for number in range(recipe.shard_count)], _made_with())


def render_shard(folder: Path, recipe: Recipe, number: int) -> ShardRecord:
    """Render one shard of a recipe and write it: idempotent, and independent of all other shards."""
    return write_shard(folder, recipe, number, (paint_index(recipe, index) for index in recipe.shard_indices(number)))


def paint_index(recipe: Recipe, index: int) -> Sample:
    """Paint one sample of a recipe, ready to be written."""
    painted = paint(
        recipe.family,
        recipe.seed,
        index,
        recipe.height,
        recipe.width,
        mode=recipe.mode,
        via=recipe.via,
        parameters=recipe.parameters,
    )
    return Sample(
        index=index,
        image=painted.image,
        category=painted.category,
        parameters=json.dumps(asdict(painted.pattern)).encode() if recipe.with_parameters else None,
        rejects=painted.rejects,
    )


def make_recipe(
    family: str,
    n: int,
    *,
    height: int = 80,
    width: int = 208,
    seed: int = 0,
    samples_per_shard: int = 1000,
    mode: str = "L",
    via: tuple[int, int] | None = None,
    parameters: dict[str, object] | None = None,
    with_parameters: bool = False,
) -> Recipe:
    """The recipe of a set of one family, as this version of synpat renders it."""
    return Recipe(
        family=family,
        family_version=FAMILIES[family].version,
        parameters=parameters or {},
        categories=FAMILIES[family].categories,
        seed=seed,
        n=n,
        samples_per_shard=samples_per_shard,
        height=height,
        width=width,
        mode=mode,
        via=via,
        with_parameters=with_parameters,
        encoding=ENCODING,
    )


def _made_with() -> dict[str, str]:
    programs = ("synpat", "numpy", "numba", "opencv-python-headless", "isal")
    return {program: version(program) for program in programs} | {"machine": platform.machine()}
