"""Rendering sets: one pure task a shard, and a loop that runs those that are still missing."""

import json
import platform
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import TypeVar

from synpat.families import FAMILIES
from synpat_shards import (
    ENCODING,
    Manifest,
    Place,
    Recipe,
    Sample,
    ShardRecord,
    begin_set,
    check_place,
    complete_set,
    finished_shards,
    recipe_of,
    sole_writer,
    write_shard,
)

from .local_engine import Engine, local_engine
from .sampling import paint
from .slices import WHOLE, Slice

Where = TypeVar("Where", bound=Place)


def render_set(place: Place, recipe: Recipe, workers: int, progress: Callable[[ShardRecord, bool], None]) -> Manifest:
    """Render what is missing of one set: `render_sets` of a single recipe."""
    with local_engine(workers) as engine:
        return render_sets({place: recipe}, engine, progress)[place]


def render_sets(
    recipes: Mapping[Where, Recipe],
    engine: Engine,
    progress: Callable[[ShardRecord, bool], None],
    preparing: Callable[[str], AbstractContextManager[None]] = nullcontext,
    part: Slice = WHOLE,
) -> dict[Where, Manifest]:
    """Render what is missing of each set into its folder or URL, and complete it; any engine gives the same bytes.

    progress: called with each shard, and whether it was there already. preparing: entered with the name of a family
    while its first sample is painted, which compiles for seconds on the first start. part: of a slice only its shards
    are rendered, and nothing is completed: `finalize` does that.
    Raises ValueError, before anything is written, if a place holds anything else or a family refuses its recipe.
    """
    for place, recipe in recipes.items():
        check_place(place, recipe)
    tasks = part.of([(place, number) for place, recipe in recipes.items() for number in range(recipe.shard_count)])
    records = {
        place: finished_shards(place, recipe, [number for at, number in tasks if at == place])
        for place, recipe in recipes.items()
    }
    missing = [(place, number) for place, number in tasks if number not in records[place]]
    # In this process, so that the workers do not compile the same kernels side by side.
    try_out([recipes[place] for place in dict(missing)], preparing)
    with ExitStack() as locks:
        for place in recipes if part == WHOLE else ():
            locks.enter_context(sole_writer(place))
        for place, recipe in recipes.items():
            begin_set(place, recipe)
            for record in records[place].values():
                progress(record, True)
        whole = recipes.keys() - dict(missing).keys() if part == WHOLE else ()
        manifests = {place: _complete(place, recipes[place], records[place]) for place in whole}
        for (place, number), record in engine(partial(_render_task, recipes), missing):
            records[place][number] = record
            progress(record, False)
            if len(records[place]) == recipes[place].shard_count and part == WHOLE:
                manifests[place] = _complete(place, recipes[place], records[place])
    return manifests


def finalize(place: Place) -> Manifest:
    """Complete a set whose slices have all been rendered.

    Raises ValueError, naming the first shards that are missing, if some are, and if there is no set.
    """
    recipe = recipe_of(place)
    if recipe is None:
        raise ValueError(f"{place} holds no shard set, nor one that is being rendered")
    records = finished_shards(place, recipe)
    if missing := [recipe.shard_name(number) for number in range(recipe.shard_count) if number not in records]:
        raise ValueError(
            f"{len(missing)} of {recipe.shard_count} shards of {place} are missing, from {missing[0]} on: run the "
            "slices again that render them"
        )
    return _complete(place, recipe, records)


def try_out(recipes: Iterable[Recipe], preparing: Callable[[str], AbstractContextManager[None]] = nullcontext) -> None:
    """Paint the first sample of each recipe.

    Raises ValueError if families refuse theirs (a size, a parameter, an extra that is not installed), naming them all.
    """
    refusals = []
    for recipe in recipes:
        try:
            with preparing(recipe.family):
                paint_index(recipe, 0)
        except (ValueError, ImportError, OSError) as refusal:
            named = recipe.family in str(refusal)
            refusals.append(str(refusal) if named else f"{recipe.family}: {refusal}")
    if refusals:
        raise ValueError("; ".join(refusals))


def _complete(place: Place, recipe: Recipe, records: Mapping[int, ShardRecord]) -> Manifest:
    return complete_set(place, recipe, [records[number] for number in range(recipe.shard_count)], made_with())


def _render_task(recipes: Mapping[Where, Recipe], task: tuple[Where, int]) -> tuple[tuple[Where, int], ShardRecord]:
    place, number = task
    return task, render_shard(place, recipes[place], number)


def render_shard(place: Place, recipe: Recipe, number: int) -> ShardRecord:
    """Render one shard of a recipe and write it: idempotent, and independent of all other shards."""
    return write_shard(place, recipe, number, (paint_index(recipe, index) for index in recipe.shard_indices(number)))


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
    parameters: Mapping[str, object] | None = None,
    with_parameters: bool = False,
) -> Recipe:
    """The recipe of a set of one family, as this version of synpat renders it.

    Raises ValueError if files that the parameters name are missing or broken.
    """
    model = FAMILIES[family]
    settled = model.settled(parameters or {})
    return Recipe(
        family=family,
        family_version=model.version,
        parameters=settled,
        categories=model.categories_with(settled),
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


def made_with() -> dict[str, str]:
    """Versions of the programs that pixels and bytes may depend on, and the kind of machine."""
    programs = ("synpat", "numpy", "numba", "opencv-python-headless", "isal")
    return {program: version(program) for program in programs} | {"machine": platform.machine()}
