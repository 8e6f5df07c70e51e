"""Rendering of sets: one independent task per shard, and a loop that runs the tasks of missing shards."""

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
    missing_set,
    open_store,
    read_spec,
    write_shard,
)

from .local_engine import Engine, local_engine
from .sampling import paint
from .slices import FULL_SLICE, Slice


def render_set(
    location: Location,
    spec: SetSpec,
    workers: int | None = None,
    progress: Callable[[ShardRecord, bool], None] = lambda record, was_present: None,
) -> Manifest:
    """Render the missing shards of one set in a folder or at a URL: see `render_sets`.

    spec: see `make_spec`. workers: number of processes; by default the number of available cores. The result is the
    same for any number. progress: called with each shard record, and True if the shard was already present.
    """
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
    """Render the missing shards of each set into its folder or URL, and complete the sets.

    The bytes do not depend on the engine. progress: called with each shard record, and True if the shard was already
    present. preparing: context manager, called with the name of a family, around its first sample, which takes seconds
    to compile on the first start. part: render only the shards of this slice; the sets are then completed by
    `finalize`.
    Raises InputError, before any file is written, if a store has other content or a family rejects its specification.
    """
    for store, spec in specs.items():
        check_target(store, spec)
    tasks = part.of([(store, number) for store, spec in specs.items() for number in range(spec.shard_count)])
    records = {
        store: finished_shards(store, spec, [number for at, number in tasks if at == store])
        for store, spec in specs.items()
    }
    missing = [(store, number) for store, number in tasks if number not in records[store]]
    # In this process, so that the workers do not all compile the same kernels.
    paint_first_samples([specs[store] for store in dict(missing)], preparing)
    with ExitStack() as locks:
        for store in specs if part == FULL_SLICE else ():
            locks.enter_context(lock_set(store))
        for store, spec in specs.items():
            begin_set(store, spec)
            for record in records[store].values():
                progress(record, True)
        finished = specs.keys() - dict(missing).keys() if part == FULL_SLICE else ()
        manifests = {store: _complete(store, specs[store], records[store]) for store in finished}
        for (store, number), record in engine(partial(_render_task, specs), missing):
            records[store][number] = record
            progress(record, False)
            if len(records[store]) == specs[store].shard_count and part == FULL_SLICE:
                manifests[store] = _complete(store, specs[store], records[store])
    return manifests


def finalize(store: Store) -> Manifest:
    """Complete a set whose slices have all been rendered.

    Raises InputError, with the first missing shard, if shards are missing, and if there is no set.
    """
    spec = read_spec(store)
    if spec is None:
        raise missing_set(store)
    records = finished_shards(store, spec)
    if missing := [spec.shard_name(number) for number in range(spec.shard_count) if number not in records]:
        raise InputError(
            f"{len(missing)} of {spec.shard_count} shards of {store.url} are missing, the first is {missing[0]}: run "
            "the missing slices again"
        )
    return _complete(store, spec, records)


def paint_first_samples(
    specs: Iterable[SetSpec], preparing: Callable[[str], AbstractContextManager[None]] = nullcontext
) -> None:
    """Paint the first sample of each specification, to find invalid ones before any file is written.

    Raises InputError, with all messages, if families reject theirs (size, parameters, an extra that is not installed).
    """
    errors = []
    for spec in specs:
        try:
            with preparing(spec.family):
                paint_index(spec, 0)
        except (InputError, ImportError, OSError) as error:
            named = spec.family in str(error)
            errors.append(str(error) if named else f"{spec.family}: {error}")
    if errors:
        raise InputError("; ".join(errors))


def _complete(store: Store, spec: SetSpec, records: Mapping[int, ShardRecord]) -> Manifest:
    return complete_set(store, spec, [records[number] for number in range(spec.shard_count)], made_with())


def _render_task(specs: Mapping[Store, SetSpec], task: tuple[Store, int]) -> tuple[tuple[Store, int], ShardRecord]:
    store, number = task
    return task, render_shard(store, specs[store], number)


def render_shard(store: Store, spec: SetSpec, number: int) -> ShardRecord:
    """Render and write one shard of a set. This is idempotent and does not depend on other shards."""
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
        resize_filter=spec.resize_filter,
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
    resize_filter: str = "area",
    parameters: Mapping[str, object] | None = None,
    with_parameters: bool = False,
) -> SetSpec:
    """Return the specification of a set of one family for this version of synpat.

    Raises InputError if files that the parameters name are missing or invalid.
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
        resize_filter=resize_filter,
        with_parameters=with_parameters,
        encoding=ENCODING,
    )


def made_with() -> dict[str, str]:
    """Return the versions of the programs that pixels and bytes may depend on, and the type of the machine."""
    programs = ("synpat", "numpy", "numba", "opencv-python-headless", "pillow", "pyrtools", "isal")
    return {program: version(program) for program in programs} | {"machine": platform.machine()}
