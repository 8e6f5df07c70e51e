"""Sets on the Hugging Face Hub, with a stand-in of its HTTP interface on this machine."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import Hub

from synpat_shards import open_store, verify

pytest.importorskip("huggingface_hub")

REPOSITORY = "hf://datasets/user/perlin"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        yield server


@pytest.fixture
def synpat(hub: Hub, tmp_path: Path) -> Run:
    """Return a function that runs `synpat` with the stand-in, in another process because its address is read once."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from synpat.cli import main; main()", *map(str, words)]
        place = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": "hf_secret", "HF_HOME": str(tmp_path / "hub")}
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | place)

    return run


def test_a_set_is_published_to_a_new_repository_and_verified(perlin_set: Path, hub: Hub, synpat: Run, tmp_path: Path):
    done = synpat("publish", perlin_set, REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert hub.files.keys() - {".gitattributes"} == open_store(perlin_set).sizes().keys()
    assert synpat("verify", REPOSITORY).returncode == 0
    commits = hub.commits
    assert "0 shards copied, 4 already present" in synpat("publish", perlin_set, REPOSITORY).stdout
    assert hub.commits <= commits + 2  # the claim, and its removal
    # A copy by the Hub's client has more files.
    for name, data in {**hub.files, ".cache/huggingface/download/README.md.metadata": b""}.items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(data)
    assert not verify(tmp_path / "copy").faults


def test_a_set_is_rendered_into_a_new_repository(synpat: Run):
    done = synpat(*f"render --family perlin --n 4 --size 16x16 --workers 1 --out {REPOSITORY}".split())
    assert done.returncode == 0, done.stderr
    assert synpat("verify", REPOSITORY).returncode == 0


def test_a_repository_with_another_card_is_refused(perlin_set: Path, hub: Hub, synpat: Run):
    hub.files["README.md"] = b"my other data"
    done = synpat("publish", perlin_set, REPOSITORY)
    assert done.stderr.splitlines()[-1] == (
        f"Error: {REPOSITORY} is not empty and contains no shard set, but README.md: choose another target"
    )
    assert hub.commits == 0


def test_a_repository_that_does_not_exist_is_reported_at_once(perlin_set: Path, synpat: Run):
    start = time.monotonic()
    done = synpat("publish", perlin_set, "hf://datasets/user/other")
    assert "hf://datasets/user/other" in done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert time.monotonic() - start < 20
