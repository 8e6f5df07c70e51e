#!/usr/bin/env python3
"""Kill the parent or a worker of a render at random times, continue it, and compare it with an undisturbed run."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from synpat.rendering.render import make_spec, render_set
from synpat_shards import begin_set, open_store

OPTIONS = "render --family perlin --size 32x64 --samples-per-shard 50 --workers 2"


def digests(place: str | Path) -> dict[str, str]:
    store = open_store(place)
    return {name: hashlib.sha256(store.read(name)).hexdigest() for name in store.sizes()}


def workers_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


@click.command()
@click.option("--kills", default=200, show_default=True, help="Number of kills.")
@click.option("--n", default=20_000, show_default=True, help="Samples per set. When a set is complete, another starts.")
@click.option("--out", help="Folder or URL; a number is added for each set.  [default: a temporary folder]")
@click.option("--seed", default=0, show_default=True, help="Seed of the times and the killed processes.")
def main(kills: int, n: int, out: str | None, seed: int) -> None:
    """Kill a render at random times and check that the bytes do not change.

    \b
    Example:
      tools/kill_render.py --kills 200
      tools/kill_render.py --kills 200 --out s3://bucket/killed
    """
    dice, began = random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        spec = make_spec("perlin", n, height=32, width=64, samples_per_shard=50)
        render_set(f"{folder}/straight", spec, workers=2, progress=lambda *_: None)
        expected = digests(f"{folder}/straight")
        done = {"parent": 0, "worker": 0}
        sets = runs = 0
        while sum(done.values()) < kills:
            place = f"{out or folder + '/set'}-{sets}"
            command = [sys.executable, "-c", "from synpat.cli import main; main()", *OPTIONS.split(), "--n", str(n)]
            process = subprocess.Popen([*command, "--out", place], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            runs += 1
            while process.poll() is None and sum(done.values()) < kills:
                time.sleep(dice.uniform(0.5, 5))
                workers = workers_of(process.pid)
                who = "worker" if workers and dice.random() < 0.5 else "parent"
                if process.poll() is None:
                    os.kill(dice.choice(workers) if who == "worker" else process.pid, signal.SIGKILL)
                    done[who] += 1
            _, errors = process.communicate()
            if process.returncode == 0 or sum(done.values()) == kills:
                render_set(place, spec, workers=2, progress=lambda *_: None)
                assert digests(place) == expected, f"{place} differs from an undisturbed run"
                begin_set(open_store(place), spec)  # raises an error if the set cannot be continued
                sets += 1
            elif process.returncode != -signal.SIGKILL and b" terminated " not in errors:
                raise SystemExit(f"a run ended with {process.returncode}: {errors.decode().strip()}")
        print(
            f"{sum(done.values())} kills ({done['parent']} of the parent, {done['worker']} of workers) in {runs} runs, "
            f"{time.monotonic() - began:.0f} s; {sets} sets of {len(expected)} files, all with the expected bytes"
        )


if __name__ == "__main__":
    main()
