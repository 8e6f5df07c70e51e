#!/usr/bin/env python3
"""Demo on a small machine: render every family, pre-train, evaluate on recorded instruments, and write a report.

The script only runs the three commands. Finished stages are not repeated.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from report import write_report

from synpat.families import FAMILIES

DEMO = Path(__file__).parents[1] / "demo"
SAMPLES = 1000
"""Number of samples of each family."""
CONTROL = "white-noise"
"""Family that is rendered and shown but not used for training, because it has no structure to learn."""
ENCODER = "--model tiny --batch-size 32 --steps 600"
# Many small steps and a decoder as small as the encoder, so that the demo takes minutes on two cores.
DECODER = "--set decoder_width=128 --set decoder_depth=2 --set decoder_heads=4 --set base_lr=4e-3"
TASKS = ("gm-instrument", "gm-pitch")


def main() -> None:
    """Run all stages and write demo/report.html."""
    argparse.ArgumentParser(description=__doc__, epilog="Example: tools/demo.py").parse_args()
    families = [name for name, family in FAMILIES.items() if not family.expensive]
    stage(f"rendering {len(families)} families")
    run("synpat", "render", "--family", "all", "--n", SAMPLES, "--out", DEMO / "sets")
    stage("pre-training")
    shards = [word for family in families if family != CONTROL for word in ("--shards", DEMO / "sets" / family)]
    cache = ("--cache", DEMO / "cache")
    run("synpat-train", *shards, "--out", DEMO / "run", *ENCODER.split(), *DECODER.split(), *cache)
    stage("evaluating on recorded instruments")
    tasks = [word for task in TASKS for word in ("--task", task)]
    if not (DEMO / "evaluation" / "results.json").exists():
        run(
            "synpat-eval",
            "--encoder",
            DEMO / "run",
            *tasks,
            "--protocol",
            "logistic",
            "--out",
            DEMO / "evaluation",
            *cache,
        )
    stage("writing the report")
    print(write_report(DEMO, families))


def stage(name: str) -> None:
    print(f"== {name}", file=sys.stderr, flush=True)


def run(*command: object) -> None:
    """Run a command of synpat. If it fails, exit with its exit code."""
    program = Path(sys.executable).with_name(str(command[0]))
    if code := subprocess.run([program, *map(str, command[1:])]).returncode:
        sys.exit(code)


if __name__ == "__main__":
    main()
