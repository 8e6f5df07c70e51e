"""Image files as grey images of one height: decoding, and resizing that keeps the proportions of each image."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from synpat_shards import InputError, decode_png, png_size

LARGEST = 1 << 26
"""Maximum number of pixels of an image, before and after resizing, checked before memory is allocated."""
_PNG = b"\x89PNG"


def decode_grey(data: bytes) -> NDArray[np.uint8]:
    """Decode a PNG, JPEG or WebP file to uint8 [height, width]. Colours are converted to grey by ITU-R Rec. 601.

    Raises InputError for any other file, and for a corrupt or too large image.
    """
    if data.startswith(_PNG):
        image = decode_png(data)
        return image if image.ndim == 2 else np.asarray(Image.fromarray(image).convert("L"))
    height, width = image_size(data)
    if width * height > LARGEST:
        raise InputError(f"an image of {height}x{width} pixels is too large: the maximum is {LARGEST} pixels")
    try:
        with _open(data) as image:
            return np.asarray(image.convert("L"))
    except Exception as broken:  # Pillow raises many kinds of exceptions
        raise InputError(f"not a valid image: {broken}") from None


def image_size(data: bytes) -> tuple[int, int]:
    """Return height and width from the header of a PNG, JPEG or WebP file, of which the start may be enough.

    Raises InputError if the header is not valid or not complete.
    """
    if data.startswith(_PNG):
        return png_size(data)
    try:
        with _open(data) as image:
            return image.height, image.width
    except UnidentifiedImageError:
        raise InputError("not a valid PNG, JPEG or WebP image") from None
    except Exception as broken:  # Pillow raises many kinds of exceptions
        raise InputError(f"not a valid image: {broken}") from None


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=["JPEG", "WEBP"])


def width_at(height: int, size: tuple[int, int]) -> int:
    """Return the width of an image of some size (height, width) after it has been resized to a height.

    Raises InputError if the image is too narrow, so that less than half a column would remain, or too wide.
    """
    width = round(size[1] * height / size[0]) if size[0] else 0
    if width == 0:
        raise InputError(f"an image of {size[0]}x{size[1]} pixels is too narrow: no column is left at height {height}")
    if width * height > LARGEST:
        raise InputError(
            f"an image of {size[0]}x{size[1]} pixels is too wide: it has {width} columns at height {height}, the "
            f"maximum is {LARGEST // height}"
        )
    return width


def resized(image: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """Resize an image to a height, with its own proportions. Raises InputError as `width_at`."""
    width = width_at(height, (image.shape[0], image.shape[1]))
    if image.shape == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
