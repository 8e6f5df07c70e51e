"""Entry points of `synpat-train` and `synpat-eval`."""

import importlib
import os
import sys

from synpat_shards.command_line import user_message


def train() -> None:
    """Run `synpat-train`."""
    _run("synpat-train", "synpat_train.pretraining.cli")


def evaluate() -> None:
    """Run `synpat-eval`."""
    _run("synpat-eval", "synpat_train.evaluation.cli")


def _run(program: str, module: str) -> None:
    # OpenMP threads wait for each other by spinning. A short spin is as fast as the default on idle cores, and loses
    # much less where another program uses one. OpenMP reads this when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        command = importlib.import_module(module).main
    except ModuleNotFoundError as missing:
        message = user_message(missing)
        if message is None:
            raise
        sys.exit(f"Error: {message}")
    command(prog_name=program)
