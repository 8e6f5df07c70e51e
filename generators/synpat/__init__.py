"""Synthetic patterns for pre-training audio encoders: families, samples, shard sets."""

import os
from importlib.metadata import version

from .numba_cache import drop_empty_variables, use_writable_folder

# By default, OpenCV's Fourier transforms differ in their last bits between processors. This setting selects the code
# that all x86-64 processors can run, which is as fast. OpenCV reads it once, on first use.
os.environ["OPENCV_IPP"] = "sse42"

drop_empty_variables()
use_writable_folder()

from .families import FAMILIES, Family  # noqa: E402
from .rendering.patterns import Patterns  # noqa: E402
from .rendering.render import make_spec, render_set  # noqa: E402
from .rendering.sampling import paint, sample  # noqa: E402

__version__ = version("synpat")

__all__ = ["FAMILIES", "Family", "Patterns", "make_spec", "paint", "render_set", "sample"]
