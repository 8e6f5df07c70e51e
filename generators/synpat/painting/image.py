"""Operations for images of all families: conversion to grey or RGB, and resizing."""

from typing import cast

import cv2
import numpy as np
from PIL import Image as Picture

from synpat.family import Image

# Each worker process uses one core: threads of OpenCV would only compete with the other workers.
cv2.setNumThreads(1)


def convert_mode(image: Image, mode: str) -> Image:
    """Convert an image to uint8 [height, width] (mode L, weighted by ITU-R Rec. 601) or [height, width, 3] (RGB)."""
    if mode == "L":
        return image if image.ndim == 2 else cast(Image, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)


def resized(image: Image, height: int, width: int, resize_filter: str) -> Image:
    """Resize an image by one of RESIZE_FILTERS.

    area: each new pixel is the mean over the area that it covers. bilinear: Pillow's, with a triangular filter that is
    wider when an image is made smaller.
    """
    if image.shape[:2] == (height, width):
        return image
    if resize_filter == "bilinear":
        return np.asarray(Picture.fromarray(image).resize((width, height), Picture.Resampling.BILINEAR))
    # If one side grows, OpenCV would interpolate the other side between two pixels instead of averaging the area.
    least = min(height, image.shape[0]), min(width, image.shape[1])
    return _by_area(_by_area(image, *least), height, width)


def _by_area(image: Image, height: int, width: int) -> Image:
    if image.shape[:2] == (height, width):
        return image
    return cast(Image, cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
