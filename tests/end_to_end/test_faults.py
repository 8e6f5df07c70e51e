"""Renders that are killed, interrupted or run out of disk space can be continued and give the same bytes."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from renders import children, contents, undisturbed

from synpat_shards import read_manifest, verify

N, PER_SHARD = 3000, 50


def command(out: Path, n: int = N) -> list[str]:
    options = f"render --family perlin --n {n} --samples-per-shard {PER_SHARD} --size 32x64 --workers 2 --out {out}"
    return [sys.executable, "-c", "from synpat.cli import main; main()", *options.split()]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return undisturbed(tmp_path_factory.mktemp("straight") / "set", N, PER_SHARD)


def wait_for_shards(process: subprocess.Popen, folder: Path, count: int) -> None:
    while process.poll() is None and len(list(folder.glob("*.tar"))) < count:
        time.sleep(0.002)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finding the workers needs /proc")
def test_twenty_kills_at_random_times_do_not_change_the_bytes(straight: dict[str, bytes], tmp_path: Path):
    """The parent or a worker is killed, then the command is run again. tools/kill_render.py does this 200 times."""
    dice, out, kills = random.Random(0), tmp_path / "set", 0
    while kills < 20:
        process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and kills < 20:
            wait_for_shards(process, out, len(list(out.glob("*.tar"))) + dice.randint(0, 3))
            time.sleep(dice.random() * 0.3)
            if process.poll() is None:
                victims = children(process.pid)
                os.kill(dice.choice(victims) if victims and dice.random() < 0.7 else process.pid, signal.SIGKILL)
                kills += 1
        process.wait()
        if process.returncode == 0:
            assert contents(out) == straight
            shutil.rmtree(out)
    done = subprocess.run(command(out), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert contents(out) == straight


def test_a_killed_worker_does_not_stop_the_render(straight: dict[str, bytes], tmp_path: Path):
    process = subprocess.Popen(command(tmp_path / "set"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for child, shards in ((1, 2), (2, 8)):  # child 0 is a helper process of Python
        wait_for_shards(process, tmp_path / "set", shards)
        os.kill(children(process.pid)[child], signal.SIGKILL)
    assert process.wait() == 0
    assert contents(tmp_path / "set") == straight


def test_a_second_render_to_the_same_folder_is_rejected(straight: dict[str, bytes], tmp_path: Path):
    first = subprocess.Popen(command(tmp_path / "set"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_shards(first, tmp_path / "set", 1)
    first.send_signal(signal.SIGSTOP)  # it keeps its lock until it continues
    second = subprocess.run(command(tmp_path / "set"), capture_output=True, text=True)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1].startswith("Error: another process is writing to")
    assert first.wait() == 0
    assert contents(tmp_path / "set") == straight


def test_added_and_removed_files_are_reported_and_removed_ones_rendered_again(
    straight: dict[str, bytes], tmp_path: Path
):
    out = tmp_path / "set"
    process = subprocess.Popen(command(out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_shards(process, out, 6)
    shard = sorted(out.glob("*.tar"))[0]
    shard.unlink()
    (out / "perlin-999999.tar").write_bytes(b"not part of the set")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert f"{shard} was removed or changed after it was written: run the same command" in errors.splitlines()[-1]
    assert subprocess.run(command(out), capture_output=True).returncode == 0
    assert [(fault.file, fault.words) for fault in verify(out).faults] == [
        ("perlin-999999.tar", "is not part of the set")
    ]
    (out / "perlin-999999.tar").unlink()
    assert contents(out) == straight


def test_file_times_do_not_change_the_bytes(straight: dict[str, bytes], tmp_path: Path):
    """A render continues in a folder with files from 1970 and from the future."""
    out, dice = tmp_path / "set", random.Random(1)
    process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_shards(process, out, 10)
    process.kill()
    process.wait()
    for path in out.rglob("*"):
        time_of_file = dice.choice([0, 4e9])
        os.utime(path, (time_of_file, time_of_file))
    assert subprocess.run(command(out), capture_output=True).returncode == 0
    assert contents(out) == straight


def test_ctrl_c_leaves_no_partial_files_and_prints_how_to_continue(straight: dict[str, bytes], tmp_path: Path):
    process = subprocess.Popen(
        command(tmp_path / "set"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Background processes of a script ignore SIGINT by default.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for_shards(process, tmp_path / "set", 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Run the same command again to continue." in errors
    assert "Traceback" not in errors
    finished = {name: data for name, data in contents(tmp_path / "set").items() if name.endswith(".tar")}
    assert finished.items() <= straight.items()
    assert subprocess.run(command(tmp_path / "set"), capture_output=True).returncode == 0
    assert contents(tmp_path / "set") == straight


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finding the workers needs /proc")
def test_ctrl_c_while_the_workers_load_their_libraries_is_one_line(tmp_path: Path):
    """A terminal sends SIGINT to all processes."""
    process = subprocess.Popen(
        command(tmp_path / "set"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and len(children(process.pid)) < 3:  # a helper process of Python and two workers
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("Interrupted: 0 of 3,000 images are in ")


def test_a_full_disk_gives_a_one_line_error_and_the_set_can_be_finished_later(
    straight: dict[str, bytes], small_disk: Path
):
    done = subprocess.run(command(small_disk / "set"), capture_output=True, text=True)
    assert done.returncode == 1
    assert ".tar: No space left on device" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    finished = {name: data for name, data in contents(small_disk / "set").items() if name.endswith(".tar")}
    assert finished
    assert finished.items() <= straight.items()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert subprocess.run(command(small_disk / "set"), capture_output=True).returncode == 0
    assert contents(small_disk / "set") == straight
    assert read_manifest(small_disk / "set").spec.n == N


def test_a_read_only_folder_gives_a_one_line_error(straight: dict[str, bytes], small_disk: Path):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    done = subprocess.run(command(small_disk / "set"), capture_output=True, text=True)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not list(small_disk.iterdir())


def malicious_tars() -> dict[str, bytes]:
    """Return malicious shards by the kind of attack."""

    def tar(*entries: tuple[str, bytes, dict[str, object]]) -> bytes:
        blocks = []
        for name, data, fields in entries:
            (entry := tarfile.TarInfo(name)).size = len(data)
            for field, value in fields.items():
                setattr(entry, field, value)
            blocks.append(entry.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512))
        return b"".join(blocks) + bytes(1024)

    pickled = b"cos\nsystem\n(S'touch PWNED'\ntR."
    bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + 2 * (60_000).to_bytes(4) + b"\x08\0\0\0\0" + bytes(64)
    return {
        "traversal": tar(("../../PWNED", b"x", {})),
        "absolute": tar(("/tmp/PWNED.png", b"x", {})),
        "symlink": tar(("0000000000.png", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})),
        "device": tar(("0000000000.png", b"", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5})),
        "bomb": tar(("0000000000.png", bomb, {}), ("0000000000.cls", b"0", {})),
        "10 GB header": tar(("0000000000.png", b"", {"size": 10 << 30})),
        "pickle": tar(("0000000000.pickle", pickled, {}), ("0000000000.pyd", pickled, {})),
        "duplicate": tar(("0000000000.png", b"x", {}), ("0000000000.png", b"y", {})),
        "mixed": tar(("0000000000.png", b"x", {}), ("0000000001.cls", b"0", {})),
        "truncated": tar(("0000000000.png", bytes(5000), {}))[:2000],
    }


@pytest.mark.parametrize("kind", malicious_tars())
def test_a_malicious_shard_is_rejected_within_200_megabytes(kind: str, perlin_set: Path, tmp_path: Path):
    """The manifest has the size and checksum of the malicious shard."""
    folder = tmp_path / "set"
    shutil.copytree(perlin_set, folder)
    data = malicious_tars()[kind]
    (folder / "perlin-000000.tar").write_bytes(data)
    path = folder / ".synpat" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"][0] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps(manifest))
    script = (
        "import sys\n"
        "from synpat_shards import verify\n"
        "for fault in verify(sys.argv[1]).faults:\n"
        "    if fault.check == 'samples': print(fault.file, fault.words)\n"
        "peak = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(int(peak) / 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, folder], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    fault, *_, megabytes = done.stdout.splitlines()
    assert fault.startswith("perlin-000000.tar ")
    assert float(megabytes) < 200
    assert os.listdir(tmp_path) == ["set"]
    assert not Path("/tmp/PWNED.png").exists()
