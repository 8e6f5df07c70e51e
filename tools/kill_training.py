#!/usr/bin/env python3
"""Kill a training run repeatedly at random times, and compare its result with that of an undisturbed run."""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import torch
from safetensors.torch import load_file

from synpat.rendering.render import make_spec, render_set

SAMPLES, BATCH = 500, 16
SETTINGS = (
    "--model tiny --set width=48 --set decoder_width=48 --set decoder_depth=1 --set decoder_heads=3 --set ema=0.99 "
    "--set accumulate=2 --set base_lr=1e-2 --set precision=float32 --set log_every=1 --set pictures_every=1000000"
)
KILLS_PER_MESSAGE = 10


@click.command()
@click.option("--kills", default=50, show_default=True, help="Number of kills.")
@click.option("--seed", default=0, show_default=True, help="Seed of the times.")
@click.option("--stream/--cache", default=True, show_default=True, help="How images are read.")
def main(kills: int, seed: int, stream: bool) -> None:
    """Train once undisturbed and once with kills. Exit with 1 unless weights and losses are bit-identical.

    \b
    Example:
      tools/kill_training.py --kills 50
    """
    dice, steps = random.Random(seed), 6 * kills
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = make_spec("perlin", SAMPLES, samples_per_shard=100)
        render_set(folder / "set", spec, workers=1, progress=lambda *_: None)
        straight, killed = folder / "straight", folder / "killed"
        finish(start(folder, straight, steps, stream, workers=1))
        for kill in range(1, kills + 1):
            process = start(folder, killed, steps, stream, workers=dice.randint(1, 3))
            wait_for(killed, dice.randint(0, 9), process)
            time.sleep(dice.random() * 0.1)
            if process.poll() is not None:
                sys.exit(f"the run ended before kill {kill}: {process.communicate()[1]}")
            process.kill()
            process.communicate()
            if kill % KILLS_PER_MESSAGE == 0:
                print(f"{kill} kills, {log_length(killed)} of {steps} steps", file=sys.stderr, flush=True)
        finish(start(folder, killed, steps, stream, workers=2))
        equal = same_weights(straight, killed) and curve(straight) == curve(killed)
    print(f"{kills} kills in {steps} steps: weights and losses are {'bit-identical' if equal else 'NOT EQUAL'}")
    sys.exit(not equal)


def start(folder: Path, run: Path, steps: int, stream: bool, workers: int) -> subprocess.Popen[str]:
    program = Path(sys.executable).with_name("synpat-train")
    words = f"--shards {folder / 'set'} --out {run} --cache {folder / 'cache'} --steps {steps} --batch-size {BATCH}"
    own = f"--set stream={str(stream).lower()} --set window=150 --set checkpoint_every=3 --workers {workers}"
    command = [str(program), *words.split(), *own.split(), *SETTINGS.split()]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    errors = process.communicate()[1]
    if process.returncode:
        sys.exit(errors)


def log_length(run: Path) -> int:
    return (run / "log.jsonl").read_text().count("\n") if (run / "log.jsonl").exists() else 0


def wait_for(run: Path, steps: int, process: subprocess.Popen[str]) -> None:
    """Wait until a process has taken `steps` steps. A process starts by rewriting the log up to the last checkpoint."""
    born = time.time_ns()
    while process.poll() is None and not ((run / "log.jsonl").exists() and written(run) > born):
        time.sleep(0.002)
    begun = log_length(run)
    while process.poll() is None and log_length(run) < begun + steps:
        time.sleep(0.002)


def written(run: Path) -> int:
    return (run / "log.jsonl").stat().st_mtime_ns


def same_weights(run: Path, other: Path) -> bool:
    weights, other_weights = (load_file(folder / "encoder" / "model.safetensors") for folder in (run, other))
    return all(torch.equal(tensor, other_weights[name]) for name, tensor in weights.items())


def curve(run: Path) -> list[tuple[int, float, float]]:
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"], line["lr"]) for line in lines]


if __name__ == "__main__":
    main()
