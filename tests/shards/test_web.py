"""Sets on web servers, which can only be read, and may neither list folders nor send parts of files."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from servers import WebServer

from synpat.rendering.render import make_spec, render_set
from synpat_shards import InputError, StoreError, open_set, open_store, store, verify
from synpat_train.data.shard_sets import open_sets


@pytest.fixture(params=[True, False], ids=["lists folders", "lists no folders"])
def server(request: pytest.FixtureRequest, perlin_set: Path) -> Iterator[WebServer]:
    with WebServer(perlin_set.parent, lists_folders=request.param) as server:
        yield server


def test_a_set_is_verified(server: WebServer):
    report = verify(f"{server.endpoint}/perlin")
    assert (report.faults, report.checked["samples"]) == ((), 100)


def test_files_are_read(server: WebServer, perlin_set: Path, tmp_path: Path):
    place, name = open_store(f"{server.endpoint}/perlin"), "perlin-000000.tar"
    content = (perlin_set / name).read_bytes()
    assert place.read(name) == content
    assert place.read_part(name, 700, 50) == content[700:750]
    assert place.sha256(name) == hashlib.sha256(content).hexdigest()
    assert (place.exists(name), place.exists("absent"), place.exists("")) == (True, False, False)
    (remote,) = open_sets([place.url], 80, tmp_path)
    assert remote.shards[0].remote
    remote.shards[0].remote.fetch(tmp_path / name)
    assert (tmp_path / name).read_bytes() == content


def test_a_missing_shard_is_reported(tmp_path: Path):
    render_set(tmp_path, make_spec("perlin", 2, height=8, width=8), workers=1, progress=lambda *_: None)
    (tmp_path / "perlin-000000.tar").unlink()
    with WebServer(tmp_path, lists_folders=False) as server, pytest.raises(InputError, match=r"000000\.tar is missing"):
        open_set(server.endpoint)


def test_links_that_sort_a_list_are_not_files(tmp_path: Path):
    (tmp_path / "a.tar").touch()
    (tmp_path / "index.html").write_text('<a href="?C=M;O=A">Last modified</a> <a href="a.tar">a.tar</a>')
    with WebServer(tmp_path) as server:
        assert open_store(server.endpoint).sizes() == {"a.tar": 0}
        assert open_store(server.endpoint).entries() == {"a.tar": False}


def test_writing_is_rejected(server: WebServer):
    with pytest.raises(InputError, match="can only be read: write to a folder"):
        open_store(f"{server.endpoint}/new").claim("claim", b"1")


def test_an_unreachable_server_is_not_a_missing_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "WAITS", ())
    with pytest.raises(StoreError, match="Cannot connect"):
        open_store("http://127.0.0.1:9/set").exists("a")


def test_the_certificate_of_a_server_is_checked(perlin_set: Path, tmp_path: Path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "synpat", "verify", f"https://localhost:{server.server_port}/perlin"]
        return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)

    with WebServer(perlin_set.parent) as server:
        server.use_tls(authority.issue_cert("localhost"))
        trusted, unknown = run(SSL_CERT_FILE=str(tmp_path / "authority.pem")), run()
    assert trusted.returncode == 0, trusted.stderr
    assert unknown.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in unknown.stderr
    assert unknown.stderr.count("\n") == 1
