"""PNG: images are read back, other readers can open the files, and invalid files are rejected."""

import io
import struct
import tracemalloc
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from isal import isal_zlib
from PIL import Image

from synpat_shards import decode_png, encode_png

grey = arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)))
colour = arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)))


@given(image=grey | colour)
def test_a_written_image_is_read_back(image: np.ndarray):
    assert np.array_equal(decode_png(encode_png(image)), image)


@given(image=grey | colour)
def test_pillow_and_opencv_read_the_same_pixels(image: np.ndarray):
    data = encode_png(image)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), image)
    opened = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert opened is not None
    assert np.array_equal(opened if image.ndim == 2 else opened[:, :, ::-1], image)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("I;16", [0, 1, 127, 255]), ("1", [0, 0, 255, 255]), ("P", [10, 20, 30, 40]), ("LA", [10, 20, 30, 40])],
)
def test_other_kinds_of_grey_png_are_converted_to_8_bits(mode: str, expected: list[int]):
    """16 bits are scaled, not clipped; a palette is resolved; an alpha channel is ignored."""
    pixels = {
        "I;16": np.array([[0, 300, 32_600, 65_535]], np.uint16),
        "1": np.array([[False, False, True, True]]),
        "P": np.array([[0, 1, 2, 3]], np.uint8),
        "LA": np.array([[[10, 0], [20, 80], [30, 160], [40, 255]]], np.uint8),
    }[mode]
    image = Image.fromarray(pixels)
    if mode == "P":
        image = Image.fromarray(pixels, mode="L").convert("P")
        image.putpalette([level for grey in (10, 20, 30, 40) for level in (grey,) * 3])
    file = io.BytesIO()
    image.save(file, "PNG")
    assert Image.open(io.BytesIO(file.getvalue())).mode == mode
    decoded = decode_png(file.getvalue())
    assert (decoded if decoded.ndim == 2 else decoded[:, :, 0]).tolist() == [expected]


def test_truncated_and_corrupt_files_are_rejected():
    data = encode_png(np.arange(600, dtype=np.uint8).reshape(20, 30))
    for invalid in (data[: len(data) // 2], b"", b"GIF89a", data[:40] + bytes([data[40] ^ 1]) + data[41:]):
        with pytest.raises(ValueError, match="not a valid PNG"):
            decode_png(invalid)


def test_a_decompression_bomb_is_rejected_by_its_header():
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    with pytest.raises(ValueError, match="60000x60000 pixels is too large"):
        decode_png(bomb)


def test_a_decompression_bomb_with_a_small_header_does_not_fill_the_memory():
    ours = encode_png(np.zeros((4, 4), np.uint8))
    bomb = isal_zlib.compress(bytes(10**8), 1)
    idat = struct.pack(">I", len(bomb)) + b"IDAT" + bomb + struct.pack(">I", zlib.crc32(b"IDAT" + bomb))
    tracemalloc.start()
    with suppress(ValueError):  # Pillow reads the number of pixels of the header and ignores the rest
        decode_png(ours[:33] + idat + ours[-12:])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6


@given(image=grey | colour, level=st.integers(0, 9), optimize=st.booleans())
def test_files_of_other_writers_are_read(image: np.ndarray, level: int, optimize: bool):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=level, optimize=optimize)
    assert np.array_equal(decode_png(file.getvalue()), image)


@given(image=grey, place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_rejected_or_has_no_effect(image: np.ndarray, place: int, bit: int):
    data = bytearray(encode_png(image))
    data[place % len(data)] ^= 1 << bit
    with suppress(ValueError):
        assert np.array_equal(decode_png(bytes(data)), image)
