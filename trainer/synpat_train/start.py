"""Where `synpat-train` and `synpat-eval` start: a missing extra and a user's mistake both end in one line."""

import contextlib
import ctypes
import importlib
import os
import sys

MALLOC_OPTIONS = {-1: 2**31 - 1, -2: 64 << 20, -3: 32 << 20, -8: 1}
"""glibc's M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD (at its upper limit) and M_ARENA_MAX, by their numbers."""


def train() -> None:
    """Run `synpat-train`."""
    _run("synpat-train", "synpat_train.cli")


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
