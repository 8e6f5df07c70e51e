#!/usr/bin/env python3
"""Make encoders/tiny: render the patterns, pre-train, evaluate, and write the encoder in float16 with its model card.

It takes about two hours on two cores. Finished stages are not repeated.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import click
from safetensors.torch import load_file, save_file

from synpat_train.pretraining.model_card import card

ROOT = Path(__file__).parents[1]
SET, RUN = "sets/soundscape-100k", "runs/tiny"
COMMANDS = (
    f"synpat render --family soundscape --n 100k --seed 100 --out {SET}",
    f"synpat-train --shards {SET} --out {RUN} --steps 25k --set compile=true",
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
    """Write the encoder of a run with weights in float16, and its card with their digest."""
    out.mkdir(parents=True, exist_ok=True)
    weights = load_file(run / "encoder" / "model.safetensors")
    save_file({name: tensor.half() for name, tensor in weights.items()}, out / "model.safetensors", {"format": "pt"})
    description = json.loads((run / "encoder" / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(description, indent=1) + "\n")
    digests = "\n".join(
        f"| {name} | `{hashlib.sha256((out / name).read_bytes()).hexdigest()}` |"
        for name in ("model.safetensors", "config.json")
    )
    made = "\n".join(["", *COMMANDS])
    (out / "README.md").write_text(
        f"{card(run)}\n## Files\n\nThe weights are stored in float16. `python tools/make_encoder.py` makes this "
        f"folder:\n\n```{made}\n```\n\n| file | SHA-256 |\n|---|---|\n{digests}\n"
    )


if __name__ == "__main__":
    main()
