"""Synthetic patterns for pre-training audio encoders: families, samples, shard sets."""

import os

# OpenCV's Fourier transforms differ in their last bits between kinds of processor, unless held to the code that all
# x86-64 processors run; it is as fast. OpenCV looks at this once, when first used.
os.environ["OPENCV_IPP"] = "sse42"

from .families import FAMILIES, Family
from .rendering.render import make_spec, render_set
from .rendering.sampling import paint, sample

__all__ = ["FAMILIES", "Family", "make_spec", "paint", "render_set", "sample"]
