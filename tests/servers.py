"""Real stores that tests start on this machine: SeaweedFS for S3, rclone for SFTP, a web server, and a proxy that
injects errors."""

import base64
import http.client
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

KEY, SECRET = "synpat-test-key", "synpat-test-secret-0815"
PASSWORD = "pass-4711-word"


def program(name: str) -> str | None:
    """Return the path of a binary next to Python or on PATH; None if it is not installed."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def free_ports(count: int) -> int:
    """Return the first of `count` consecutive free ports whose gRPC ports, 10000 higher, are free as well."""
    while True:
        first = random.SystemRandom().randrange(20000, 40000 - count)
        if all(_is_free(port) and _is_free(port + 10000) for port in range(first, first + count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def wait_until(ready: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come up in {seconds} s")
        time.sleep(0.05)


@dataclass
class ObjectStore:
    """SeaweedFS on loopback with one bucket. It keeps its files when it is killed and started again."""

    binary: str
    folder: Path
    bucket: str = "sets"
    port: int = field(default_factory=lambda: free_ports(6))
    process: subprocess.Popen | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self) -> None:
        names = ("s3.port", "filer.port", "master.port", "volume.port", "admin.port", "s3.port.iceberg")
        ports = [f"-{name}={self.port + place}" for place, name in enumerate(names)]
        quiet = ["-admin.ui=false", "-webdav=false", "-master.telemetry=false", "-s3.port.lance=0"]
        where = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={self.folder}", f"-bucket={self.bucket}"]
        with (self.folder / "log").open("ab") as log:
            command = [self.binary, "mini", *where, *ports, *quiet]
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, env=os.environ | self.environment()
            )
        wait_until(self.is_up, 60, "SeaweedFS")

    def is_up(self) -> bool:
        from s3fs import S3FileSystem

        try:
            with urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=2) as answer:
                if answer.status != 200:
                    return False
            options: Any = {"key": KEY, "secret": SECRET, "endpoint_url": self.endpoint, "skip_instance_cache": True}
            files = S3FileSystem(**options)
            files.pipe_file(f"{self.bucket}/up", b"")
            files.rm_file(f"{self.bucket}/up")
            return True
        except OSError:
            return False

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


@dataclass
class SftpServer:
    """An SFTP server of rclone on loopback."""

    binary: str
    folder: Path
    port: int = field(default_factory=lambda: free_ports(1))
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"sftp://synpat@127.0.0.1:{self.port}"

    def start(self) -> None:
        address = ["--addr", f"127.0.0.1:{self.port}", "--user", "synpat", "--pass", PASSWORD]
        command = [self.binary, "serve", "sftp", str(self.folder), *address, "--config", os.devnull]
        home = os.environ | {"HOME": str(self.folder.parent), "XDG_CACHE_HOME": str(self.folder.parent)}
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=home)
        wait_until(lambda: not _is_free(self.port), 30, "rclone")

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


class _LoopbackServer(ThreadingHTTPServer):
    """An HTTP server on a free port of loopback, which ends with its context."""

    daemon_threads = True

    def __init__(self, handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class WebServer(_LoopbackServer):
    """A web server of the files in a folder. It sends files only as a whole."""

    def __init__(self, folder: Path, lists_folders: bool = True) -> None:
        super().__init__(partial(_Files, directory=str(folder)))
        self.lists_folders = lists_folders
        self.start()

    def use_tls(self, certificate: Any) -> None:
        """Use https with a certificate of trustme for `localhost`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that reject the certificate close the connection


class _Files(SimpleHTTPRequestHandler):
    server: WebServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def list_directory(self, path: Any) -> Any:
        if self.server.lists_folders:
            return super().list_directory(path)
        self.send_error(403)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Proxy(_LoopbackServer):
    """A proxy for a store that answers some requests with an error.

    inject: called with the method and the path of each request. If it returns a number, that status is sent instead of
    the response of the store. It may sleep, to simulate a slow store.
    """

    def __init__(self, port: int, inject: Callable[[str, str], int | None]) -> None:
        super().__init__(_Handler)
        self.upstream, self.inject = port, inject
        self.injected = 0
        self.start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy  # pyright: ignore[reportIncompatibleVariableOverride]

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status = self.server.inject(self.command, self.path)
        if status is not None:
            self.server.injected += 1
            self.answer(status, {"Content-Type": "application/xml"}, _error(status))
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            self.answer(answer.status, dict(answer.headers), answer.read())
        except (OSError, http.client.HTTPException):  # the client or the store has closed the connection
            self.close_connection = True
        finally:
            connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        if self.command != "HEAD":
            headers = headers | {"Content-Length": str(len(body))}
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "date", "server", "connection"):
                self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _error(status: int) -> bytes:
    return b"<Error><Code>%s</Code><Message>injected error</Message></Error>" % (
        b"SlowDown" if status == 503 else b"InternalError"
    )


class Hub(_LoopbackServer):
    """A stand-in of the Hugging Face Hub with one new repository of a data set or a model: the requests that
    HfFileSystem makes to list, read, upload and delete files. Every upload is accepted as a regular file inside a
    commit."""

    repository = "user/perlin"

    def __init__(self, prefix: str = "datasets/") -> None:
        """prefix: "datasets/", or an empty text for a model."""
        super().__init__(_HubHandler)
        self.place, self.api = prefix + self.repository, f"/api/{prefix or 'models/'}"
        self.files = {".gitattributes": b"*.tar filter=lfs diff=lfs merge=lfs -text\n"}
        self.commits = 0
        self.start()

    def entry(self, path: str) -> dict[str, Any] | None:
        """Return the description of a file or a folder; None if it does not exist."""
        if path in self.files:
            return {"type": "file", "path": path, "size": len(self.files[path]), "oid": f"{hash(self.files[path])}"}
        is_folder = any(name.startswith(f"{path}/") for name in self.files)
        return {"type": "directory", "path": path, "oid": "0"} if is_folder else None

    def tree(self, folder: str, recursive: bool) -> list[dict[str, Any]]:
        start = f"{folder}/" if folder else ""
        inside = [name.removeprefix(start).split("/") for name in sorted(self.files) if name.startswith(start)]
        depths = [range(1, len(parts) + 1 if recursive else 2) for parts in inside]
        paths = dict.fromkeys(
            start + "/".join(parts[:depth]) for parts, depths in zip(inside, depths, strict=True) for depth in depths
        )
        return [entry for path in paths if (entry := self.entry(path))]

    def commit(self, lines: bytes) -> None:
        self.commits += 1
        for line in map(json.loads, lines.splitlines()):
            if line["key"] == "file":
                self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                del self.files[line["value"]["path"]]


class _HubHandler(_Handler):
    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        kind, _, rest = unquote(url.path).partition(self.server.repository)
        action, _, path = rest.removeprefix("/").partition("/main")
        path = path.removeprefix("/")
        if url.path == "/api/validate-yaml":  # of the dataset card
            self.json({"errors": [], "warnings": []})
        elif kind not in (self.server.api, self.server.api.removeprefix("/api"), "/") or (
            not rest and kind != self.server.api
        ):
            self.answer(404, {"X-Error-Code": "RepoNotFound"}, b"{}")
        elif action in ("", "revision"):
            self.json({"id": self.server.repository, "_id": "1", "sha": "0" * 40, "siblings": []})
        elif action == "tree" and (not path or self.server.entry(path)):
            self.json(self.server.tree(path, "recursive=true" in url.query.lower()))
        elif action == "paths-info":
            asked = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
            self.json([entry for each in asked if (entry := self.server.entry(each))])
        elif action == "preupload":
            files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            self.json({"files": [file | {"shouldIgnore": False} for file in files]})
        elif action == "commit":
            self.server.commit(body)
            oid = f"{self.server.commits:040x}"
            place = f"{self.server.endpoint}/{self.server.place}"
            self.json({"commitUrl": f"{place}/commit/{oid}", "commitOid": oid})
        elif action == "resolve" and path in self.server.files:
            data, wanted = self.server.files[path], self.headers.get("Range", "").removeprefix("bytes=")
            first, _, last = wanted.partition("-")
            part = data[int(first) : int(last) + 1 if last else None] if wanted else data
            self.answer(206 if wanted else 200, {"ETag": '"0"', "X-Repo-Commit": "0" * 40}, part)
        else:
            self.answer(404, {"X-Error-Code": "EntryNotFound"}, b"{}")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward

    def json(self, content: Any) -> None:
        self.answer(200, {"Content-Type": "application/json"}, json.dumps(content).encode())
