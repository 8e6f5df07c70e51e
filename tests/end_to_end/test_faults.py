"""Killed, interrupted, out of disk: a render goes on where it was, and ends in the bytes of an undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synpat.render import make_recipe, render_set
from synpat_shards import read_manifest

N, PER_SHARD = 3000, 50


def command(out: Path, n: int = N) -> list[str]:
    options = f"render --family perlin --n {n} --samples-per-shard {PER_SHARD} --size 32x64 --workers 2 --out {out}"
    return [sys.executable, "-c", "from synpat.cli import main; main()", *options.split()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("straight") / "set"
    recipe = make_recipe("perlin", N, height=32, width=64, samples_per_shard=PER_SHARD)
    render_set(folder, recipe, workers=1, progress=lambda *_: None)
    return contents(folder)


def wait_for_shards(process: subprocess.Popen, folder: Path, count: int) -> None:
    while process.poll() is None and len(list(folder.glob("*.tar"))) < count:
        time.sleep(0.002)


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finding the workers needs /proc")
def test_kills_at_random_moments_change_no_byte(straight: dict[str, bytes], tmp_path: Path):
    """The parent or a worker is killed, at a random number of shards; run again until the set is whole."""
    dice, out = random.Random(0), tmp_path / "set"
    for _ in range(8):
        process = subprocess.Popen(command(out), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        wait_for_shards(process, out, len(list(out.glob("*.tar"))) + dice.randint(0, 4))
        time.sleep(dice.random() * 0.05)
        victims = [process.pid, *descendants(process.pid)] if process.poll() is None else []
        if victims:
            os.kill(dice.choice(victims), signal.SIGKILL)
            process.wait() if dice.random() < 0.5 else process.kill()
        process.communicate()
    done = subprocess.run(command(out), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert contents(out) == straight


def test_ctrl_c_leaves_nothing_half_written_and_says_how_to_go_on(straight: dict[str, bytes], tmp_path: Path):
    process = subprocess.Popen(
        command(tmp_path / "set"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What runs in the background of a script inherits a SIGINT that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for_shards(process, tmp_path / "set", 3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Run the same command again to go on." in said
    assert "Traceback" not in said
    finished = {name: data for name, data in contents(tmp_path / "set").items() if name.endswith(".tar")}
    assert finished.items() <= straight.items()
    assert subprocess.run(command(tmp_path / "set"), capture_output=True).returncode == 0
    assert contents(tmp_path / "set") == straight


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_ends_in_one_line_and_the_set_can_be_finished(straight: dict[str, bytes], small_disk: Path):
    done = subprocess.run(command(small_disk / "set"), capture_output=True, text=True)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    finished = {name: data for name, data in contents(small_disk / "set").items() if name.endswith(".tar")}
    assert finished
    assert finished.items() <= straight.items()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert subprocess.run(command(small_disk / "set"), capture_output=True).returncode == 0
    assert contents(small_disk / "set") == straight
    assert read_manifest(small_disk / "set").recipe.n == N
