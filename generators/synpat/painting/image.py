"""What is done to every pattern alike: one grey conversion, one resize."""

from typing import cast

import cv2
import numpy as np

from synpat.family import Image

# One shard is one process: OpenCV's own threads would only fight with the other workers.
cv2.setNumThreads(1)


def convert_mode(image: Image, mode: str) -> Image:
    """The image as uint8 [height, width] (mode L; colour is weighed by ITU-R Rec. 601) or [height, width, 3] (RGB)."""
    if mode == "L":
        return image if image.ndim == 2 else cast(Image, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)


def resized(image: Image, height: int, width: int) -> Image:
    """The image at another size; each new pixel is the mean over the area that it covers."""
    # Where one side grows, OpenCV would also take the other from two pixels of the many that it covers.
    least = min(height, image.shape[0]), min(width, image.shape[1])
    return _by_area(_by_area(image, *least), height, width)


def _by_area(image: Image, height: int, width: int) -> Image:
    if image.shape[:2] == (height, width):
        return image
    return cast(Image, cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
