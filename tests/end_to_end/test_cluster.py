"""Rendering of one set in slices, and on a real Dask cluster that loses workers, a host or its scheduler."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from renders import children, contents, undisturbed

N, PER_SHARD = 2400, 20
COMMAND = [sys.executable, "-c", "from synpat.cli import main; main()"]


def render(out: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    what = f"render --family perlin --n {N} --samples-per-shard {PER_SHARD} --size 32x64 --out {out}"
    return subprocess.Popen(
        [*COMMAND, *what.split(), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment,
    )  # fmt: skip


def shards(folder: Path) -> int:
    return len(list(folder.glob("*.tar")))


def wait_for_shards(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    while shards(folder) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return undisturbed(tmp_path_factory.mktemp("straight") / "set", N, PER_SHARD)


def test_slices_in_parallel_write_the_same_bytes(straight: dict[str, bytes], tmp_path: Path):
    out, count = tmp_path / "set", {"SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "3"}
    slurm = [render(out, "--slice", "auto", SLURM_ARRAY_TASK_ID=str(task), **count) for task in (1, 2)]
    for process in slurm:
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        assert f"synpat finalize {out}" in output
    early = subprocess.run([*COMMAND, "finalize", out], capture_output=True, text=True)
    assert early.returncode == 1
    assert "40 of 120 shards" in early.stderr
    assert "perlin-000002.tar" in early.stderr
    kubernetes = render(out, "--slice", "auto/3", JOB_COMPLETION_INDEX="2")
    assert (kubernetes.communicate(), kubernetes.returncode)[1] == 0
    subprocess.run([*COMMAND, "finalize", out], check=True, capture_output=True)
    assert contents(out) == straight


class Cluster:
    """A Dask scheduler and its hosts. Each host is a nanny process with a worker process."""

    def __init__(self, folder: Path) -> None:
        self.file, self.hosts = folder / "scheduler.json", list[subprocess.Popen[bytes]]()
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        while not self.file.exists():
            time.sleep(0.05)

    def _start(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", "--scheduler-file", str(self.file)]
        return subprocess.Popen(
            [*command, "--no-dashboard", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def add_host(self) -> None:
        self.hosts.append(self._start("worker", "--nthreads", "1", "--death-timeout", "5"))

    def workers(self) -> list[int]:
        """Return the process ids of the workers of all nannies."""
        pids = [pid for host in self.hosts if host.poll() is None for pid in children(host.pid)]
        return [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def kill_host(self, number: int) -> None:
        """Kill a host and all its processes at once, as in a power failure."""
        host = self.hosts[number]
        orphans = children(host.pid)
        host.kill()
        host.wait()
        for orphan in orphans:
            with suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)

    def end(self) -> None:
        for number, host in enumerate(self.hosts):
            if host.poll() is None:
                self.kill_host(number)
        self.scheduler.kill()
        self.scheduler.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    cluster.add_host()
    yield cluster
    cluster.end()


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finding the workers needs /proc")


@needs_proc
def test_a_dask_cluster_that_loses_workers_and_a_host_writes_the_same_bytes(
    straight: dict[str, bytes], cluster: Cluster, tmp_path: Path
):
    out = tmp_path / "set"
    process = render(out, "--dask-file", str(cluster.file))
    for kill in range(1, 3):
        wait_for_shards(process, out, 15 * kill)
        os.kill(cluster.workers()[0], signal.SIGKILL)
    wait_for_shards(process, out, 45)
    cluster.add_host()
    cluster.kill_host(0)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert contents(out) == straight


@needs_proc
def test_a_lost_dask_scheduler_is_reported_and_the_next_run_continues(
    straight: dict[str, bytes], cluster: Cluster, tmp_path: Path
):
    out = tmp_path / "set"
    process = render(out, "--dask-file", str(cluster.file))
    wait_for_shards(process, out, 20)
    cluster.scheduler.kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was lost: run the same command again to continue" in errors
    assert "Traceback" not in errors
    count = shards(out)
    again = render(out)
    assert (again.communicate(), again.returncode)[1] == 0
    assert count >= 20
    assert contents(out) == straight


def test_an_unreachable_dask_scheduler_is_reported(tmp_path: Path):
    process = render(tmp_path / "set", "--dask", "tcp://127.0.0.1:9")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.startswith("Error: no Dask scheduler responds at tcp://127.0.0.1:9")
    assert not (tmp_path / "set").exists()
