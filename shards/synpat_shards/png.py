"""Fast writing and reading of PNG files: filter Up on every row, and level 1 of the deflate in Intel's ISA-L.

The files have a signature and three chunks and can be read by any PNG reader (W3C, "Portable Network Graphics (PNG)
Specification", 2003). Filter Up takes one subtraction per byte when writing and one addition when reading. The usual
adaptive filters take several times as long and do not make the files of our patterns smaller. The bytes depend only on
the image and the version of ISA-L: at level 1 its variants for different processors write the same bytes.
"""

import io
import struct
from functools import lru_cache

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .errors import InputError

LEVEL = 1
ENCODING = f"png, filter up, isal level {LEVEL}"
"""Encoding of images, as recorded in the manifest."""
LARGEST = 1 << 26
"""Maximum number of pixels of an image. Larger sizes in a header are rejected before memory is allocated."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FILTER_UP = 2
_COLOUR_TYPES = {1: 0, 3: 2}
"""PNG's colour type by number of channels: grey and RGB."""
_START = _SIGNATURE + b"\0\0\0\rIHDR"
_CHANNELS = {bytes((8, colour_type, 0, 0, 0)): channels for channels, colour_type in _COLOUR_TYPES.items()}
"""Number of channels by the header bytes after width and height, for files of `encode_png`."""


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Return the PNG file of a uint8 image, [height, width] or [height, width, 3]."""
    height, width = image.shape[:2]
    rows = image.reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _FILTER_UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    colour_type = _COLOUR_TYPES[1 if image.ndim == 2 else image.shape[2]]
    pixels = isal_zlib.compress(filtered, LEVEL)
    return b"".join((_head(height, width, colour_type), _chunk(b"IDAT", pixels), _END))


@lru_cache(maxsize=8)  # the images of a set are of one size
def _head(height: int, width: int, colour_type: int) -> bytes:
    """Return the bytes before the pixels."""
    return _SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join(
        (struct.pack(">I", len(data)), kind, data, struct.pack(">I", isal_zlib.crc32(data, isal_zlib.crc32(kind))))
    )


_END = _chunk(b"IEND", b"")


def png_size(data: bytes) -> tuple[int, int]:
    """Return height and width from the header of a PNG file; (0, 0) if the header is not complete."""
    width, height = struct.unpack(">II", data[16:24]) if len(data) >= 24 else (0, 0)
    return height, width


def decode_png(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a PNG file: uint8 [height, width], or [height, width, 3] if it has colour.

    Files of `encode_png` are decoded here, which is faster; other files are decoded by Pillow. 16-bit values are scaled
    to 8 bits, palettes are resolved, an alpha channel is ignored. Raises InputError if the file is not a valid PNG or
    has more than LARGEST pixels.
    """
    height, width = png_size(data)
    if width * height > LARGEST:
        raise InputError(f"a PNG of {height}x{width} pixels is too large: the maximum is {LARGEST} pixels")
    image = _decode_own(data, height, width)
    return _decode_any(data) if image is None else image


def _decode_own(data: bytes, height: int, width: int) -> NDArray[np.uint8] | None:
    """Return the pixels of a file of `encode_png`; None for other files and for invalid ones."""
    end = len(data) - len(_END)
    depth_and_type = data[24:29]
    if data[:16] != _START or data[37:41] != b"IDAT" or data[end:] != _END or depth_and_type not in _CHANNELS:
        return None
    pixels = memoryview(data)[41 : end - 4]
    if len(pixels) != int.from_bytes(data[33:37]) or not _checked(data, 12, 29) or not _checked(data, 37, end - 4):
        return None
    channels = _CHANNELS[depth_and_type]
    stride = 1 + width * channels
    expected = height * stride
    inflating = isal_zlib.decompressobj()
    try:
        # The limit of one byte more than expected prevents a decompression bomb from filling the memory.
        inflated = inflating.decompress(pixels, expected + 1)
    except isal_zlib.error:  # pyright: ignore[reportGeneralTypeIssues]
        return None
    if not expected or len(inflated) != expected or not inflating.eof:
        return None
    rows = np.frombuffer(inflated, np.uint8)
    if (rows[::stride] != _FILTER_UP).any():
        return None
    image = np.ascontiguousarray(_add_up(rows, stride).reshape(height, stride)[:, 1:])
    return image if channels == 1 else image.reshape(height, width, channels)


def _add_up(rows: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    """Undo filter Up: replace every row by the sum of itself and all rows above it, modulo 256.

    rows: uint8 [height * stride], with the filter bytes. Adding 1, 2, 4 ... rows at a time takes a few long additions
    instead of one short addition per row (Hillis and Steele, "Data parallel algorithms", 1986).
    """
    summed = stride
    buffers = np.empty_like(rows), np.empty_like(rows)
    while summed < len(rows):
        out, buffers = buffers[0], buffers[::-1]
        out[:summed] = rows[:summed]
        np.add(rows[summed:], rows[:-summed], out=out[summed:])
        rows, summed = out, 2 * summed
    return rows


def _checked(data: bytes, start: int, end: int) -> bool:
    """Return True if the checksum of a chunk, which follows its name and content, is right."""
    return isal_zlib.crc32(memoryview(data)[start:end]) == int.from_bytes(data[end : end + 4])


def _decode_any(data: bytes) -> NDArray[np.uint8]:
    try:
        # Pillow checks the checksums of pixels only in verify().
        Image.open(io.BytesIO(data), formats=["PNG"]).verify()
        with Image.open(io.BytesIO(data), formats=["PNG"]) as png:
            if png.mode.startswith("I"):  # Pillow would clip 16 bits at 255 instead of scaling them
                return (np.asarray(png, np.uint32) >> 8).astype(np.uint8)
            return np.asarray(png.convert("L" if png.mode in ("1", "L", "LA") else "RGB"))
    except UnidentifiedImageError:
        raise InputError("not a valid PNG: it cannot be decoded") from None
    except Exception as broken:  # Pillow raises many kinds of exceptions
        raise InputError(f"not a valid PNG: {broken}") from None
