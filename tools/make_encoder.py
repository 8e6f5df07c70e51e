#!/usr/bin/env python3
"""Make encoders/tiny: render the patterns, pre-train, evaluate, and write the encoder in float16 with its model card.

It takes about 110 minutes on two cores with AVX-512 and bfloat16. Finished stages are not repeated.
"""

import subprocess
import sys
from pathlib import Path

import click
from safetensors.torch import load_file, save

from synpat_train.model.sharing import DESCRIPTION, SUMS, WEIGHTS, checksums
from synpat_train.pretraining.model_card import card

ROOT = Path(__file__).parents[1]
SET, TARGETS, RUN = "sets/soundscape-300k", "sets/smooth-300k", "runs/tiny"
COMMANDS = (
    f"synpat render --family soundscape --n 300k --seed 100 --out {SET}",
    f"synpat render --family soundscape --n 300k --seed 100 --param smooth=true --out {TARGETS}",
    f"synpat-train --shards {SET} --targets {TARGETS} --out {RUN} --steps 93750 --set compile=true",
    f"synpat-eval --encoder {RUN} --task gm-instrument gm-pitch --protocol logistic",
)


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=ROOT / "encoders" / "tiny")
def main(out: Path) -> None:
    """Run the commands, then write the encoder."""
    for command in COMMANDS:
        program, *words = command.split()
        print(f"== {command}", file=sys.stderr, flush=True)
        if code := subprocess.run([Path(sys.executable).with_name(program), *words]).returncode:
            sys.exit(code)
    write_half(Path(RUN), out)
    print(out)


def write_half(run: Path, out: Path) -> None:
    """Write the encoder of a run with weights in float16, its checksums and its card."""
    out.mkdir(parents=True, exist_ok=True)
    weights = load_file(run / "encoder" / WEIGHTS)
    halves = save({name: tensor.half() for name, tensor in weights.items()}, {"format": "pt"})
    (out / WEIGHTS).write_bytes(halves)
    (out / DESCRIPTION).write_text((run / "encoder" / DESCRIPTION).read_text())
    (out / SUMS).write_text(checksums(out))
    commands = "\n".join(COMMANDS)
    (out / "README.md").write_text(
        f"{card(run)}\n## Made by\n\nThe weights are stored in float16. `python tools/make_encoder.py` runs these "
        f"commands and writes this folder:\n\n```\n{commands}\n```\n"
    )


if __name__ == "__main__":
    main()
