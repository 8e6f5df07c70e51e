"""Helpers for tests of interrupted and distributed renders: a reference set, and child processes."""

from pathlib import Path

from synpat.rendering.render import make_spec, render_set


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def undisturbed(folder: Path, n: int, per_shard: int) -> dict[str, bytes]:
    """Render a set of perlin patterns of 32x64 in this process and return its files."""
    spec = make_spec("perlin", n, height=32, width=64, samples_per_shard=per_shard)
    render_set(folder, spec, workers=1, progress=lambda *_: None)
    return contents(folder)


def children(pid: int) -> list[int]:
    """Return the process ids of the children of a process."""
    return [int(one) for tree in Path(f"/proc/{pid}/task").glob("*/children") for one in tree.read_text().split()]
