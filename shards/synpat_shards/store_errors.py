"""Errors of stores: which are temporary, and messages in one line without secrets."""

import errno
import os
import re

PERMANENT = (FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)
PERMANENT += (ImportError, NotImplementedError, TypeError, ValueError)
"""Errors that a repetition of the request does not change."""


class StoreError(OSError):
    """A store is unreachable, denies access or sends an invalid response. The message is one line, without secrets."""


def described(fault: Exception, where: str) -> OSError:
    """Return an error whose message is one line, with the path or URL `where` and without credentials."""
    if isinstance(fault, FileNotFoundError):
        return FileNotFoundError(f"{where} does not exist, or its bucket or folder does not exist")
    if isinstance(fault, FileExistsError):
        return FileExistsError(f"{where} already exists")
    text = without_secrets((str(fault).strip() or type(fault).__name__).splitlines()[0])
    if isinstance(fault, PermissionError) or _is_about_credentials(fault):
        return StoreError(f"{where}: access denied ({text}): check the credentials and their permissions")
    return StoreError(f"{where}: {text}")


def failed_request(fault: Exception) -> Exception:
    """Return the cause of an error of a web server. fsspec reports every failed request as a missing file.

    Buckets that do not list their files answer 403 for a missing file.
    """
    cause = fault.__cause__
    if not isinstance(fault, FileNotFoundError) or not isinstance(cause, Exception):
        return fault
    return fault if getattr(cause, "status", None) in (403, 404, 410) else cause


def is_temporary(fault: Exception) -> bool:
    """Return True if the same request may succeed later."""
    status = getattr(getattr(fault, "response", None), "status_code", None) or getattr(fault, "status", None)
    is_refused = isinstance(status, int) and 400 <= status < 500 and status not in (408, 425, 429)
    return not (isinstance(fault, PERMANENT) or is_refused or _is_about_credentials(fault))


def is_local_disk_error(fault: Exception) -> bool:
    """Return True if an error is about the disk of this machine, to which a file is copied."""
    return isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def _is_about_credentials(fault: Exception) -> bool:
    # By name, because the libraries that raise them are not imported here: NoCredentialsError and ProfileNotFound of
    # botocore, AuthenticationException of paramiko, DefaultCredentialsError of google-auth.
    return bool(re.search("Credential|Authenti|ProfileNotFound|TokenRetrieval", type(fault).__name__))


_SECRET_NAME = re.compile("SECRET|TOKEN|PASSWORD|CREDENTIAL|ACCESS_KEY|API_KEY", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """Remove passwords in URLs, signatures, and the values of secret environment variables from a text."""
    text = re.sub(r"(://[^/\s:@]*):[^/\s]*@", r"\1@", text)
    text = re.sub(r"(?i)((?:signature|credential|token|secret|password)[\w-]*=)[^&\s]+", r"\1***", text)
    for name, value in os.environ.items():
        if len(value) >= 6 and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return text
