"""Every family of patterns, by the name that the command line, the manifest and the seeds know it by.

To add one: write its file beside the others (a frozen dataclass with `draw` and `render`, kernels below), and its line
here. A name never changes its meaning: it is part of the seed.
"""

from collections.abc import Mapping

from .dead_leaves import DeadLeavesOriented, DeadLeavesShapes, DeadLeavesSquares
from .exfractaldb import ExFractalDB
from .family import Family, Image, Rejected
from .fractaldb import FractalDB
from .ifs import IFS
from .perlin import Perlin
from .rcdb import RCDB
from .shaders import Shaders
from .statistical import Spectrum, SpectrumColor, SpectrumColorWmm, Wmm
from .visual_atom import VisualAtom
from .white_noise import WhiteNoise

FAMILIES: Mapping[str, type[Family]] = {
    "dead-leaves-squares": DeadLeavesSquares,
    "dead-leaves-oriented": DeadLeavesOriented,
    "dead-leaves-shapes": DeadLeavesShapes,
    "spectrum": Spectrum,
    "wmm": Wmm,
    "spectrum-color": SpectrumColor,
    "spectrum-color-wmm": SpectrumColorWmm,
    "fractaldb": FractalDB,
    "visual-atom": VisualAtom,
    "shaders": Shaders,
    "perlin": Perlin,
    "rcdb": RCDB,
    "ifs": IFS,
    "exfractaldb": ExFractalDB,
    "white-noise": WhiteNoise,
}

__all__ = ["FAMILIES", "Family", "Image", "Rejected"]
