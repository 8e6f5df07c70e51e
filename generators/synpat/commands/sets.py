"""Commands about sets that are there: finalize, verify, publish, inspect, preview, extend."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from synpat.inspection.preview import facts, preview_images, preview_page, preview_picture
from synpat.inspection.statistics import evenly_spaced, set_statistics
from synpat.inspection.statistics_table import table
from synpat.rendering.local_engine import Engine, local_engine
from synpat.rendering.regenerate import Comparison, regenerate
from synpat.rendering.render import finalize, make_spec, render_sets
from synpat.rendering.slices import FULL_SLICE, Slice
from synpat_shards import (
    Fault,
    Manifest,
    Report,
    SetSpec,
    begin_extension,
    encode_png,
    is_url,
    lock_set,
    open_set,
    open_store,
    publish,
    read_manifest,
    verify,
    write_atomically,
)

from .progress import CopyProgress, RenderProgress


class LocationType(click.ParamType):
    """A folder, as a Path, or a URL, as it is."""

    name = "folder or URL"

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> str | Path:
        if is_url(value):
            open_store(value)  # says what is wrong with it, or what is not installed
            return value
        if Path(value).is_file():
            self.fail(f"{str(value)!r} is a file, a folder or URL is needed", param, ctx)
        return Path(value)


class ShardCount(click.ParamType):
    """A number of shards, or all."""

    name = "K|all"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value != "all" and not (value.isascii() and value.isdigit() and int(value) >= 1):
            self.fail(f"{value!r} is neither a number of shards, 1 or more, nor all", param, ctx)
        return value if value == "all" else int(value)


set_argument = click.argument("place", metavar="SET", type=LocationType())
workers_option = click.option(
    "--workers", type=click.IntRange(min=1), default=None, help="Processes.  [default: the cores at hand]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@click.command(name="finalize")
@click.argument("places", metavar="SET...", nargs=-1, required=True, type=LocationType())
def finalize_command(locations: tuple[str | Path, ...]) -> None:
    """Complete sets that were rendered in slices: check every shard, write the manifest and its sidecars.

    \b
    Example:
      synpat finalize sets/perlin
    """
    for location in locations:
        click.echo(summary(open_store(location).url, finalize(location)))


@click.command(name="verify")
@set_argument
@click.option("--quick", is_flag=True, help="Look at the manifest and the sizes of files alone.")
@click.option(
    "--regenerate",
    "again",
    type=ShardCount(),
    help="Also render so many shards, evenly spread, again and compare pixels.",
)
@workers_option
@json_option
def verify_command(
    location: str | Path, quick: bool, again: int | str | None, workers: int | None, as_json: bool
) -> None:
    """Check that a set, in a folder or behind a URL, is what its manifest says.

    Bytes and checksums of all files, missing and unlisted ones, the key, class and image of every sample, digests of
    the pixels, README and sidecars. Exits with 1, and lists the faults, if there are any.

    \b
    Example:
      synpat verify sets/perlin
      synpat verify sets/perlin --regenerate 3
      synpat verify s3://bucket/perlin --quick --json
    """
    with CopyProgress("verifying") as progress:
        if not quick and (total := _size(location)):
            progress.begin(total)
        report = verify(location, quick=quick, progress=lambda shard: progress.add(shard.bytes))
    comparisons: list[Comparison] = []
    if again and report.manifest:
        shards = evenly_spaced(report.manifest.shards, len(report.manifest.shards) if again == "all" else int(again))
        with local_engine(workers) as engine:
            comparisons = list(regenerate(location, report.manifest, shards, engine))
        report = report.plus("regenerated", len(shards), [fault for c in comparisons for fault in _differences(c)])
    click.echo(_as_json(report, comparisons) if as_json else _as_table(report, comparisons))
    sys.exit(1 if report.faults else 0)


def _size(location: str | Path) -> int:
    """Bytes of a set's shards; 0 if it has no manifest, which `verify` says itself."""
    try:
        return sum(shard.bytes for shard in read_manifest(location).shards)
    except ValueError:
        return 0


def _differences(comparison: Comparison) -> Sequence[Fault]:
    faults = [comparison.fault] if comparison.fault else []
    if comparison.different:
        faults.append(
            f"{comparison.different} of {comparison.images} images differ from those rendered again, by at most "
            f"{comparison.largest} grey levels"
        )
    return [Fault("regenerated", comparison.file, words) for words in faults]


def _as_json(report: Report, comparisons: Sequence[Comparison]) -> str:
    content = {
        "set": report.location,
        "ok": not report.faults,
        "looked_at": report.looked_at,
        "faults": [asdict(fault) for fault in report.faults],
    }
    if comparisons:
        content["regenerated"] = [asdict(comparison) for comparison in comparisons]
        content["largest_difference"] = max(comparison.largest for comparison in comparisons)
    return json.dumps(content)


WHAT = {
    "manifest": "the manifest agrees with itself",
    "files": "files: none missing, none unlisted, sizes",
    "sidecars": "README, SHA256SUMS and sidecars agree with the manifest",
    "checksums": "shards: sha256 of the file",
    "samples": "samples: key, members, class, image",
    "pixels": "images: digest of the pixels, mean, std",
    "indexes": "indexes of the shards",
    "regenerated": "shards rendered again",
}
"""The checks, as a person reads them."""


def _as_table(report: Report, comparisons: Sequence[Comparison]) -> str:
    lines = [("check", "looked at", "faults")]
    for check, count in report.looked_at.items():
        lines.append((WHAT[check], f"{count:,}", str(sum(fault.check == check for fault in report.faults))))
    text = [f"{words:<56}{count:>12}{faults:>8}" for words, count, faults in lines]
    if comparisons:
        images = sum(comparison.images for comparison in comparisons)
        largest = max(comparison.largest for comparison in comparisons)
        text.append(f"largest difference in {images:,} images rendered again: {largest} grey levels")
    text += [f"FAULT {fault.file}: {fault.words}" for fault in report.faults]
    text.append(f"{report.location}: {f'{len(report.faults)} faults' if report.faults else 'whole'}")
    return "\n".join(text)


@click.command(name="publish")
@set_argument
@click.argument("target", metavar="URL", type=LocationType())
def publish_command(location: str | Path, target: str | Path) -> None:
    """Copy a finished set to s3://, gs://, hf://, sftp:// or any other place that fsspec reaches.

    What is there and verified is left out, so that the same command finishes what was cut off. The manifest goes last:
    no reader sees half a set. Credentials are found where each store's own tools look (AWS_ACCESS_KEY_ID and ~/.aws,
    AWS_ENDPOINT_URL for other stores, GOOGLE_APPLICATION_CREDENTIALS, HF_TOKEN, SSH keys, ~/.config/fsspec).

    \b
    Example:
      synpat publish sets/perlin s3://bucket/perlin
      synpat publish sets/perlin sftp://host/data/perlin
    """
    with CopyProgress("publishing") as progress:
        manifest = open_set(location)
        progress.begin(sum(shard.bytes for shard in manifest.shards))
        there = []
        publish(location, target, lambda shard, was_there: (progress.add(shard.bytes), there.append(was_there)))
    name = open_store(target).url
    click.echo(f"{summary(name, manifest)}; {len(there) - sum(there)} shards copied, {sum(there)} were there")


@click.command()
@set_argument
@click.option(
    "--samples", type=click.IntRange(min=1), default=200, show_default=True, help="Images to look at, at most."
)
@json_option
def inspect(location: str | Path, samples: int, as_json: bool) -> None:
    """Say what a set is: family, parameters, size, counts, bytes, and statistics of some of its images.

    \b
    Example:
      synpat inspect sets/perlin
      synpat inspect s3://bucket/perlin --json
    """
    manifest, figures = open_set(location), set_statistics(location, samples)
    if as_json:
        told = {"spec": asdict(manifest.spec), "made_with": manifest.made_with}
        counts = {"shards": len(manifest.shards), "bytes": sum(shard.bytes for shard in manifest.shards)}
        pixels = {"mean": manifest.mean, "std": manifest.std, "statistics": asdict(figures)}
        click.echo(json.dumps(told | counts | pixels))
        return
    for name, words in facts(manifest).items():
        click.echo(f"{name:16}{words}")
    click.echo()
    click.echo(table({open_store(location).url: figures}))


@click.command()
@set_argument
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="PNG or HTML file to write, by its ending; the page needs no other file.",
)
@click.option("--samples", type=click.IntRange(1, 1000), default=32, show_default=True, help="Images, at most.")
@click.option("--columns", type=click.IntRange(min=1), default=4, show_default=True, help="Images beside each other.")
def preview(location: str | Path, out: Path, samples: int, columns: int) -> None:
    """Show images of a set, evenly spread over it, with what is known about the set.

    \b
    Example:
      synpat preview sets/perlin --out perlin.html
      synpat preview s3://bucket/perlin --out perlin.png
    """
    if out.suffix not in (".png", ".html"):
        raise click.BadParameter(f"{str(out)!r} ends in neither .png nor .html", param_hint="'--out'")
    manifest, images = preview_images(location, samples)
    if out.suffix == ".png":
        write_atomically(out, encode_png(preview_picture(manifest, images, columns)))
    else:
        write_atomically(out, preview_page(manifest, images).encode())


@click.command()
@set_argument
@click.option("--n", type=click.IntRange(min=1), required=True, help="How many samples the set shall have in all.")
@workers_option
def extend(location: str | Path, n: int, workers: int | None) -> None:
    """Render more samples into a finished set. Its shards stay as they are, to the byte.

    A last shard that is not full stays so, and a new one begins behind it. Readers see the set as it was until all of
    the new one is there. The same command again goes on where one was stopped.

    \b
    Example:
      synpat extend sets/perlin --n 200000
    """
    old = read_manifest(location).spec
    if now := _cannot_go_on(old):
        raise ValueError(f"{open_store(location).url} cannot be extended by this synpat: {now}")
    with lock_set(location):
        spec = begin_extension(location, n)
    with local_engine(workers) as engine:
        render_with_progress({location: spec}, spec.family, engine, open_store(location).url)


def _cannot_go_on(old: SetSpec) -> str:
    """How this synpat's recipe for the same samples differs; empty if it does not."""
    new = make_spec(
        old.family,
        old.n,
        height=old.height,
        width=old.width,
        seed=old.seed,
        samples_per_shard=old.samples_per_shard,
        mode=old.mode,
        render_size=old.render_size,
        parameters=old.parameters,
        with_parameters=old.with_parameters,
    )
    before, now = asdict(old), asdict(new) | {"extended_at": old.extended_at}
    return ", ".join(
        f"{name} is {before[name]} there and {now[name]} here" for name in now if before[name] != now[name]
    )


def render_with_progress(
    specs: Mapping[str | Path, SetSpec], name: str, engine: Engine, where: str, part: Slice = FULL_SLICE
) -> None:
    """Render sets while a bar moves, then print a line about each; on Ctrl-C, say how to go on."""
    total = sum(spec.n for spec in specs.values())
    with RenderProgress(name, total) as progress:
        try:
            manifests = render_sets(specs, engine, progress, progress.preparing, part)
        except KeyboardInterrupt:
            done = progress.there + progress.rendered
            progress.message(f"Stopped: {done} of {total} images are in {where}. Run the same command again to go on.")
            sys.exit(130)
        progress.message(f"{progress.rendered} images rendered now, {progress.there} were there: {progress.rate()}")
    for location in specs:
        url = open_store(location).url
        if part == FULL_SLICE:
            click.echo(summary(url, manifests[location]))
        else:
            click.echo(f"{url}: slice {part.index} of {part.count} is there; after all: synpat finalize {url}")


def summary(name: str, manifest: Manifest) -> str:
    """A finished set in a line."""
    spec, shards = manifest.spec, manifest.shards
    return (
        f"{name}: {spec.n} images of {spec.family} in {len(shards)} shards, "
        f"{sum(shard.bytes for shard in shards) / 1e6:.1f} MB, mean {manifest.mean:.1f}, std {manifest.std:.1f}, "
        f"{sum(shard.rejects for shard in shards)} rejected draws"
    )
