"""A run that is stopped, killed or starved goes on, and ends in the bits of one that nothing ever happened to."""

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
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from servers import ObjectStore, Proxy

from synpat_shards import publish, store
from synpat_train.config import Config, make_config, to_yaml
from synpat_train.pretraining.checkpoint import checkpoints
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
"""An epoch of 100 samples has 6 steps, so that no checkpoint but the last lies at the end of one; and the images are
cut in time."""


def train(run: Path, shards: Path, config: Config, workers: int = 1) -> Path:
    pretrain(run, [str(shards)], config, run.parent / "cache", workers)
    return run


def log(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines() if line.endswith("}")]


def assert_equal(run: Path, other: Path) -> None:
    """The same encoder to the bit, and the same loss at every step."""
    ours, theirs = (load_file(folder / "encoder" / "model.safetensors") for folder in (run, other))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    curves = [[(line["step"], line["loss"], line["lr"]) for line in log(folder)] for folder in (run, other)]
    assert curves[0] == curves[1]


@pytest.fixture(scope="module", params=[False, True], ids=["cache", "stream"])
def config(request: pytest.FixtureRequest) -> Config:
    return make_config("msm-mae", SETTINGS | {"stream": request.param, "window": 30})


@pytest.fixture(scope="module")
def straight(config: Config, perlin_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("straight") / "run", perlin_set, config)


def stop_at(run: Path, step: int) -> None:
    """Send SIGTERM to this process once the log has come to a step."""

    def watch() -> None:
        while not (run / "log.jsonl").exists() or len(log(run)) < step:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def test_a_run_that_was_asked_to_stop_again_and_again_ends_in_the_same_bits(
    config: Config, straight: Path, perlin_set: Path, tmp_path: Path
):
    dice, run, stops = random.Random(config.stream is True), tmp_path / "run", 0
    while not (run / "encoder").exists():
        done = len(log(run)) if run.exists() else 0
        if done < 12:
            stop_at(run, min(done + dice.randint(1, 6), 13))
        train(run, perlin_set, config, workers=dice.randint(1, 3))
        stops += 1
    assert stops > 2
    assert_equal(run, straight)


def start(run: Path, shards: Path, config: Config, *launcher: object) -> subprocess.Popen[str]:
    """The command itself, in a process of its own."""
    (run.parent / "config.yaml").write_text(to_yaml(config))
    program = Path(sys.executable).with_name("synpat-train")
    words = [*launcher, program, "--shards", shards, "--out", run, "--config", run.parent / "config.yaml"]
    words += ["--cache", run.parent / "cache", "--workers", 2]
    return subprocess.Popen([str(word) for word in words], stderr=subprocess.PIPE, text=True)


def wait_for(run: Path, step: int, process: subprocess.Popen) -> None:
    while process.poll() is None and (not (run / "log.jsonl").exists() or len(log(run)) < step):
        time.sleep(0.002)


def test_a_run_that_was_killed_and_then_terminated_ends_in_the_same_bits(
    config: Config, straight: Path, perlin_set: Path, tmp_path: Path
):
    if not config.stream:
        pytest.skip("one way of reading is enough here: processes take their time to start")
    dice, run = random.Random(0), tmp_path / "run"
    process = start(run, perlin_set, config)
    wait_for(run, dice.randint(6, 10), process)
    process.kill()
    process.communicate()
    half_written = run / "checkpoints" / ".step-000000099.pt.0.partial"
    half_written.touch()
    process = start(run, perlin_set, config)
    wait_for(run, len(log(run)) + 2, process)
    assert not half_written.exists()
    process.send_signal(signal.SIGUSR1)  # as Slurm does with --signal=USR1@120
    said = process.communicate()[1]
    assert process.returncode == 128 + signal.SIGUSR1, said
    assert "Run the same command to continue" in said
    assert_equal(train(run, perlin_set, config), straight)


def two_ranks(*options: str) -> list[object]:
    """What starts the command twice. One of them comes late, as on a busy machine."""
    torchrun = [Path(sys.executable).with_name("torchrun"), "--standalone", "--nproc-per-node=2", "--no-python"]
    return [*torchrun, *options, "sh", "-c", 'sleep "$RANK"; exec "$@"', "late"]


def last_words(process: subprocess.Popen[str]) -> str:
    """What it has said when it ends. One that hangs, as the half-hour timeouts of torch let it, is ended here."""
    try:
        return process.communicate(timeout=300)[1]
    finally:
        process.terminate()  # torchrun takes its ranks along


def ranks_of(process: subprocess.Popen) -> list[int]:
    """The processes that torchrun has started."""
    return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.fixture
def halves(config: Config) -> Config:
    """Two ranks with half a batch each do what one process does that takes the batch in two pieces."""
    if config.stream:
        pytest.skip("one way of reading is enough here: processes take their time to start")
    return dataclasses.replace(config, accumulate=1)


def test_two_ranks_of_which_one_was_killed_end_in_the_bits_of_one_process(
    halves: Config, straight: Path, perlin_set: Path, tmp_path: Path
):
    run = tmp_path / "run"
    process = start(run, perlin_set, halves, *two_ranks())
    wait_for(run, 8, process)
    os.kill(ranks_of(process)[-1], signal.SIGKILL)
    last_words(process)
    assert process.returncode == 1
    process = start(run, perlin_set, halves, *two_ranks())
    said = last_words(process)
    assert process.returncode == 0, said
    assert_equal(run, straight)


def test_two_ranks_that_torchrun_starts_again_after_a_kill_end_in_the_bits_of_one_process(
    halves: Config, straight: Path, perlin_set: Path, tmp_path: Path
):
    run = tmp_path / "run"
    process = start(run, perlin_set, halves, *two_ranks("--max-restarts=1"))
    wait_for(run, 6, process)
    os.kill(ranks_of(process)[-1], signal.SIGKILL)
    said = last_words(process)
    assert process.returncode == 0, said
    assert said.count(" to 16 on 2 x cpu") == 2
    assert_equal(run, straight)


def test_two_ranks_that_are_terminated_leave_a_checkpoint_and_go_on(
    halves: Config, straight: Path, perlin_set: Path, tmp_path: Path
):
    """The signal goes to all processes, as from a scheduler, and torchrun hands its own on to the ranks."""
    run = tmp_path / "run"
    process = start(run, perlin_set, halves, *two_ranks())
    wait_for(run, 6, process)
    for number in (*ranks_of(process), process.pid):
        os.kill(number, signal.SIGTERM)
    said = last_words(process)
    assert f"Stopped after step {len(log(run))} of 16" in said
    assert checkpoints(run)[-1].name == f"step-{len(log(run)):09d}.pt"
    process = start(run, perlin_set, halves, *two_ranks())
    said = last_words(process)
    assert process.returncode == 0, said
    assert_equal(run, straight)


def test_a_full_disk_leaves_the_earlier_checkpoint_and_the_run_going_on(
    straight: Path, config: Config, perlin_set: Path, tmp_path: Path, capfd: pytest.CaptureFixture
):
    """No file may grow beyond a megabyte, as if the disk were full, while the second checkpoint is written."""
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
    assert_equal(run, straight)


def test_a_checkpoint_of_another_configuration_is_refused_with_the_difference(
    straight: Path, config: Config, perlin_set: Path, tmp_path: Path
):
    """The folder's own configuration was changed by hand, so that only the checkpoint knows."""
    shutil.copytree(straight, tmp_path / "run")
    other = dataclasses.replace(config, seed=7)
    (tmp_path / "run" / "config.yaml").write_text(to_yaml(other))
    with pytest.raises(ValueError, match=r"step-000000016.pt belongs to another run: seed is 0, not 7"):
        train(tmp_path / "run", perlin_set, other)


def test_how_a_run_is_watched_may_change(straight: Path, config: Config, perlin_set: Path, tmp_path: Path):
    shutil.copytree(straight, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "step-000000016.pt").unlink()
    train(tmp_path / "run", perlin_set, dataclasses.replace(config, log_every=3, checkpoint_every=2))
    ours, theirs = (load_file(run / "encoder" / "model.safetensors") for run in (tmp_path / "run", straight))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_a_run_may_go_on_with_its_batches_in_smaller_pieces(
    straight: Path, config: Config, perlin_set: Path, tmp_path: Path
):
    shutil.copytree(straight, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "step-000000016.pt").unlink()
    train(tmp_path / "run", perlin_set, dataclasses.replace(config, accumulate=4))
    assert log(tmp_path / "run")[-1]["loss"] == pytest.approx(log(straight)[-1]["loss"], rel=1e-4)


def test_a_damaged_checkpoint_is_named_with_the_way_out(
    straight: Path, config: Config, perlin_set: Path, tmp_path: Path
):
    shutil.copytree(straight, tmp_path / "run")
    last = checkpoints(tmp_path / "run")[-1]
    last.write_bytes(last.read_bytes()[:50000])
    with pytest.raises(
        ValueError, match=r"step-000000016.pt is corrupt: .* Remove it to continue from the previous checkpoint"
    ):
        train(tmp_path / "run", perlin_set, config)


def test_a_flipped_bit_in_a_checkpoint_is_noticed(straight: Path, config: Config, perlin_set: Path, tmp_path: Path):
    shutil.copytree(straight, tmp_path / "run")
    last = checkpoints(tmp_path / "run")[-1]
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    with pytest.raises(ValueError, match=r"step-000000016.pt is corrupt: the checksum of \S+ is wrong. Remove it"):
        train(tmp_path / "run", perlin_set, config)


def test_a_file_that_is_no_checkpoint_of_ours_is_named(
    straight: Path, config: Config, perlin_set: Path, tmp_path: Path
):
    shutil.copytree(straight, tmp_path / "run")
    torch.save(torch.zeros(3), checkpoints(tmp_path / "run")[-1])
    with pytest.raises(ValueError, match=r"step-000000016.pt is damaged: .* Remove it"):
        train(tmp_path / "run", perlin_set, config)


def test_weights_that_are_no_numbers_never_replace_a_good_checkpoint(perlin_set: Path, tmp_path: Path):
    """The first step of a warm-up has a rate of zero; the second one breaks the weights, before any loss shows it."""
    wild = make_config("msm-mae", SETTINGS | {"base_lr": 1e41, "log_every": 100, "checkpoint_every": 1, "clip": None})
    with pytest.raises(ValueError, match=r"NaN or infinite at step 2.* last valid checkpoint is .*step-000000001\.pt"):
        train(tmp_path / "run", perlin_set, wild)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step-000000001.pt"]
    keys = json.loads((tmp_path / "run" / "bad-batch.json").read_text())["keys"]
    assert len(keys) == 16
    assert keys[0].startswith(str(perlin_set / "perlin-00000"))


def test_a_shard_that_vanishes_stops_the_run_with_a_checkpoint_and_the_next_one_may_skip_it(
    perlin_set: Path, tmp_path: Path
):
    shutil.copytree(perlin_set, tmp_path / "set")
    config = make_config("msm-mae", SETTINGS | {"stream": True, "window": 100, "checkpoint_every": 100})

    def watch() -> None:
        while not (tmp_path / "run" / "log.jsonl").exists() or not log(tmp_path / "run"):
            time.sleep(0.001)
        (tmp_path / "set" / "perlin-000002.tar").unlink()

    threading.Thread(target=watch, daemon=True).start()
    with pytest.raises(OSError, match=r"perlin-000002\.tar"):
        train(tmp_path / "run", tmp_path / "set", config)
    [left] = checkpoints(tmp_path / "run")
    assert torch.load(left, weights_only=True)["step"] == len(log(tmp_path / "run"))
    train(tmp_path / "run", tmp_path / "set", dataclasses.replace(config, skip_damaged=True))
    assert log(tmp_path / "run")[-1]["step"] == 16
    assert log(tmp_path / "run")[-1]["skipped"] > 0


def test_a_store_that_goes_away_stops_the_run_with_a_checkpoint_and_the_next_one_goes_on(
    perlin_set: Path, s3: str, object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = make_config("msm-mae", SETTINGS | {"stream": True, "window": 1, "checkpoint_every": 100})
    straight = train(tmp_path / "straight", perlin_set, config)
    monkeypatch.setattr(store, "WAITS", (0.05, 0.05))
    asked: set[str] = set()
    away = False

    def third_shard_is_gone(method: str, path: str) -> int | None:
        if away and method == "GET" and ".tar" in path:
            asked.add(path.partition("?")[0])
        return 503 if away and len(asked) > 2 else None

    with Proxy(object_store.port, third_shard_is_gone) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # those of the client library, beneath ours
        publish(perlin_set, s3)
        run, away = tmp_path / "run", True
        with pytest.raises(OSError, match=r"perlin-\d+\.tar.*(injected error|Service Unavailable)"):
            pretrain(run, [s3], config, tmp_path / "cache", 1)
        (left,) = checkpoints(run)
        assert 0 < torch.load(left, weights_only=True)["step"] == len(log(run)) < SETTINGS["steps"]
        away = False
        pretrain(run, [s3], config, tmp_path / "cache", 1)
    assert_equal(run, straight)


def test_threads_in_bfloat16_resume_in_the_same_bits(perlin_set: Path, tmp_path: Path):
    config = make_config("msm-mae", SETTINGS | {"precision": "bfloat16", "accumulate": 1, "steps": 8})
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        straight = train(tmp_path / "straight", perlin_set, config)
        stop_at(tmp_path / "run", 3)
        train(tmp_path / "run", perlin_set, config)
        assert_equal(train(tmp_path / "run", perlin_set, config), straight)
    finally:
        torch.set_num_threads(threads)
