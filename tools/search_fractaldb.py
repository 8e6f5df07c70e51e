"""Find the 1,000 systems of FractalDB, or those of ExFractalDB: the first candidates that the published rule accepts.

Example:
    python tools/search_fractaldb.py fractaldb generators/synpat/families/data/fractaldb.json
"""

import json
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click

from synpat.families import exfractaldb, fractaldb

CHUNK = 500
"""Candidates that a process tries in one go."""
SEARCHES = {"fractaldb": fractaldb.is_category, "exfractaldb": exfractaldb.is_category}


@click.command(
    epilog="Example: python tools/search_fractaldb.py fractaldb generators/synpat/families/data/fractaldb.json"
)
@click.argument("family", type=click.Choice(list(SEARCHES)))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--n", default=1000, show_default=True, help="How many categories to find.")
@click.option("--workers", default=2, show_default=True, help="Processes; the result is the same for any number.")
def main(family: str, out: Path, n: int, workers: int) -> None:
    """Write the numbers of the first N accepted candidates of FAMILY to OUT, as a JSON list."""
    start, found, tried = time.monotonic(), [], 0
    with ProcessPoolExecutor(workers) as pool:
        while len(found) < n:
            chunks = [range(tried + i * CHUNK, tried + (i + 1) * CHUNK) for i in range(4 * workers)]
            for chunk, accepted in zip(chunks, pool.map(partial(_accepted, family), chunks), strict=True):
                found += accepted
                tried = chunk.stop
            click.echo(f"{len(found)} of {n} found in {tried} candidates, {time.monotonic() - start:.0f} s", err=True)
    out.write_text(json.dumps(found[:n]) + "\n")


def _accepted(family: str, candidates: range) -> list[int]:
    return [number for number in candidates if SEARCHES[family](number)]


if __name__ == "__main__":
    main()
