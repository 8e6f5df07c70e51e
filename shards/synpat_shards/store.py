"""Stores of sets: a folder on this machine or a URL that fsspec supports, with the few operations that sets need.

A file appears under its name only when it is complete. In folders and over SFTP or WebDAV this is done by renaming; on
object stores a PUT and the completion of a multipart upload are atomic. Credentials are read by the library of each
store from its usual locations (AWS_* and ~/.aws, GOOGLE_APPLICATION_CREDENTIALS, HF_TOKEN, SSH keys,
~/.config/fsspec). They never appear in messages.
"""

import hashlib
import io
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import Any, BinaryIO, TypeVar

import fsspec
from fsspec.core import split_protocol

from .errors import InputError, MissingDependencyError
from .files import atomic_file, partial_name, walk_files
from .store_errors import StoreError, described, failed_request, is_local_disk_error, is_temporary, without_secrets

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "hf": "hf", "sftp": "sftp", "ssh": "sftp"}
EXTRAS |= {"https": "http", "http": "http"}
"""Extra of synpat that installs the library for a protocol."""
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "hf", "az", "abfs"}
"""Protocols with atomic uploads. On other stores, files are written under a temporary name and renamed."""
WEB = {"https", "http"}
"""Protocols of web servers. They can only be read, may not list folders, and may not send parts of files."""
WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait before each retry after a temporary error."""
REQUESTS = 16
"""Number of simultaneous requests for small files from a store."""
CLAIM_WAIT = 1.0
"""Seconds that a writer waits after a claim, on stores that do not create files exclusively."""
ONE_PUT = 16 << 20
"""Maximum size in bytes of a file that is uploaded in one piece. Larger files are uploaded in pieces of this size."""
CHUNK = 1 << 20
"""Number of bytes read at once from a stream."""
LARGEST_SMALL_FILE = 64 << 20
"""Default limit of the size of a file in `read`, in bytes."""

log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Store:
    """A folder, or its equivalent at a URL. Names of files are relative to it and use forward slashes."""

    url: str
    """The path or the URL without a password, for messages."""
    protocol: str
    """fsspec's name of the type of store; "file" for a folder."""
    root: str
    """The path inside the store."""
    options: dict[str, Any] = field(default_factory=dict, repr=False, hash=False)
    """Parts of the URL other than the path, such as the host."""

    @property
    def is_local(self) -> bool:
        return self.protocol == "file"

    def child(self, name: str) -> "Store":
        """Return the store of a folder inside this one."""
        return replace(self, url=f"{self.url}/{name}", root=f"{self.root}/{name}")

    def name(self, name: str) -> str:
        """Return the path or URL of a file, or of the store for "", for messages."""
        return f"{self.url}/{name}".rstrip("/")

    def read(self, name: str, most: int = LARGEST_SMALL_FILE) -> bytes:
        """Return the content of a small file of at most `most` bytes.

        Raises FileNotFoundError if it does not exist, InputError if it is larger.
        """

        def content(files: Any, path: str) -> bytes:
            if (size := files.info(path)["size"] or 0) > most:
                raise InputError(f"{self.name(name)} is too large: it has {size} bytes, the maximum is {most}")
            with files.open(path, "rb") as file:
                return file.read(most)

        return self._try(name, content)

    def read_part(self, name: str, start: int, size: int) -> bytes:
        """Return `size` bytes of a file, starting at a position; fewer at the end of the file."""
        data = self._try(name, lambda files, path: files.cat_file(path, start=start, end=start + size))
        return data if len(data) <= size else data[start : start + size]  # a web server has sent the whole file

    def exists(self, name: str) -> bool:
        return self._size_of_file(name) is not None

    def size(self, name: str) -> int:
        """Return the size of a file in bytes. Raises FileNotFoundError if it does not exist."""
        size = self._size_of_file(name)
        if size is None:
            raise described(FileNotFoundError(), self.name(name))
        return size

    def _size_of_file(self, name: str) -> int | None:
        """Return the size of a file in bytes; None if there is no file of this name."""
        try:
            info = self._try(name, lambda files, path: files.info(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        is_page = self.protocol in WEB and info.get("mimetype") == "text/html"  # the list of a folder, or an error page
        return info["size"] or 0 if info["type"] == "file" and not is_page else None

    def sizes(self, names: Iterable[str] = ()) -> dict[str, int]:
        """Return the sizes of all files in bytes, by name; empty if the folder does not exist.

        names: files that a web server is asked for, because it may not list its folders.
        """

        if self.is_local:
            root = Path(self.root)
            paths = walk_files(root) if root.is_dir() else ()
            return {path.relative_to(root).as_posix(): _size(path) for path in paths}

        def listed(files: Any, path: str) -> dict[str, int]:
            try:
                details = files.find(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return {}
            return {
                location[len(path) :].lstrip("/"): info["size"] or 0
                for location, info in details.items()
                if location != path
            }

        if self.protocol not in WEB:
            return dict(sorted(self._try("", listed).items()))
        wanted = set(names)
        with suppress(StoreError):  # the server does not list the folder
            wanted |= {name for name in self._try("", listed) if _is_name(name)}
        with ThreadPoolExecutor(REQUESTS) as threads:
            sizes = zip(sorted(wanted), threads.map(self._size_of_file, sorted(wanted)), strict=True)
            return {name: size for name, size in sizes if size is not None}

    def entries(self) -> dict[str, bool] | None:
        """Return the names in the folder, without those in its subfolders, and True for each subfolder; None if the
        folder does not exist."""

        if self.is_local:
            root = Path(self.root)
            return {path.name: path.is_dir() for path in sorted(root.iterdir())} if root.is_dir() else None

        def listed(files: Any, path: str) -> dict[str, bool] | None:
            try:
                details = files.ls(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return None
            kinds = {info["name"].rstrip("/"): info["type"] == "directory" for info in details}
            names = {name.rpartition("/")[2]: is_folder for name, is_folder in kinds.items() if name != path}
            return {name: kind for name, kind in names.items() if self.protocol not in WEB or _is_name(name)}

        return self._try("", listed)

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file in pieces. Errors after the first piece are not retried."""
        with self._try(name, self._stream) as file:
            while piece := self._once(name, lambda: file.read(CHUNK)):
                yield piece

    def sha256(self, name: str) -> str:
        """Read a file and return its SHA-256 in hexadecimal."""

        def digest(files: Any, path: str) -> str:
            with self._stream(files, path) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

        return self._try(name, digest)

    def md5(self, name: str) -> str | None:
        """Return the MD5 checksum that an object store reports for a file; None if it reports none."""
        etag = self._try(name, lambda files, path: files.info(path)).get("ETag")
        digest = re.fullmatch('"?([0-9a-f]{32})"?', etag) if isinstance(etag, str) else None
        return digest[1] if digest else None

    def fetch(self, name: str, to: Path, size: int, sha256: str) -> None:
        """Copy a file to a local path. The local file appears only when it is complete and its checksum is right.

        Raises InputError, with the name of the file, if it has another size (in bytes) or checksum.
        """

        def copied(files: Any, path: str) -> None:
            if (actual := files.info(path)["size"]) != size:
                raise InputError(f"{self.name(name)} has {actual} bytes instead of {size}: publish or render it again")
            with atomic_file(to) as file:
                files.get_file(path, file.name)
                if _sha256(Path(file.name)) != sha256:
                    raise InputError(
                        f"{self.name(name)} is corrupt: its checksum differs from the manifest. Publish or render it "
                        "again"
                    )

        self._try(name, copied)

    def put(self, name: str, content: bytes | BinaryIO) -> None:
        """Write a file atomically. An existing file of that name is replaced."""
        source = io.BytesIO(content) if isinstance(content, bytes) else content
        if self.is_local:
            with self.writing(name) as file:
                shutil.copyfileobj(source, file, CHUNK)
        else:
            self._try(name, lambda files, path: self._upload(files, path, source))

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """Open a file for writing. It appears (at a URL: is uploaded) when the context ends without an error."""
        if self.is_local:
            path = Path(self.root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                yield file
        else:
            with TemporaryFile() as file:  # without a name, so that it is always removed
                yield file
                self.put(name, file)

    def _upload(self, files: Any, path: str, source: BinaryIO) -> None:
        if self.protocol in WEB:
            raise InputError(f"{self.url} can only be read: write to a folder, or to s3://, gs://, hf:// or sftp://")
        source.seek(0)
        if self.protocol in OBJECT_STORES:
            _send(files, path, source)
            return
        location = PurePosixPath(path)
        partial = str(location.with_name(partial_name(location.name)))
        files.makedirs(str(location.parent), exist_ok=True)
        try:
            _send(files, partial, source)
            files.mv(partial, path)
        except BaseException:
            if files.exists(partial):
                files.rm_file(partial)
            raise

    def claim(self, name: str, content: bytes) -> bytes:
        """Write a small file unless it exists, and return the content of the file: `content` or that of another writer.

        In a folder and on object stores that support If-None-Match, only one of several writers succeeds. Elsewhere,
        writers that start at the same moment may all create the file, and the last one overwrites the others. So a
        writer waits before it reads the file (Fischer's algorithm; Lamport, "A fast mutual exclusion algorithm", 1987).
        """
        if self.is_local:
            path = Path(self.root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError), atomic_file(path, overwrite=False) as file:
                file.write(content)
        elif not self.exists(name):
            exclusive = self.protocol in OBJECT_STORES
            waits = () if exclusive else None  # a store without If-None-Match fails at once
            try:
                self._try(name, lambda files, path: self._create(files, path, content), waits)
            except (OSError, NotImplementedError, ValueError):  # the file exists, or If-None-Match is not supported
                if not self.exists(name):
                    exclusive = False
                    self.put(name, content)
            if not exclusive:
                time.sleep(CLAIM_WAIT)
        try:
            return self.read(name)
        except FileNotFoundError:  # the other writer has finished and removed the file
            return self.claim(name, content)

    def _create(self, files: Any, path: str, content: bytes) -> None:
        if self.protocol in OBJECT_STORES:
            files.pipe_file(path, content, mode="create")
            return
        files.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
        try:
            file = files.open(path, "wxb")  # paramiko's mode for exclusive creation
        except OSError:  # SFTP has no error code for an existing file: it returns "Failure"
            if files.exists(path):
                raise FileExistsError(path) from None
            raise
        with file:
            file.write(content)

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        with suppress(FileNotFoundError):
            self._try(name, lambda files, path: files.rm_file(path))

    def _stream(self, files: Any, path: str) -> Any:
        """Open a file for sequential reading."""
        whole = {"block_size": 0} if self.protocol in WEB else {}  # one request instead of one for each block
        file = files.open(path, "rb", **whole)
        if hasattr(file, "prefetch"):  # otherwise paramiko waits for the response to each 32 kB
            file.prefetch()
        return file

    def _try(
        self,
        name: str,
        action: Callable[[Any, str], Result],
        waits: Sequence[float] | None = None,
    ) -> Result:
        """Run an action on a file. After a temporary error, retry it after each of the waits (in seconds)."""
        path = f"{self.root.rstrip('/')}/{name}".rstrip("/")
        waits = WAITS if waits is None else waits
        for attempt, wait in enumerate((*waits, None), 1):
            try:
                files = fsspec.filesystem(self.protocol, **self.options)
                files.invalidate_cache()
                return action(files, path)
            except Exception as error:
                fault = failed_request(error) if self.protocol in WEB else error
                if self.is_local or isinstance(fault, InputError) or is_local_disk_error(fault):
                    raise
                reason = described(fault, self.name(name))
                if wait is None or not is_temporary(fault):
                    raise reason from None
                log.warning("%s; trying again in %g s (%d of %d)", reason, wait, attempt, len(waits))
                if not fsspec.get_filesystem_class(self.protocol).async_impl:
                    fsspec.get_filesystem_class(self.protocol).clear_instance_cache()  # the connection is closed
                time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _once(self, name: str, action: Callable[[], Result]) -> Result:
        try:
            return action()
        except Exception as fault:
            if self.is_local:
                raise
            raise described(fault, self.name(name)) from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a link to nothing, or a file that has just been removed
        return 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _send(files: Any, path: str, source: BinaryIO) -> None:
    """Upload a file. After an error the upload is discarded, because closing the file would publish a part of it."""
    first = source.read(ONE_PUT)
    if len(first) < ONE_PUT:
        files.pipe_file(path, first)
        return
    file = files.open(path, "wb", block_size=ONE_PUT)
    if hasattr(file, "set_pipelined"):  # paramiko: do not wait for each response
        file.set_pipelined(True)
    try:
        file.write(first)
        shutil.copyfileobj(source, file, ONE_PUT)
        file.close()
    except BaseException:
        with suppress(Exception):
            if hasattr(file, "discard"):
                file.closed = True  # otherwise its destructor closes it, which publishes the uploaded part
                file.discard()
            else:
                file.close()
        raise


Location = str | Path | Store
"""A folder, a URL or an open store."""


def open_store(location: Location) -> Store:
    """Return the store of a folder or a URL, without accessing it. A Store is returned unchanged.

    Raises InputError for a URL that fsspec does not support, and MissingDependencyError, with the extra to install, if
    its library is not installed.
    """
    if isinstance(location, Store):
        return location
    location = str(location)
    if not is_url(location):
        return Store(url=location, protocol="file", root=str(Path(location).absolute()))
    protocol, _ = split_protocol(location)
    if protocol is None or "::" in location:
        raise InputError(f"{without_secrets(location)} is not a valid URL of a shard set: write PROTOCOL://PATH")
    try:
        kind = fsspec.get_filesystem_class(protocol)
    except ValueError:
        raise InputError(f"{protocol}:// is not supported: use a folder, or {'://, '.join(EXTRAS)}://") from None
    except ImportError as missing:
        remedy = f"pip install 'synpat[{EXTRAS[protocol]}]'" if protocol in EXTRAS else missing
        raise MissingDependencyError(f"{protocol}:// needs a library that is not installed: {remedy}") from None
    root = str(kind._strip_protocol(location)).rstrip("/")
    if not root:
        raise InputError(f"{without_secrets(location)} has no path: write PROTOCOL://PATH")
    if protocol in ("file", "local"):
        return Store(url=root, protocol="file", root=root)
    return Store(
        url=without_secrets(location).rstrip("/"),
        protocol=protocol,
        root=root,
        options=kind._get_kwargs_from_urls(location),
    )


def match_url(pattern: str) -> dict[str, bool]:
    """Return the URLs that match a URL with globs, in order, and True for each folder."""
    store = open_store(pattern)
    start = pattern.rstrip("/").removesuffix(store.root.lstrip("/"))
    found: dict[str, Any] = store._try("", lambda files, path: files.glob(path, detail=True))
    return {start + name.lstrip("/"): info["type"] == "directory" for name, info in sorted(found.items())}


def is_url(location: str | Path) -> bool:
    """Return True if a location is a URL, False if it is a folder on this machine."""
    return "://" in str(location)


def _is_name(link: str) -> bool:
    """Return False for links of a web server that only sort a list, such as "?C=M;O=A"."""
    return "?" not in link
