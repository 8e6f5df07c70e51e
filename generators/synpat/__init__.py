"""Synthetic patterns for pre-training audio encoders: families, samples, shard sets."""

import os
from importlib.metadata import version

# By default, OpenCV's Fourier transforms differ in their last bits between processors. This setting selects the code
# that all x86-64 processors can run, which is as fast. OpenCV reads it once, on first use.
os.environ["OPENCV_IPP"] = "sse42"

from .families import FAMILIES, Family
from .rendering.render import make_spec, render_set
from .rendering.sampling import paint, sample

__version__ = version("synpat")

__all__ = ["FAMILIES", "Family", "make_spec", "paint", "render_set", "sample"]
