"""Rendering sets: one pure task a shard, and a loop that runs those that are still missing."""

import platform
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from importlib.metadata import version

from synpat.families import FAMILIES
from synpat_shards import (
    ENCODING,
    InputError,
    Location,
    Manifest,
    Sample,
    SetSpec,
    ShardRecord,
    Store,
    begin_set,
    check_target,
    complete_set,
    finished_shards,
    lock_set,
    open_store,
    read_spec,
    write_shard,
)

from .local_engine import Engine, local_engine
from .sampling import paint
from .slices import FULL_SLICE, Slice


def render_set(
    location: Location, spec: SetSpec, workers: int, progress: Callable[[ShardRecord, bool], None]
) -> Manifest:
    """Render what is missing of one set: `render_sets` of a single set in a folder or behind a URL."""
    store = open_store(location)
    with local_engine(workers) as engine:
        return render_sets({store: spec}, engine, progress)[store]


def render_sets(
    specs: Mapping[Store, SetSpec],
    engine: Engine,
    progress: Callable[[ShardRecord, bool], None],
    preparing: Callable[[str], AbstractContextManager[None]] = nullcontext,
    part: Slice = FULL_SLICE,
) -> dict[Store, Manifest]:
    """Render what is missing of each set into its folder or URL, and complete it; any engine gives the same bytes.

    progress: called with each shard, and whether it was there already. preparing: entered with the name of a family
    while its first sample is painted, which compiles for seconds on the first start. part: of a slice only its shards
    are rendered, and nothing is completed: `finalize` does that.
    Raises InputError, before anything is written, if a store holds anything else or a family refuses its recipe.
    """
    for store, spec in specs.items():
        check_target(store, spec)
    tasks = part.of([(store, number) for store, spec in specs.items() for number in range(spec.shard_count)])
    records = {
        store: finished_shards(store, spec, [number for at, number in tasks if at == store])
        for store, spec in specs.items()
    }
    missing = [(store, number) for store, number in tasks if number not in records[store]]
    # In this process, so that the workers do not compile the same kernels side by side.
    paint_first_samples([specs[store] for store in dict(missing)], preparing)
    with ExitStack() as locks:
        for store in specs if part == FULL_SLICE else ():
            locks.enter_context(lock_set(store))
        for store, spec in specs.items():
            begin_set(store, spec)
            for record in records[store].values():
                progress(record, True)
        whole = specs.keys() - dict(missing).keys() if part == FULL_SLICE else ()
        manifests = {store: _complete(store, specs[store], records[store]) for store in whole}
        for (store, number), record in engine(partial(_render_task, specs), missing):
            records[store][number] = record
            progress(record, False)
            if len(records[store]) == specs[store].shard_count and part == FULL_SLICE:
                manifests[store] = _complete(store, specs[store], records[store])
    return manifests


def finalize(store: Store) -> Manifest:
    """Complete a set whose slices have all been rendered.

    Raises InputError, naming the first shards that are missing, if some are, and if there is no set.
    """
    spec = read_spec(store)
    if spec is None:
        raise InputError(f"{store.url} holds no shard set, nor one that is being rendered")
    records = finished_shards(store, spec)
    if missing := [spec.shard_name(number) for number in range(spec.shard_count) if number not in records]:
        raise InputError(
            f"{len(missing)} of {spec.shard_count} shards of {store.url} are missing, from {missing[0]} on: run the "
            "slices again that render them"
        )
    return _complete(store, spec, records)


def paint_first_samples(
    specs: Iterable[SetSpec], preparing: Callable[[str], AbstractContextManager[None]] = nullcontext
) -> None:
    """Paint the first sample of each recipe.

    Raises InputError if families refuse theirs (a size, a parameter, an extra that is not installed), naming them all.
    """
    refusals = []
    for spec in specs:
        try:
            with preparing(spec.family):
                paint_index(spec, 0)
        except (InputError, ImportError, OSError) as refusal:
            named = spec.family in str(refusal)
            refusals.append(str(refusal) if named else f"{spec.family}: {refusal}")
    if refusals:
        raise InputError("; ".join(refusals))


def _complete(store: Store, spec: SetSpec, records: Mapping[int, ShardRecord]) -> Manifest:
    return complete_set(store, spec, [records[number] for number in range(spec.shard_count)], made_with())


def _render_task(specs: Mapping[Store, SetSpec], task: tuple[Store, int]) -> tuple[tuple[Store, int], ShardRecord]:
    store, number = task
    return task, render_shard(store, specs[store], number)


def render_shard(store: Store, spec: SetSpec, number: int) -> ShardRecord:
    """Render one shard of a recipe and write it: idempotent, and independent of all other shards."""
    return write_shard(store, spec, number, (paint_index(spec, index) for index in spec.shard_indices(number)))


def paint_index(spec: SetSpec, index: int) -> Sample:
    """Paint one sample of a set."""
    return paint(
        spec.family,
        spec.seed,
        index,
        spec.height,
        spec.width,
        mode=spec.mode,
        render_size=spec.render_size,
        parameters=spec.parameters,
    )


def make_spec(
    family: str,
    n: int,
    *,
    height: int = 80,
    width: int = 208,
    seed: int = 0,
    samples_per_shard: int = 1000,
    mode: str = "L",
    render_size: tuple[int, int] | None = None,
    parameters: Mapping[str, object] | None = None,
    with_parameters: bool = False,
) -> SetSpec:
    """The recipe of a set of one family, as this version of synpat renders it.

    Raises InputError if files that the parameters name are missing or broken.
    """
    model = FAMILIES[family]
    resolved_parameters = model.resolved_parameters(parameters or {})
    return SetSpec(
        family=family,
        family_version=model.version,
        parameters=resolved_parameters,
        categories=model.categories_with(resolved_parameters),
        seed=seed,
        n=n,
        samples_per_shard=samples_per_shard,
        height=height,
        width=width,
        mode=mode,
        render_size=render_size,
        with_parameters=with_parameters,
        encoding=ENCODING,
    )


def made_with() -> dict[str, str]:
    """Versions of the programs that pixels and bytes may depend on, and the kind of machine."""
    programs = ("synpat", "numpy", "numba", "opencv-python-headless", "isal")
    return {program: version(program) for program in programs} | {"machine": platform.machine()}
