"""Commands on existing shard sets: finalize, verify, publish, inspect, extend."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click

from synpat.inspection.statistics import evenly_spaced, set_statistics
from synpat.inspection.statistics_table import table
from synpat.rendering.local_engine import local_engine
from synpat.rendering.regenerate import Comparison, regenerate
from synpat.rendering.render import finalize, make_spec
from synpat_shards import (
    Fault,
    InputError,
    Report,
    SetSpec,
    Store,
    begin_extension,
    describe_differences,
    facts,
    lock_set,
    open_set,
    publish,
    read_manifest,
    verify,
)
from synpat_shards.command_line import Count
from synpat_shards.text_table import text_table

from .options import ShardCount, StoreType, json_option, set_argument, workers_option
from .progress import CopyProgress
from .render import counted, next_command, render_with_progress, summary


@click.command(name="finalize")
@click.argument("stores", metavar="SET...", nargs=-1, required=True, type=StoreType())
def finalize_command(stores: tuple[Store, ...]) -> None:
    """Complete sets that were rendered in slices: check every shard, then write the manifest and the sidecar files.

    \b
    Example:
      synpat finalize sets/perlin
    """
    for store in stores:
        click.echo(summary(store.url, finalize(store)))
    click.echo(next_command(stores), err=True)


@click.command(name="verify")
@set_argument
@click.option("--quick", is_flag=True, help="Check only the manifest and the sizes of the files.")
@click.option(
    "--regenerate",
    "again",
    type=ShardCount(),
    help="Also render this many evenly spaced shards again and compare their pixels.",
)
@workers_option
@json_option
def verify_command(store: Store, quick: bool, again: int | str | None, workers: int | None, as_json: bool) -> None:
    """Check that a shard set matches its manifest.

    Checks the bytes and checksums of all files, missing and unlisted files, the key, class and image of every sample,
    the digests of the pixels, the README and the sidecar files. Lists the faults and exits with 1 if there are any.

    \b
    Example:
      synpat verify sets/perlin
      synpat verify sets/perlin --regenerate 3
      synpat verify s3://bucket/perlin --quick --json
    """
    with CopyProgress("verifying") as progress:
        if not quick and (total := _size(store)):
            progress.begin(total)
        report = verify(store, quick=quick, progress=lambda shard: progress.add(shard.bytes))
    comparisons: list[Comparison] = []
    if again and report.manifest:
        shards = evenly_spaced(report.manifest.shards, len(report.manifest.shards) if again == "all" else int(again))
        with local_engine(workers) as engine:
            comparisons = list(regenerate(store, report.manifest, shards, engine))
        report = report.plus("regenerated", len(shards), [fault for c in comparisons for fault in _differences(c)])
    click.echo(_as_json(report, comparisons) if as_json else _as_table(report, comparisons))
    sys.exit(1 if report.faults else 0)


def _size(store: Store) -> int:
    """Return the bytes of all shards of a set, or 0 if it has no valid manifest, which `verify` reports."""
    try:
        return sum(shard.bytes for shard in read_manifest(store).shards)
    except InputError:
        return 0


def _differences(comparison: Comparison) -> Sequence[Fault]:
    faults = [comparison.fault] if comparison.fault else []
    if comparison.different:
        faults.append(
            f"{comparison.different} of {comparison.images} images differ when rendered again, by at most "
            f"{comparison.largest} grey levels"
        )
    return [Fault("regenerated", comparison.file, words) for words in faults]


def _as_json(report: Report, comparisons: Sequence[Comparison]) -> str:
    content = {
        "set": report.location,
        "ok": not report.faults,
        "checked": report.checked,
        "faults": [asdict(fault) for fault in report.faults],
    }
    if comparisons:
        content["regenerated"] = [asdict(comparison) for comparison in comparisons]
        content["largest_difference"] = max(comparison.largest for comparison in comparisons)
    return json.dumps(content)


CHECKS = {
    "manifest": "manifest is consistent",
    "files": "files: none missing, none unlisted, sizes",
    "sidecars": "README, SHA256SUMS and sidecar files match the manifest",
    "checksums": "shards: SHA-256 of the file",
    "samples": "samples: key, members, class, image",
    "pixels": "images: digest of the pixels, mean, std",
    "indexes": "indexes of the shards",
    "regenerated": "shards rendered again",
}
"""Names of the checks in the table."""


def _as_table(report: Report, comparisons: Sequence[Comparison]) -> str:
    rows = [
        (CHECKS[check], f"{count:,}", str(sum(fault.check == check for fault in report.faults)))
        for check, count in report.checked.items()
    ]
    text = [text_table(("check", "checked", "faults"), rows)]
    if comparisons:
        images = sum(comparison.images for comparison in comparisons)
        largest = max(comparison.largest for comparison in comparisons)
        text.append(f"largest difference in {images:,} images rendered again: {largest} grey levels")
    text += [f"FAULT {fault.file}: {fault.words}" for fault in report.faults]
    text.append(f"{report.location}: {counted(len(report.faults), 'fault') if report.faults else 'OK'}")
    return "\n".join(text)


@click.command(name="publish")
@set_argument
@click.argument("target", metavar="URL", type=StoreType())
def publish_command(store: Store, target: Store) -> None:
    """Copy a finished set to s3://, gs://, hf://, sftp:// or any other location that fsspec supports.

    Shards that are already present with the right checksum are skipped, so the same command continues an interrupted
    upload. The manifest is written last: a reader never sees an incomplete set. Credentials are read from the usual
    locations of each store (AWS_ACCESS_KEY_ID and ~/.aws, AWS_ENDPOINT_URL for other stores,
    GOOGLE_APPLICATION_CREDENTIALS, HF_TOKEN, SSH keys, ~/.config/fsspec).

    \b
    Example:
      synpat publish sets/perlin s3://bucket/perlin
      synpat publish sets/perlin sftp://host/data/perlin
    """
    with CopyProgress("publishing") as progress:
        manifest = open_set(store)
        progress.begin(sum(shard.bytes for shard in manifest.shards))
        skipped: list[bool] = []
        publish(store, target, lambda shard, was_present: (progress.add(shard.bytes), skipped.append(was_present)))
    copied = len(skipped) - sum(skipped)
    click.echo(f"{summary(target.url, manifest)}; {counted(copied, 'shard')} copied, {sum(skipped)} already present")
    click.echo(next_command([target]), err=True)


@click.command()
@set_argument
@click.option("--samples", type=Count(), default=200, show_default=True, help="Maximum number of images to read.")
@json_option
def inspect(store: Store, samples: int, as_json: bool) -> None:
    """Print the properties of a shard set: family, parameters, size, counts, bytes, and statistics of some images.

    \b
    Example:
      synpat inspect sets/perlin
      synpat inspect s3://bucket/perlin --json
    """
    manifest, statistics = open_set(store), set_statistics(store, samples)
    if as_json:
        content = {
            "spec": asdict(manifest.spec),
            "made_with": manifest.made_with,
            "shards": len(manifest.shards),
            "bytes": sum(shard.bytes for shard in manifest.shards),
            "mean": manifest.mean,
            "std": manifest.std,
            "statistics": asdict(statistics),
        }
        click.echo(json.dumps(content))
        return
    click.echo(text_table(("set", store.url), list(facts(manifest).items())))
    click.echo()
    click.echo(table({store.url: statistics}))


@click.command()
@set_argument
@click.option("--n", type=Count(), required=True, help="Total number of samples after the extension.")
@workers_option
def extend(store: Store, n: int, workers: int | None) -> None:
    """Render more samples into a finished set. The bytes of its shards do not change.

    A last shard that is not full is kept, and a new shard starts after it. Readers see the old set until the new one is
    complete. Run the same command again to continue an interrupted extension.

    \b
    Example:
      synpat extend sets/perlin --n 200000
    """
    old = read_manifest(store).spec
    if differences := _differences_of_version(old):
        raise InputError(f"{store.url} cannot be extended by this version of synpat: {differences}")
    with lock_set(store):
        spec = begin_extension(store, n)
    with local_engine(workers) as engine:
        render_with_progress({store: spec}, spec.family, engine, store.url)


def _differences_of_version(old: SetSpec) -> str:
    """Return how a specification made by this version of synpat differs from an old one; empty if it does not."""
    new = make_spec(
        old.family,
        old.n,
        height=old.height,
        width=old.width,
        seed=old.seed,
        samples_per_shard=old.samples_per_shard,
        mode=old.mode,
        render_size=old.render_size,
        resize_filter=old.resize_filter,
        parameters=old.parameters,
        with_parameters=old.with_parameters,
    )
    return describe_differences(asdict(old), asdict(new) | {"extended_at": old.extended_at})
