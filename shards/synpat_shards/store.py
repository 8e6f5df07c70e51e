"""Where a set lies: a folder of this machine, or a URL that fsspec reaches, behind the few actions a set needs.

A file appears under its name only when it is whole: by renaming in a folder and over SFTP or WebDAV, and because one
PUT, or the completion of a multipart upload, is atomic on an object store. Credentials are found by each store's own
library in its own places (AWS_* and ~/.aws, GOOGLE_APPLICATION_CREDENTIALS, HF_TOKEN, SSH keys, ~/.config/fsspec);
no message of ours repeats them.
"""

import errno
import hashlib
import io
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import Any, BinaryIO, TypeVar

import fsspec
from fsspec.core import split_protocol

from .errors import InputError, MissingDependencyError
from .files import atomic_file, partial_name

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "hf": "hf", "sftp": "sftp", "ssh": "sftp"}
"""The extra of synpat that brings what a protocol needs."""
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "hf", "az", "abfs"}
"""Where an upload shows only once it is whole; elsewhere we write beside the name and rename."""
WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each further attempt at what failed for a reason that may pass."""
ONE_PUT = 16 << 20
"""Bytes up to which a file goes up in one piece; a larger one goes in pieces of this size, to bound memory."""
CHUNK = 1 << 20
"""Bytes read at once from a stream."""
LARGEST_SMALL_FILE = 64 << 20
"""Bytes that `read` takes into memory, if it is not told another limit."""

PERMANENT = (FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)
PERMANENT += (ImportError, NotImplementedError, TypeError)
log = logging.getLogger(__name__)
Result = TypeVar("Result")


class StoreError(OSError):
    """A store that cannot be reached, refuses us or answers nonsense, in one line without credentials."""


@dataclass(frozen=True)
class Store:
    """A folder, or what stands in for one behind a URL; names are relative to it and use forward slashes."""

    url: str
    """What people call it: the path or the URL, without a password."""
    protocol: str
    """fsspec's name for the kind of store; "file" for a folder."""
    root: str
    """The path inside the store."""
    options: dict[str, Any] = field(default_factory=dict, repr=False, hash=False)
    """What the URL says beside the path, such as a host."""

    @property
    def is_local(self) -> bool:
        return self.protocol == "file"

    def child(self, name: str) -> "Store":
        """Return the store of a folder inside this one."""
        return replace(self, url=f"{self.url}/{name}", root=f"{self.root}/{name}")

    def name(self, name: str) -> str:
        """What people call a file of it."""
        return f"{self.url}/{name}"

    def read(self, name: str, most: int = LARGEST_SMALL_FILE) -> bytes:
        """The content of a small file of at most so many bytes.

        Raises FileNotFoundError if there is none, InputError if it is larger.
        """

        def whole(files: Any, path: str) -> bytes:
            if (size := files.info(path)["size"] or 0) > most:
                raise InputError(f"{self.name(name)} is refused: it has {size} bytes, {most} are the most")
            with files.open(path, "rb") as file:
                return file.read(most)

        return self._try(name, whole)

    def read_part(self, name: str, start: int, size: int) -> bytes:
        """Bytes of a file from a position on; fewer where it ends."""
        return self._try(name, lambda files, path: files.cat_file(path, start=start, end=start + size))

    def exists(self, name: str) -> bool:
        try:
            return self._try(name, lambda files, path: files.info(path))["type"] == "file"
        except (FileNotFoundError, NotADirectoryError):
            return False

    def sizes(self) -> dict[str, int]:
        """Bytes of every file in it, by name; empty where nothing is."""

        def listed(files: Any, path: str) -> dict[str, int]:
            try:
                found = files.find(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return {}
            return {
                location[len(path) :].lstrip("/"): info["size"] or 0
                for location, info in found.items()
                if location != path
            }

        return dict(sorted(self._try("", listed).items()))

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a file piece by piece; a fault on the way is not mended, as what came is gone."""
        with self._try(name, _stream) as file:
            while piece := self._once(name, lambda: file.read(CHUNK)):
                yield piece

    def sha256(self, name: str) -> str:
        """Of a file's content, read in full."""

        def digest(files: Any, path: str) -> str:
            with _stream(files, path) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

        return self._try(name, digest)

    def md5(self, name: str) -> str | None:
        """The checksum that an object store keeps of a file; None where there is none, or of another kind."""
        told = self._try(name, lambda files, path: files.info(path)).get("ETag")
        found = re.fullmatch('"?([0-9a-f]{32})"?', told) if isinstance(told, str) else None
        return found[1] if found else None

    def fetch(self, name: str, to: Path, size: int, sha256: str) -> None:
        """Copy a file to a local path, which exists only once all of it has come and is what it should be.

        Raises InputError, naming the file, if its size (bytes) or checksum is another.
        """

        def copied(files: Any, path: str) -> None:
            if (there := files.info(path)["size"]) != size:
                raise InputError(f"{self.name(name)} has {there} bytes instead of {size}: publish or render it again")
            with atomic_file(to) as file:
                files.get_file(path, file.name)
                if _sha256(Path(file.name)) != sha256:
                    raise InputError(
                        f"{self.name(name)} is damaged: its checksum is not the manifest's. Publish or render it again"
                    )

        self._try(name, copied)

    def put(self, name: str, content: bytes | BinaryIO) -> None:
        """Write a file, in place of an earlier one of that name; nobody sees a part of it."""
        source = io.BytesIO(content) if isinstance(content, bytes) else content
        if self.is_local:
            with self.writing(name) as file:
                shutil.copyfileobj(source, file, CHUNK)
        else:
            self._try(name, lambda files, path: self._upload(files, path, source))

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file to write, which appears under its name when the context ends well; behind a URL it is sent then."""
        if self.is_local:
            path = Path(self.root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                yield file
        else:
            with TemporaryFile() as file:  # it has no name, so that nothing is left of it whatever happens
                yield file
                self.put(name, file)

    def _upload(self, files: Any, path: str, source: BinaryIO) -> None:
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
        """Write a small file unless there is one, and give what is there now: ours, or that of whoever came first.

        Of two that try at once only one succeeds: in a folder, over SFTP, and on stores that know If-None-Match.
        """
        if self.is_local:
            path = Path(self.root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError), atomic_file(path, overwrite=False) as file:
                file.write(content)
        elif not self.exists(name):
            waits = () if self.protocol in OBJECT_STORES else None  # what they cannot be asked, they refuse at once
            try:
                self._try(name, lambda files, path: self._create(files, path, content), waits)
            except (OSError, NotImplementedError, ValueError):  # somebody was first, or the store cannot be asked so
                if not self.exists(name):
                    self.put(name, content)
        try:
            return self.read(name)
        except FileNotFoundError:  # whoever came first has finished just now, and taken it away
            return self.claim(name, content)

    def _create(self, files: Any, path: str, content: bytes) -> None:
        if self.protocol in OBJECT_STORES:
            files.pipe_file(path, content, mode="create")
            return
        files.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
        try:
            file = files.open(path, "wxb")  # as paramiko spells it
        except OSError:  # SFTP has no word for it: it says "Failure"
            if files.exists(path):
                raise FileExistsError(path) from None
            raise
        with file:
            file.write(content)

    def remove(self, name: str) -> None:
        """Remove a file; it is no fault if it has gone."""
        with suppress(FileNotFoundError):
            self._try(name, lambda files, path: files.rm_file(path))

    def _try(
        self,
        name: str,
        action: Callable[[Any, str], Result],
        waits: Sequence[float] | None = None,
    ) -> Result:
        """Act on a file, again after each of these waits (in seconds) while the fault is one that may pass."""
        path = f"{self.root.rstrip('/')}/{name}".rstrip("/")
        waits = WAITS if waits is None else waits
        for attempt, wait in enumerate((*waits, None), 1):
            try:
                files = fsspec.filesystem(self.protocol, **self.options)
                files.invalidate_cache()
                return action(files, path)
            except Exception as fault:
                if self.is_local or isinstance(fault, ValueError) or _is_of_this_machine(fault):
                    raise
                if wait is None or not _may_pass(fault):
                    raise self._in_words(name, fault) from None
                log.warning(
                    "%s; trying again in %g s (%d of %d)", self._in_words(name, fault), wait, attempt, len(waits)
                )
                if not fsspec.get_filesystem_class(self.protocol).async_impl:
                    fsspec.get_filesystem_class(self.protocol).clear_instance_cache()  # its connection is dead
                time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _once(self, name: str, action: Callable[[], Result]) -> Result:
        try:
            return action()
        except Exception as fault:
            if self.is_local:
                raise
            raise self._in_words(name, fault) from None

    def _in_words(self, name: str, fault: Exception) -> OSError:
        where = self.name(name).rstrip("/")
        if isinstance(fault, FileNotFoundError):
            return FileNotFoundError(f"{where} is not there, or its bucket or folder is not")
        if isinstance(fault, FileExistsError):
            return FileExistsError(f"{where} is there already")
        said = without_secrets((str(fault).strip() or type(fault).__name__).splitlines()[0])
        if isinstance(fault, PermissionError) or _is_about_credentials(fault):
            return StoreError(f"{where}: the store refuses us ({said}): look at its credentials and what they may do")
        return StoreError(f"{where}: {said}")


def _stream(files: Any, path: str) -> Any:
    """A file to be read from its beginning to its end."""
    file = files.open(path, "rb")
    if hasattr(file, "prefetch"):  # paramiko would wait for the answer to each 32 kB
        file.prefetch()
    return file


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _send(files: Any, path: str, source: BinaryIO) -> None:
    """Upload a file; on a fault an object store is told to forget it, as closing would publish what has gone up."""
    first = source.read(ONE_PUT)
    if len(first) < ONE_PUT:
        files.pipe_file(path, first)
        return
    file = files.open(path, "wb", block_size=ONE_PUT)
    if hasattr(file, "set_pipelined"):  # paramiko again
        file.set_pipelined(True)
    try:
        file.write(first)
        shutil.copyfileobj(source, file, ONE_PUT)
        file.close()
    except BaseException:
        with suppress(Exception):
            if hasattr(file, "discard"):
                file.closed = True  # or its destructor would close it, and so publish what has gone up
                file.discard()
            else:
                file.close()
        raise


Location = str | Path | Store
"""A folder, a URL or an open store."""


def open_store(location: Location) -> Store:
    """The store behind a folder's path or a URL; nothing is asked of it yet. A store is given back as it is.

    Raises InputError for a URL that is none of fsspec's, ImportError naming the extra for one that needs more.
    """
    if isinstance(location, Store):
        return location
    location = str(location)
    if not is_url(location):
        return Store(url=location, protocol="file", root=str(Path(location).absolute()))
    protocol, _ = split_protocol(location)
    if protocol is None or "::" in location:
        raise InputError(f"{without_secrets(location)} is no URL of a shard set: write PROTOCOL://PATH")
    try:
        kind = fsspec.get_filesystem_class(protocol)
    except ValueError:
        raise InputError(f"{protocol}:// is unknown: use a folder, or {'://, '.join(EXTRAS)}://") from None
    except ImportError as missing:
        remedy = f"pip install 'synpat[{EXTRAS[protocol]}]'" if protocol in EXTRAS else missing
        raise MissingDependencyError(f"{protocol}:// needs a library that is not installed: {remedy}") from None
    root = str(kind._strip_protocol(location)).rstrip("/")
    if not root:
        raise InputError(f"{without_secrets(location)} names no folder: add a path to it")
    if protocol in ("file", "local"):
        return Store(url=root, protocol="file", root=root)
    return Store(
        url=without_secrets(location).rstrip("/"),
        protocol=protocol,
        root=root,
        options=kind._get_kwargs_from_urls(location),
    )


def is_url(location: str | Path) -> bool:
    """Whether a place is a URL, as against a folder of this machine."""
    return "://" in str(location)


def _may_pass(fault: Exception) -> bool:
    return not isinstance(fault, PERMANENT) and not _is_about_credentials(fault)


def _is_of_this_machine(fault: Exception) -> bool:
    """Whether the disk that a file is fetched to is at fault."""
    return isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def _is_about_credentials(fault: Exception) -> bool:
    # By name, as the libraries that raise them are not imported here: botocore's NoCredentialsError, ProfileNotFound;
    # paramiko's AuthenticationException; google's DefaultCredentialsError.
    return bool(re.search("Credential|Authenti|ProfileNotFound|TokenRetrieval", type(fault).__name__))


_SECRET_NAME = re.compile("SECRET|TOKEN|PASSWORD|CREDENTIAL|ACCESS_KEY|API_KEY", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """A text without passwords of URLs, signatures, and what secret variables of the environment hold."""
    text = re.sub(r"(://[^/\s:@]*):[^/\s]*@", r"\1@", text)
    text = re.sub(r"(?i)((?:signature|credential|token|secret|password)[\w-]*=)[^&\s]+", r"\1***", text)
    for name, value in os.environ.items():
        if len(value) >= 6 and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return text
