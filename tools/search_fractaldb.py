#!/usr/bin/env python3
"""Find the systems of FractalDB or ExFractalDB: the first candidates that the published rule accepts."""

import json
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click

from synpat.families import exfractaldb, fractaldb

CHUNK = 500
"""Number of candidates per task of a process."""
SEARCHES = {"fractaldb": fractaldb.is_category, "exfractaldb": exfractaldb.is_category}


@click.command(epilog="Example: tools/search_fractaldb.py fractaldb generators/synpat/families/data/fractaldb.json")
@click.argument("family", type=click.Choice(list(SEARCHES)))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--n", default=1000, show_default=True, help="Number of categories to find.")
@click.option(
    "--workers", default=2, show_default=True, help="Number of processes. The result is the same for any number."
)
def main(family: str, out: Path, n: int, workers: int) -> None:
    """Write the numbers of the first N accepted candidates of FAMILY to OUT, as a JSON list."""
    start, numbers, tried = time.monotonic(), [], 0
    with ProcessPoolExecutor(workers) as pool:
        while len(numbers) < n:
            chunks = [range(tried + i * CHUNK, tried + (i + 1) * CHUNK) for i in range(4 * workers)]
            for chunk, accepted in zip(chunks, pool.map(partial(_accepted, family), chunks), strict=True):
                numbers += accepted
                tried = chunk.stop
            click.echo(f"{len(numbers)} of {n} found in {tried} candidates, {time.monotonic() - start:.0f} s", err=True)
    out.write_text(json.dumps(numbers[:n]) + "\n")


def _accepted(family: str, candidates: range) -> list[int]:
    return [number for number in candidates if SEARCHES[family](number)]


if __name__ == "__main__":
    main()
