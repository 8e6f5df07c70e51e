"""The cache folder without a home, with invalid variables, and where it cannot be written."""

import pwd
from pathlib import Path

import pytest
from click.testing import CliRunner

from synpat_shards import InputError, user_cache
from synpat_train.cache import default_cache
from synpat_train.evaluation.cli import main as evaluate
from synpat_train.evaluation.tasks.folder import folder_task
from synpat_train.evaluation.tasks.task import Source
from synpat_train.pretraining.cli import main as train


@pytest.mark.parametrize("invalid", ["", "relative", "./cache"])
def test_relative_folders_are_ignored(invalid: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", invalid)
    assert default_cache() == tmp_path / ".cache" / "synpat"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache() == tmp_path / "xdg" / "synpat"


def test_a_user_without_home_has_a_private_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def unknown(_: int) -> None:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    folder = user_cache()
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)  # another user could write there
    assert user_cache() != folder
    assert CliRunner().invoke(train, ["--help"]).exit_code == CliRunner().invoke(evaluate, ["--help"]).exit_code == 0


def test_error_for_an_unwritable_cache_names_the_option(perlin_set: Path, tmp_path: Path, run):
    (tmp_path / "file").touch()
    cache = ["--cache", str(tmp_path / "file" / "cache")]
    words = ["--shards", str(perlin_set), "--out", str(tmp_path / "run"), "--model", "tiny", "--steps", "1"]
    for main, arguments in (
        (train, [*words, "--batch-size", "8"]),
        (evaluate, ["--encoder", str(run), "--task", "gm-pitch", "--out", str(tmp_path / "out")]),
    ):
        done = CliRunner().invoke(main, [*arguments, *cache])
        assert done.exit_code == 1
        assert done.stderr.splitlines()[-1].startswith(f"Error: {tmp_path / 'file'}")
        assert done.stderr.splitlines()[-1].endswith("choose another folder with --cache")


def test_error_for_a_corrupt_cache_names_the_file_and_its_removal(tones: Path, tmp_path: Path):
    """The waveforms are truncated, as by a full disk, then the journal is overwritten."""
    source = Source(data=tones, cache=tmp_path / "cache")
    folder_task(source)()
    [folder] = (tmp_path / "cache" / "audio").iterdir()
    samples, journal = folder / "samples.int16", folder / "clips.jsonl"
    samples.write_bytes(samples.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"samples.int16 is corrupt: it has 500 samples instead of \d+. Remove"):
        folder_task(source)()
    journal.write_bytes(b"nothing\n" * 12)
    with pytest.raises(InputError, match=rf"clips.jsonl is corrupt: .*Remove {folder} to decode"):
        folder_task(source)()
