"""The three programs. This package imports nothing, so that Ctrl-C is handled while their libraries are loaded."""

import importlib
import sys

INTERRUPTED = 130
"""Exit code after SIGINT, as shells report it."""


def synpat() -> None:
    """Run `synpat`."""
    _run("synpat.cli", "main")


def train() -> None:
    """Run `synpat-train`."""
    _run("synpat_train.entry_points", "train")


def evaluate() -> None:
    """Run `synpat-eval`."""
    _run("synpat_train.entry_points", "evaluate")


def _run(module: str, function: str) -> None:
    try:
        getattr(importlib.import_module(module), function)()
    except KeyboardInterrupt:  # before the program has started, which then handles it
        sys.exit(INTERRUPTED)
