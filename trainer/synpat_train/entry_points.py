"""Where `synpat-train` and `synpat-eval` start: a missing extra and a user's mistake both end in one line."""

import importlib
import os
import sys


def train() -> None:
    """Run `synpat-train`."""
    _run("synpat-train", "synpat_train.pretraining.cli")


def evaluate() -> None:
    """Run `synpat-eval`."""
    _run("synpat-eval", "synpat_train.evaluation.cli")


def _run(program: str, module: str) -> None:
    # OpenMP's threads wait for each other by spinning. A short spin is as fast as the default where both cores are
    # ours, and loses much less where another program has one. It is read when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        command = importlib.import_module(module).main
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("synpat"):
            raise
        sys.exit(f"Error: {program} needs {missing.name}, which is not installed: pip install 'synpat[train]'")
    try:
        command(prog_name=program)
    except (ValueError, OSError) as mistake:
        sys.exit(f"Error: {mistake}")
    except RuntimeError as fault:
        if type(fault).__name__ != "OutOfMemoryError":  # torch's own; torch may be what is not installed
            raise
        sys.exit(f"Error: the GPU's memory is full: {fault}".partition("\n")[0])
