"""File systems without locks, hard links or reserved space, and full and read-only disks."""

import errno
import fcntl
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from synpat.cli import main as synpat
from synpat_shards import InputError, verify
from synpat_train.lock import exclusive_lock
from synpat_train.pretraining.cli import main as train


@pytest.fixture(params=["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    code = getattr(errno, request.param)

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    for name in ("flock", "lockf"):
        monkeypatch.setattr(fcntl, name, refuse)


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(source), None, str(target))

    monkeypatch.setattr(os, "link", refuse)


RENDER = "render --family perlin --n 8 --size 80x208 --workers 1 --out"


def test_rendering_goes_on_with_a_warning(no_locks: None, no_links: None, tmp_path: Path, caplog):
    done = CliRunner().invoke(synpat, [*RENDER.split(), str(tmp_path / "set")])
    assert done.exit_code == 0, done.output
    assert f"{tmp_path}/set/.synpat is on a file system without locks" in caplog.text
    assert not verify(tmp_path / "set").faults


def test_training_goes_on_with_a_warning_but_the_cache_needs_locks(
    no_locks: None, perlin_set: Path, tmp_path: Path, caplog
):
    words = ["--shards", str(perlin_set), "--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    words += [*["--model", "tiny", "--steps", "1", "--batch-size", "8"]]
    small = [*["--set", "decoder_width=32", "--set", "decoder_depth=1", "--set", "decoder_heads=2"]]
    done = CliRunner().invoke(train, [*words, *small])
    assert done.exit_code == 1
    assert f"{tmp_path}/cache is on a file system without locks" in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].endswith("choose a folder on another disk with --cache")
    done = CliRunner().invoke(train, [*words, *small, "--set", "stream=true"])
    assert done.exit_code == 0, done.output
    assert f"{tmp_path}/run is on a file system without locks" in caplog.text


def test_folders_whose_files_are_replaced_at_once_need_no_lock(no_locks: None, tmp_path: Path, capsys):
    with exclusive_lock(tmp_path, required=False):
        assert os.listdir(tmp_path) == []
    assert "without locks" in capsys.readouterr().err
    with pytest.raises(InputError, match="--cache"), exclusive_lock(tmp_path):
        pass
