"""Encoders at URLs: published with checksums, downloaded once, and checked."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner
from servers import Hub, WebServer

from synpat_shards import InputError, open_store
from synpat_train import evaluate, load_encoder, make_config
from synpat_train.model.export import export_encoder
from synpat_train.model.mae import MaskedAutoencoder
from synpat_train.model.sharing import push
from synpat_train.pretraining.cli import main

CONFIG = make_config("synpat", {"decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2})
URL = "memory://bucket/encoder"


def export(run: Path) -> Path:
    """Write a run folder with an encoder of random weights and a card."""
    run.mkdir()
    export_encoder(run / "encoder", MaskedAutoencoder(CONFIG).encoder, CONFIG, 0.4, 0.2, step=3)
    (run / "encoder" / "README.md").write_text("# An encoder\n")
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("sharing") / "run")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give each test an empty cache, and empty the memory of fsspec afterwards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("place", ["s3", "sftp", "memory", "folder"])
def test_a_published_encoder_is_downloaded_once(place: str, run: Path, tmp_path: Path, request, capsys):
    places = {"memory": URL, "folder": str(tmp_path / "copy")}
    url = places[place] if place in places else request.getfixturevalue(place)
    done = CliRunner().invoke(main, ["push", str(run), url])
    assert done.exit_code == 0, done.output
    assert f"Next: synpat-eval --encoder {url} --task gm-instrument" in done.stderr
    assert open_store(url).sizes().keys() == {"README.md", "SHA256SUMS", "config.json", "model.safetensors"}
    assert load_encoder(url).digest == load_encoder(run).digest
    assert ("downloading" in capsys.readouterr().err) == (place != "folder")
    assert load_encoder(url).digest == load_encoder(run).digest
    assert "downloading" not in capsys.readouterr().err


def test_an_encoder_is_published_to_the_hub_and_loaded_by_its_name(run: Path, tmp_path: Path):
    pytest.importorskip("huggingface_hub")
    script = (
        "import sys; from synpat_train.pretraining.cli import main; from synpat_train import load_encoder\n"
        "main(['push', sys.argv[1], 'hf-hub:user/perlin'], standalone_mode=False)\n"
        "print(load_encoder('hf-hub:user/perlin').digest)"
    )
    with Hub(prefix="") as hub:
        place = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": "hf_secret", "HF_HOME": str(tmp_path / "hub")}
        command = [sys.executable, "-c", script, str(run)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | place)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [load_encoder(run).digest]
        assert list(hub.files)[-1] == "config.json"


def test_an_encoder_is_loaded_from_a_web_server(run: Path):
    with WebServer(run, lists_folders=False) as server:
        assert load_encoder(server.endpoint).digest == load_encoder(run).digest


def test_an_updated_card_is_published_again(run: Path):
    push(run / "encoder", URL)
    (run / "encoder" / "README.md").write_text("# With results\n")
    push(run / "encoder", URL)
    assert open_store(URL).read("README.md") == b"# With results\n"


def test_other_content_is_not_overwritten(run: Path, tmp_path: Path):
    open_store(URL).put("README.md", b"mine")
    with pytest.raises(InputError, match=f"{URL} is not empty, but contains README.md"):
        push(run / "encoder", URL)
    push(run / "encoder", f"{URL}-2")
    with pytest.raises(InputError, match="contains another encoder"):
        push(export(tmp_path / "other") / "encoder", f"{URL}-2")


def test_a_corrupt_file_is_named(run: Path, tmp_path: Path):
    push(run / "encoder", URL)
    open_store(URL).put("model.safetensors", b"0" * 100)
    with pytest.raises(InputError, match=f"{URL}/model.safetensors is corrupt: it differs from SHA256SUMS"):
        load_encoder(URL)
    other = export(tmp_path / "other")
    (other / "encoder" / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"config\.json is corrupt: it differs from SHA256SUMS"):
        load_encoder(other)


def test_a_url_without_an_encoder_is_reported():
    with pytest.raises(InputError, match=f"{URL} contains no encoder: config.json and model.safetensors do not exist"):
        load_encoder(URL)


def test_results_of_an_encoder_at_a_url_need_a_folder_and_name_it(run: Path):
    with pytest.raises(InputError, match="need a folder: name it with --out"):
        evaluate(URL, "gm-pitch")
