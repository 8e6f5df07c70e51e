"""Stores: folders and URLs behave the same, errors are retried or reported in one line, and writing is atomic."""

import gc
import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servers import KEY, PASSWORD, SECRET, ObjectStore, Proxy

from synpat_shards import Store, StoreError, open_store, store, store_errors

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

LARGE = bytes(range(256)) * (34 << 12)
"""34 MB, which is uploaded in three pieces."""


@pytest.fixture(params=["folder", "s3", "sftp", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(tmp_path / "set")
    if request.param == "memory":
        return open_store(f"memory://{tmp_path}")
    return open_store(request.getfixturevalue(request.param))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use short waits, and no retries by botocore."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(store, "WAITS", (0.05, 0.05))


def test_files_are_read_back(place: Store, tmp_path: Path):
    assert place.sizes() == {}
    place.put("a", b"first")
    place.put(".synpat/shards/b", b"")
    place.put("large", io.BytesIO(LARGE))
    place.put("a", b"second")
    assert place.sizes() == {".synpat/shards/b": 0, "a": 6, "large": len(LARGE)}
    assert (place.read("a"), place.read(".synpat/shards/b")) == (b"second", b"")
    assert place.read_part("large", 300, 5) == LARGE[300:305]
    assert place.sha256("large") == hashlib.sha256(LARGE).hexdigest()
    assert b"".join(place.chunks("large")) == LARGE
    place.fetch("large", tmp_path / "fetched", len(LARGE), hashlib.sha256(LARGE).hexdigest())
    assert (tmp_path / "fetched").read_bytes() == LARGE
    place.remove("a")
    place.remove("a")
    assert (place.exists("a"), place.exists("large"), place.exists(".synpat")) == (False, True, False)


def test_a_missing_file_is_reported(place: Store):
    with pytest.raises(FileNotFoundError, match="nothing"):
        place.read("nothing")


def test_only_the_first_claim_succeeds(place: Store):
    assert place.claim("claim", b"first") == b"first"
    assert place.claim("claim", b"second") == b"first"


def test_only_one_of_two_simultaneous_claims_succeeds(place: Store):
    start = threading.Barrier(24)

    def claim(name: str, content: bytes) -> bool:
        place.exists(name)  # opens the connection of this thread
        start.wait()
        return place.claim(f"folder/{name}", content) == content

    with ThreadPoolExecutor(24) as threads:
        pairs = [[threads.submit(claim, str(name), writer * 9) for writer in (b"1", b"2")] for name in range(12)]
        assert [[first.result(), second.result()].count(True) for first, second in pairs] == [1] * 12


def test_fetch_rejects_a_wrong_size_or_checksum(place: Store, tmp_path: Path):
    place.put("a", b"12345")
    (out := tmp_path / "out").mkdir()
    for size, sha256, words in ((5, "0" * 64, "is corrupt"), (6, "0" * 64, "has 5 bytes instead of 6")):
        with pytest.raises(ValueError, match=f"a {words}"):
            place.fetch("a", out / "a", size, sha256)
    assert not list(out.iterdir())


def test_read_rejects_a_file_that_is_too_large(place: Store):
    place.put("a", bytes(1000))
    with pytest.raises(ValueError, match="has 1000 bytes, the maximum is 999"):
        place.read("a", 999)


class Failing(io.BytesIO):
    """A file that cannot be read after its first 20 MB."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 20 << 20:
            raise PermissionError("the disk failed")
        return super().read(size)


def test_a_failed_upload_leaves_no_file(place: Store):
    with pytest.raises(OSError, match="the disk failed"):
        place.put("partial", Failing(LARGE))
    assert place.sizes() == {}


def put_in_another_process(url: str, environment: dict[str, str]) -> subprocess.Popen:
    """Start the upload of an infinite file."""
    script = (
        "import sys, io\n"
        "from synpat_shards import open_store\n"
        "class Endless(io.BytesIO):\n"
        "    def read(self, size=-1):\n"
        "        print('.', flush=True)\n"
        "        return bytes(size)\n"
        "open_store(sys.argv[1]).put('partial', Endless())\n"
    )
    return subprocess.Popen([sys.executable, "-c", script, url], stdout=subprocess.PIPE, env=os.environ | environment)


def test_a_killed_upload_leaves_no_file(s3: str, object_store: ObjectStore):
    process = put_in_another_process(s3, object_store.environment())
    assert process.stdout
    for _ in range(5):  # about 64 MB have been uploaded or are being uploaded
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert open_store(s3).sizes() == {}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("name", "value"), [("AWS_SECRET_ACCESS_KEY", "not-the-secret-1"), ("AWS_ACCESS_KEY_ID", "NOBODY-123")]
)
def test_wrong_credentials_are_reported_without_repeating_them(
    name: str, value: str, s3: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv(name, value)
    for action in (lambda: open_store(s3).put("a", b"1"), open_store(s3).sizes, lambda: open_store(s3).read("a")):
        with pytest.raises(StoreError, match=r"access denied .*check the credentials") as error:
            action()
        assert "\n" not in str(error.value)
        assert not any(secret in str(error.value) for secret in (value, KEY, SECRET))
    assert not caplog.records  # no retries


@pytest.mark.usefixtures("impatient")
def test_a_wrong_password_is_reported_without_repeating_it(sftp: str, monkeypatch: pytest.MonkeyPatch):
    url = sftp.replace("synpat@", "synpat:wrong-pass@")
    monkeypatch.delenv("FSSPEC_SFTP_PASSWORD")
    with pytest.raises(StoreError, match="access denied") as error:
        open_store(url).put("a", b"1")
    assert "wrong-pass" not in str(error.value) + open_store(url).url + repr(open_store(url))
    open_store(sftp.replace("synpat@", f"synpat:{PASSWORD}@")).put("a", b"1")  # the right password in the URL works


@pytest.mark.usefixtures("impatient")
def test_an_unreachable_store_is_retried_and_then_reported(
    s3: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="Could not connect") as error:
        open_store(s3).put("a", b"1")
    assert "\n" not in str(error.value)
    assert [record.message.rpartition(";")[2] for record in caplog.records] == [
        " trying again in 0.05 s (1 of 2)",
        " trying again in 0.05 s (2 of 2)",
    ]


@pytest.mark.usefixtures("impatient")
def test_server_errors_are_retried(s3: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "WAITS", (0.05,) * 12)
    counts: dict[str, int] = {}

    def every_request_fails_twice(method: str, path: str) -> int | None:
        request = method + path.partition("?")[0]
        counts[request] = counts.get(request, 0) + 1
        return (500, 503)[counts[request] - 1] if counts[request] < 3 else None

    with Proxy(object_store.port, every_request_fails_twice) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        opened = open_store(s3)
        opened.put("a", b"1")
        opened.put("large", io.BytesIO(LARGE))
        assert opened.sizes() == {"a": 1, "large": len(LARGE)}
        assert opened.sha256("large") == hashlib.sha256(LARGE).hexdigest()
        assert proxy.injected >= 8


@pytest.mark.usefixtures("impatient")
def test_a_failed_upload_leaves_no_file_even_if_it_cannot_be_aborted(
    s3: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    def only_the_first_part_arrives(method: str, path: str) -> int | None:
        return 500 if "partNumber=2" in path or method == "DELETE" else None

    with Proxy(object_store.port, only_the_first_part_arrives) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        with pytest.raises(StoreError, match="injected error"):
            open_store(s3).put("large", io.BytesIO(LARGE))
        gc.collect()  # the destructor of an open file object would publish the uploaded part
        assert open_store(s3).sizes() == {}


def test_a_slow_store_does_not_cause_an_error(s3: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch):
    with Proxy(object_store.port, lambda *_: time.sleep(0.6)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        open_store(s3).put("a", b"1")
        assert open_store(s3).read("a") == b"1"


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("cloud://bucket/set", ValueError, "cloud:// is not supported: use a folder, or s3://"),
        ("simplecache::s3://bucket/set", ValueError, "is not a valid URL of a shard set"),
        ("s3://", ValueError, "s3:// has no path"),
        ("gs://bucket/set", ImportError, r"gs:// needs .* not installed: pip install 'synpat\[gcs\]'"),
    ],
)
def test_an_invalid_url_is_rejected(url: str, error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(error, match=words):
        open_store(url)


def test_secrets_are_removed_from_texts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOME_API_KEY", "abcdef123")
    text = "GET s3://user:hunter2@host/a?X-Amz-Signature=77aa&x=1 with abcdef123 refused"
    assert store_errors.without_secrets(text) == "GET s3://user@host/a?X-Amz-Signature=***&x=1 with *** refused"
