"""Entry points of `synpat-train` and `synpat-eval`."""

import contextlib
import ctypes
import importlib
import os
import sys

from synpat_shards.command_line import user_message

MALLOC_OPTIONS = {-1: 2**31 - 1, -2: 64 << 20, -3: 32 << 20, -8: 1}
"""glibc's M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD (at its upper limit) and M_ARENA_MAX, by their numbers."""


def train() -> None:
    """Run `synpat-train`."""
    _run("synpat-train", "synpat_train.pretraining.cli")


def evaluate() -> None:
    """Run `synpat-eval`."""
    _run("synpat-eval", "synpat_train.evaluation.cli")


def keep_memory() -> None:
    """Let glibc keep freed memory, in one arena for all threads, instead of returning it to the system.

    A step of training frees and allocates the same blocks again; otherwise each of their pages is a page fault. It must
    be called before other threads start.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        set_option = ctypes.CDLL(None).mallopt
        for option, value in MALLOC_OPTIONS.items():
            set_option(option, value)


def _run(program: str, module: str) -> None:
    keep_memory()
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
