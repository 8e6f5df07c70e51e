"""Files of tensors, numbers and texts: written completely or not at all, checked and loaded without unpickling code."""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from synpat_shards import InputError, atomic_file, first_line


def write_tensors(path: Path, state: dict[str, Any]) -> None:
    """Write a dictionary of tensors, numbers and texts.

    Raises OSError if the disk is full. An existing file is then unchanged.
    """
    data = io.BytesIO()  # torch.save raises no OSError when it writes to a full disk
    torch.save(state, data)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(data.getbuffer())


def read_tensors(path: Path) -> dict[str, Any]:
    """Read what `write_tensors` has written, after comparing all checksums, which torch does not do.

    Raises InputError, with the reason in one line, if the file is corrupt.
    """
    try:
        with zipfile.ZipFile(path) as parts:
            if wrong := parts.testzip():
                raise InputError(f"the checksum of {wrong} is wrong")
        return torch.load(path, map_location="cpu", weights_only=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # zipfile, pickle and torch raise many kinds of exceptions
        raise InputError(f"{path} is corrupt: {first_line(error)}") from None
