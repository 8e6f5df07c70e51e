"""Where `synpat-train` and `synpat-eval` start: a missing extra and a user's mistake both end in one line."""

import importlib
import sys


def train() -> None:
    """Run `synpat-train`."""
    _run("synpat-train", "synpat_train.cli")


def evaluate() -> None:
    """Run `synpat-eval`."""
    _run("synpat-eval", "synpat_train.evaluation.cli")


def _run(program: str, module: str) -> None:
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
