"""The table of all families. The names are used on the command line, in manifests and in seeds.

To add a family, write a file in this folder (a frozen dataclass with `draw` and `render`, with its kernels below) and
add a line to the table. Names must not change, because they are part of the seed.
"""

import difflib
from collections.abc import Mapping

from synpat.family import Family, Image, Rejected
from synpat_shards import InputError

from .dead_leaves import DeadLeavesOriented, DeadLeavesShapes, DeadLeavesSquares, DeadLeavesTextures
from .exfractaldb import ExFractalDB
from .feature_vis import FeatureVisDeadLeaves, FeatureVisRandom
from .fractaldb import FractalDB
from .ifs import IFS
from .perlin import Perlin
from .rcdb import RCDB
from .shaders import Shaders
from .soundscape import Soundscape
from .statistical import Spectrum, SpectrumColor, SpectrumColorWmm, Wmm
from .stylegan_collapsed import StyleganHighfreq, StyleganOriented, StyleganSparse
from .stylegan_random import StyleganRandom
from .visual_atom import VisualAtom
from .white_noise import WhiteNoise

FAMILIES: Mapping[str, type[Family]] = {
    "dead-leaves-squares": DeadLeavesSquares,
    "dead-leaves-oriented": DeadLeavesOriented,
    "dead-leaves-shapes": DeadLeavesShapes,
    "dead-leaves-textures": DeadLeavesTextures,
    "spectrum": Spectrum,
    "wmm": Wmm,
    "spectrum-color": SpectrumColor,
    "spectrum-color-wmm": SpectrumColorWmm,
    "stylegan-random": StyleganRandom,
    "stylegan-highfreq": StyleganHighfreq,
    "stylegan-sparse": StyleganSparse,
    "stylegan-oriented": StyleganOriented,
    "feature-vis-random": FeatureVisRandom,
    "feature-vis-dead-leaves": FeatureVisDeadLeaves,
    "fractaldb": FractalDB,
    "visual-atom": VisualAtom,
    "shaders": Shaders,
    "perlin": Perlin,
    "rcdb": RCDB,
    "ifs": IFS,
    "exfractaldb": ExFractalDB,
    "soundscape": Soundscape,
    "white-noise": WhiteNoise,
}

__all__ = ["FAMILIES", "Family", "Image", "Rejected", "find_family"]


def find_family(name: str) -> type[Family]:
    """Return the family of a name. Raises InputError that suggests a similar name for an unknown one."""
    if name in FAMILIES:
        return FAMILIES[name]
    similar = "".join(f" Did you mean {other!r}?" for other in difflib.get_close_matches(name, FAMILIES, n=1))
    raise InputError(f"{name!r} is not a family.{similar} `synpat families` lists all names")
