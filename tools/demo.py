#!/usr/bin/env python3
"""Render patterns, pre-train an encoder on them, evaluate it on recorded instruments, and write a report.

The script runs the three programs. Finished stages are not repeated.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import click
from demo_evidence import gather
from report import write_report

DEMO = Path(__file__).parents[1] / "demo"
FAMILY = "soundscape"
COMMANDS = {
    "render": f"synpat render --family {FAMILY} --n 20000 --out {DEMO}/sets/{FAMILY}",
    "pre-train": f"synpat-train --steps 3000 --set decoder_depth=1 --shards {DEMO}/sets/{FAMILY} --out {DEMO}/run "
    f"--cache {DEMO}/cache",
    "evaluate": f"synpat-eval --encoder {DEMO}/run --task gm-instrument gm-pitch --protocol logistic "
    f"--out {DEMO}/evaluation --cache {DEMO}/cache",
}
RESULTS = {"render": f"sets/{FAMILY}/.synpat/manifest.json", "pre-train": "run/encoder", "evaluate": "evaluation"}
"""File or folder that shows that a stage is finished."""
TIMES = "seconds.json"


@click.command()
def main() -> None:
    """Run every stage, then write demo/report.html."""
    DEMO.mkdir(exist_ok=True)
    seconds = json.loads((DEMO / TIMES).read_text()) if (DEMO / TIMES).exists() else {}
    for stage, command in COMMANDS.items():
        if (DEMO / RESULTS[stage]).exists() and stage in seconds:
            continue
        print(f"== {stage}: {command}", file=sys.stderr, flush=True)
        began = time.monotonic()
        run(command)
        seconds[stage] = round(time.monotonic() - began)
        (DEMO / TIMES).write_text(json.dumps(seconds))
    print(write_report(DEMO, FAMILY, COMMANDS, seconds, gather(DEMO / "run", DEMO / "cache")))


def run(command: str) -> None:
    """Run a command of the project; exit with its code if it fails."""
    program, *words = command.split()
    if code := subprocess.run([Path(sys.executable).with_name(program), *words]).returncode:
        sys.exit(code)


if __name__ == "__main__":
    main()
