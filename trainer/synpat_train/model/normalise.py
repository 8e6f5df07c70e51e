"""Normalisation of images, before the model sees them."""

from typing import Literal

from torch import Tensor

Normalise = Literal["set", "image"]
"""By the mean and deviation of all images of the sets, or by those of each image."""
SOFTENING = 0.02 * 255
"""Grey levels added to the deviation of an image, so that the noise of an almost constant image is not amplified."""


def moments(images: Tensor, normalise: Normalise, mean: float, std: float) -> tuple[Tensor | float, Tensor | float]:
    """Return what is subtracted from images, and what they are then divided by.

    images: grey levels, float [batch, 1, height, width]. mean, std: of the pixels of the sets, in grey levels. The
    results are these two numbers, or tensors [batch, 1, 1, 1] for a normalisation of each image.
    """
    if normalise == "set":
        return mean, std
    deviation, centre = images.std(dim=(1, 2, 3), correction=0, keepdim=True), images.mean(dim=(1, 2, 3), keepdim=True)
    return centre, deviation + SOFTENING
