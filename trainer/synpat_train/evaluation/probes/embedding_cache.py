"""Embeddings on disk, computed once for each encoder and task. An interrupted computation is continued."""

import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from synpat_shards import valid_content, write_atomically
from synpat_train.evaluation.tasks.recordings import Recordings, digest_of
from synpat_train.lock import exclusive_lock
from synpat_train.model.encoder import Encoder

from .embedding import Embedder, EmbeddingContext, batches_of_equal_steps, embed, processor

VERSION = 1
"""Increased when the embedding of the same clip by the same encoder changes."""
SECONDS_BETWEEN_SAVES = 20.0


def embeddings(
    recordings: Recordings,
    embedders: Sequence[Embedder],
    context: EmbeddingContext,
    *,
    encoder: Encoder,
    batch_size: int,
    cache: Path,
    what: str,
) -> list[np.ndarray]:
    """Return the embeddings of all clips by each embedder, memory-mapped from the cache: float32 [clips, features].

    encoder: its time steps determine the batches. batch_size: number of its inputs that are embedded at once.
    """
    setting = [
        VERSION,
        recordings.digest,
        context.front_end.name,
        asdict(context.normalisation),
        context.unit,
        processor(context.device),
        encoder.width,
    ]
    folder = cache / "embeddings" / _key(setting)
    files = [folder / f"{_key([embedder.digest])}.npy" for embedder in embedders]
    if not all(file.exists() for file in files):
        with exclusive_lock(folder):
            missing = {file: embedder for file, embedder in zip(files, embedders, strict=True) if not file.exists()}
            batches = batches_of_equal_steps(recordings, encoder, context, batch_size)
            plan = _key([batch.tolist() for batch in batches])
            unfinished = [_begin(file, (len(recordings), each.features), plan) for file, each in missing.items()]
            rest = batches[min(each.done for each in unfinished) :]
            computed = embed(recordings, list(missing.values()), context, rest, what)
            _fill(unfinished, zip(rest, computed, strict=True), done=len(batches) - len(rest))
    return [_load(file) for file in files]


def _load(file: Path) -> np.ndarray:
    with valid_content(file, "Remove it to compute it again"):
        return np.load(file, mmap_mode="r")


@dataclass
class _PartialEmbeddings:
    """Embeddings of which only the first batches are computed."""

    file: Path
    """Final path."""
    values: np.memmap
    plan: str
    done: int
    """Number of finished batches."""

    def save_progress(self, done: int) -> None:
        """Store the number of finished batches."""
        self.values.flush()
        write_atomically(_progress(self.file), json.dumps({"plan": self.plan, "done": done}).encode())

    def finish(self) -> None:
        """Move the file to its final path."""
        self.values.flush()
        os.replace(_partial(self.file), self.file)
        _progress(self.file).unlink(missing_ok=True)


def _begin(file: Path, shape: tuple[int, int], plan: str) -> _PartialEmbeddings:
    """Create a file, or continue that of an interrupted computation with the same batches."""
    partial, progress = _partial(file), _progress(file)
    if partial.exists() and progress.exists():
        with valid_content(partial, f"Remove it and {progress.name} to compute it again"):
            saved = json.loads(progress.read_bytes())
            if saved["plan"] == plan:
                return _PartialEmbeddings(file, np.lib.format.open_memmap(partial, "r+"), plan, int(saved["done"]))
    values = np.lib.format.open_memmap(partial, "w+", np.float32, shape)
    return _PartialEmbeddings(file, values, plan, 0)


def _fill(
    unfinished: Sequence[_PartialEmbeddings], computed: Iterable[tuple[np.ndarray, list[np.ndarray]]], done: int
) -> None:
    """Write the embeddings of batches by each embedder, then move the files to their final paths.

    done: number of earlier batches.
    """
    last_save = time.monotonic()
    for number, (batch, by_embedder) in enumerate(computed, done + 1):
        for each, values in zip(unfinished, by_embedder, strict=True):
            each.values[batch] = values
        if time.monotonic() - last_save > SECONDS_BETWEEN_SAVES:
            for each in unfinished:
                each.save_progress(number)
            last_save = time.monotonic()
    for each in unfinished:
        each.finish()


def _partial(file: Path) -> Path:
    return file.with_suffix(".partial")


def _progress(file: Path) -> Path:
    return file.with_suffix(".json")


def _key(parts: Sequence[object]) -> str:
    return digest_of(json.dumps(parts))[:32]
