"""Runs that were stopped, killed or out of disk space resume, and end with the same bits as an uninterrupted run."""

import dataclasses
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from servers import ObjectStore, Proxy

from synpat_shards import publish, store
from synpat_train.config import Config, make_config, to_yaml
from synpat_train.pretraining.checkpoint import checkpoints
from synpat_train.pretraining.signals import Stopped
from synpat_train.pretraining.train import pretrain

SETTINGS = {
    "model": "tiny",
    "decoder_width": 48,
    "decoder_depth": 1,
    "decoder_heads": 3,
    "batch_size": 16,
    "steps": 16,
    "log_every": 1,
    "checkpoint_every": 5,
    "pictures_every": 100,
    "base_lr": 1e-2,
    "precision": "float32",
    "width": 48,
    "accumulate": 2,
    "ema": 0.9,
}
"""An epoch of 100 samples has 6 steps, so that only the last checkpoint is at the end of an epoch. The images are
cropped in time."""


def train(run: Path, shards: Path, config: Config, workers: int = 1) -> Path:
    """Train until the end, or until a signal stops the run."""
    with suppress(Stopped):
        pretrain(str(shards), run, config, cache=run.parent / "cache", workers=workers)
    return run


def log(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines() if line.endswith("}")]


def assert_equal(run: Path, other: Path) -> None:
    """Check that two runs have the same encoder, bit for bit, and the same loss at every step."""
    computed, expected = (load_file(folder / "encoder" / "model.safetensors") for folder in (run, other))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in computed.items())
    curves = [[(line["step"], line["loss"], line["lr"]) for line in log(folder)] for folder in (run, other)]
    assert curves[0] == curves[1]


@pytest.fixture(scope="module", params=[False, True], ids=["cache", "stream"])
def config(request: pytest.FixtureRequest) -> Config:
    return make_config("msm-mae", SETTINGS | {"stream": request.param, "window": 30})


@pytest.fixture(scope="module")
def uninterrupted(config: Config, perlin_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("uninterrupted") / "run", perlin_set, config)


def stop_at(run: Path, step: int) -> None:
    """Send SIGTERM to this process when the log has reached a step."""

    def watch() -> None:
        while not (run / "log.jsonl").exists() or len(log(run)) < step:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def test_repeatedly_stopped_run_ends_with_the_same_weights(
    config: Config, uninterrupted: Path, perlin_set: Path, tmp_path: Path
):
    rng, run, stops = random.Random(config.stream is True), tmp_path / "run", 0
    while not (run / "encoder").exists():
        done = len(log(run)) if run.exists() else 0
        if done < 12:
            stop_at(run, min(done + rng.randint(1, 6), 13))
        train(run, perlin_set, config, workers=rng.randint(1, 3))
        stops += 1
    assert stops > 2
    assert_equal(run, uninterrupted)


def start(run: Path, shards: Path, config: Config, *launcher: object) -> subprocess.Popen[str]:
    """Start the command in another process."""
    (run.parent / "config.yaml").write_text(to_yaml(config))
    program = Path(sys.executable).with_name("synpat-train")
    command = [*launcher, program, "--shards", shards, "--out", run, "--config", run.parent / "config.yaml"]
    command += ["--cache", run.parent / "cache", "--workers", 2]
    return subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True)


def wait_for(run: Path, step: int, process: subprocess.Popen) -> None:
    while process.poll() is None and (not (run / "log.jsonl").exists() or len(log(run)) < step):
        time.sleep(0.002)


def test_killed_and_terminated_run_ends_with_the_same_weights(
    config: Config, uninterrupted: Path, perlin_set: Path, tmp_path: Path
):
    if not config.stream:
        pytest.skip("tested with one way of reading, because processes start slowly")
    rng, run = random.Random(0), tmp_path / "run"
    process = start(run, perlin_set, config)
    wait_for(run, rng.randint(6, 10), process)
    process.kill()
    process.communicate()
    half_written = run / "checkpoints" / ".step-000000099.pt.0.partial"
    half_written.touch()
    process = start(run, perlin_set, config)
    wait_for(run, len(log(run)) + 2, process)
    assert not half_written.exists()
    process.send_signal(signal.SIGUSR1)  # as Slurm does with --signal=USR1@120
    output = process.communicate()[1]
    assert process.returncode == 128 + signal.SIGUSR1, output
    assert "Run the same command to continue" in output
    assert_equal(train(run, perlin_set, config), uninterrupted)


def two_ranks(*options: str) -> list[object]:
    """Return a command prefix that starts two ranks. Rank 1 starts late, as on a busy machine."""
    torchrun = [Path(sys.executable).with_name("torchrun"), "--standalone", "--nproc-per-node=2", "--no-python"]
    return [*torchrun, *options, "sh", "-c", 'sleep "$RANK"; exec "$@"', "late"]


def output_of(process: subprocess.Popen[str]) -> str:
    """Wait for a process and return its messages. One that hangs is terminated (torch waits half an hour)."""
    try:
        return process.communicate(timeout=300)[1]
    finally:
        process.terminate()  # torchrun terminates its ranks


def ranks_of(process: subprocess.Popen) -> list[int]:
    """Return the ids of the processes that torchrun has started."""
    return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.fixture
def halves(config: Config) -> Config:
    """Return settings with which two ranks compute the same as one process with the batch in two parts."""
    if config.stream:
        pytest.skip("tested with one way of reading, because processes start slowly")
    return dataclasses.replace(config, accumulate=1)


def test_two_ranks_with_one_killed_end_with_the_weights_of_one_process(
    halves: Config, uninterrupted: Path, perlin_set: Path, tmp_path: Path
):
    run = tmp_path / "run"
    process = start(run, perlin_set, halves, *two_ranks())
    wait_for(run, 8, process)
    os.kill(ranks_of(process)[-1], signal.SIGKILL)
    output_of(process)
    assert process.returncode == 1
    process = start(run, perlin_set, halves, *two_ranks())
    output = output_of(process)
    assert process.returncode == 0, output
    assert_equal(run, uninterrupted)


def test_two_ranks_restarted_by_torchrun_end_with_the_weights_of_one_process(
    halves: Config, uninterrupted: Path, perlin_set: Path, tmp_path: Path
):
    run = tmp_path / "run"
    process = start(run, perlin_set, halves, *two_ranks("--max-restarts=1"))
    wait_for(run, 6, process)
    os.kill(ranks_of(process)[-1], signal.SIGKILL)
    output = output_of(process)
    assert process.returncode == 0, output
    assert output.count(" to 16 on 2 x cpu") == 2
    assert_equal(run, uninterrupted)


def test_two_terminated_ranks_write_a_checkpoint_and_resume(
    halves: Config, uninterrupted: Path, perlin_set: Path, tmp_path: Path
):
    """All processes get the signal, as from a scheduler, and torchrun forwards its own to the ranks."""
    run = tmp_path / "run"
    process = start(run, perlin_set, halves, *two_ranks())
    wait_for(run, 6, process)
    for number in (*ranks_of(process), process.pid):
        os.kill(number, signal.SIGTERM)
    output = output_of(process)
    assert f"Stopped after step {len(log(run))} of 16" in output
    assert checkpoints(run)[-1].name == f"step-{len(log(run)):09d}.pt"
    process = start(run, perlin_set, halves, *two_ranks())
    output = output_of(process)
    assert process.returncode == 0, output
    assert_equal(run, uninterrupted)


def test_run_continues_with_the_earlier_checkpoint_on_a_full_disk(
    uninterrupted: Path, config: Config, perlin_set: Path, tmp_path: Path, capfd: pytest.CaptureFixture
):
    """A limit of 1 MB per file simulates a full disk while the second checkpoint is written."""
    run, before = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)

    def watch() -> None:
        for step, most in ((6, 1 << 20), (11, before[0])):
            while not (run / "log.jsonl").exists() or len(log(run)) < step:
                time.sleep(0.001)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))

    threading.Thread(target=watch, daemon=True).start()
    train(run, perlin_set, config)
    assert "no checkpoint at step 10, the one before it stays, training continues: " in capfd.readouterr().err
    assert [path.name for path in checkpoints(run)] == ["step-000000015.pt", "step-000000016.pt"]
    assert not list(run.rglob("*.partial"))
    assert_equal(run, uninterrupted)


def test_error_for_checkpoint_of_another_configuration_names_the_difference(
    uninterrupted: Path, config: Config, perlin_set: Path, tmp_path: Path
):
    """The configuration in the folder is replaced, so that only the checkpoint has the original one."""
    shutil.copytree(uninterrupted, tmp_path / "run")
    other = dataclasses.replace(config, seed=7)
    (tmp_path / "run" / "config.yaml").write_text(to_yaml(other))
    with pytest.raises(ValueError, match=r"step-000000016.pt belongs to another run: seed is 0, not 7"):
        train(tmp_path / "run", perlin_set, other)


def test_resumed_run_may_change_its_logging(uninterrupted: Path, config: Config, perlin_set: Path, tmp_path: Path):
    shutil.copytree(uninterrupted, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "step-000000016.pt").unlink()
    train(tmp_path / "run", perlin_set, dataclasses.replace(config, log_every=3, checkpoint_every=2))
    computed, expected = (load_file(run / "encoder" / "model.safetensors") for run in (tmp_path / "run", uninterrupted))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in computed.items())


def test_resumed_run_may_divide_its_batches_into_more_parts(
    uninterrupted: Path, config: Config, perlin_set: Path, tmp_path: Path
):
    shutil.copytree(uninterrupted, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "step-000000016.pt").unlink()
    train(tmp_path / "run", perlin_set, dataclasses.replace(config, accumulate=4))
    assert log(tmp_path / "run")[-1]["loss"] == pytest.approx(log(uninterrupted)[-1]["loss"], rel=1e-4)


def test_error_for_corrupt_checkpoint_names_file_and_solution(
    uninterrupted: Path, config: Config, perlin_set: Path, tmp_path: Path
):
    shutil.copytree(uninterrupted, tmp_path / "run")
    last = checkpoints(tmp_path / "run")[-1]
    last.write_bytes(last.read_bytes()[:50000])
    with pytest.raises(
        ValueError, match=r"step-000000016.pt is corrupt: .* Remove it to continue from the previous checkpoint"
    ):
        train(tmp_path / "run", perlin_set, config)


def test_flipped_bit_in_a_checkpoint_is_detected(uninterrupted: Path, config: Config, perlin_set: Path, tmp_path: Path):
    shutil.copytree(uninterrupted, tmp_path / "run")
    last = checkpoints(tmp_path / "run")[-1]
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    with pytest.raises(ValueError, match=r"step-000000016.pt is corrupt: the checksum of \S+ is wrong. Remove it"):
        train(tmp_path / "run", perlin_set, config)


def test_error_for_foreign_checkpoint_names_it(uninterrupted: Path, config: Config, perlin_set: Path, tmp_path: Path):
    shutil.copytree(uninterrupted, tmp_path / "run")
    torch.save(torch.zeros(3), checkpoints(tmp_path / "run")[-1])
    with pytest.raises(ValueError, match=r"step-000000016.pt is corrupt: .* Remove it"):
        train(tmp_path / "run", perlin_set, config)


def test_nan_weights_never_replace_a_valid_checkpoint(perlin_set: Path, tmp_path: Path):
    """The learning rate of the first step is zero. The second step makes the weights invalid before any loss is."""
    diverging = make_config(
        "msm-mae", SETTINGS | {"base_lr": 1e41, "log_every": 100, "checkpoint_every": 1, "clip": None}
    )
    with pytest.raises(ValueError, match=r"NaN or infinite at step 2.* last valid checkpoint is .*step-000000001\.pt"):
        train(tmp_path / "run", perlin_set, diverging)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step-000000001.pt"]
    keys = json.loads((tmp_path / "run" / "bad-batch.json").read_text())["keys"]
    assert len(keys) == 16
    assert keys[0].startswith(str(perlin_set / "perlin-00000"))


def test_deleted_shard_stops_the_run_with_a_checkpoint_and_can_be_skipped(perlin_set: Path, tmp_path: Path):
    shutil.copytree(perlin_set, tmp_path / "set")
    config = make_config("msm-mae", SETTINGS | {"stream": True, "window": 100, "checkpoint_every": 100})

    def watch() -> None:
        while not (tmp_path / "run" / "log.jsonl").exists() or not log(tmp_path / "run"):
            time.sleep(0.001)
        (tmp_path / "set" / "perlin-000002.tar").unlink()

    threading.Thread(target=watch, daemon=True).start()
    with pytest.raises(OSError, match=r"perlin-000002\.tar"):
        train(tmp_path / "run", tmp_path / "set", config)
    [saved] = checkpoints(tmp_path / "run")
    assert torch.load(saved, weights_only=True)["step"] == len(log(tmp_path / "run"))
    train(tmp_path / "run", tmp_path / "set", dataclasses.replace(config, skip_damaged=True))
    assert log(tmp_path / "run")[-1]["step"] == 16
    assert log(tmp_path / "run")[-1]["skipped"] > 0


def test_unavailable_store_stops_the_run_with_a_checkpoint_and_the_run_resumes(
    perlin_set: Path, s3: str, object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = make_config("msm-mae", SETTINGS | {"stream": True, "window": 1, "checkpoint_every": 100})
    uninterrupted = train(tmp_path / "uninterrupted", perlin_set, config)
    monkeypatch.setattr(store, "WAITS", (0.05, 0.05))
    requested: set[str] = set()
    unavailable = False

    def third_shard_is_unavailable(method: str, path: str) -> int | None:
        if unavailable and method == "GET" and ".tar" in path:
            requested.add(path.partition("?")[0])
        return 503 if unavailable and len(requested) > 2 else None

    with Proxy(object_store.port, third_shard_is_unavailable) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # attempts of the client library, inside those of synpat
        publish(perlin_set, s3)
        run, unavailable = tmp_path / "run", True
        with pytest.raises(OSError, match=r"perlin-\d+\.tar.*(injected error|Service Unavailable)"):
            pretrain(s3, run, config, cache=tmp_path / "cache", workers=1)
        (saved,) = checkpoints(run)
        assert 0 < torch.load(saved, weights_only=True)["step"] == len(log(run)) < SETTINGS["steps"]
        unavailable = False
        pretrain(s3, run, config, cache=tmp_path / "cache", workers=1)
    assert_equal(run, uninterrupted)


def test_resumed_threads_in_bfloat16_end_with_the_same_weights(perlin_set: Path, tmp_path: Path):
    config = make_config("msm-mae", SETTINGS | {"precision": "bfloat16", "accumulate": 1, "steps": 8})
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        uninterrupted = train(tmp_path / "uninterrupted", perlin_set, config)
        stop_at(tmp_path / "run", 3)
        train(tmp_path / "run", perlin_set, config)
        assert_equal(train(tmp_path / "run", perlin_set, config), uninterrupted)
    finally:
        torch.set_num_threads(threads)
