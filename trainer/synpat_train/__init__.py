"""Pre-training on synthetic patterns, and the evaluation of what comes out.

`load_encoder` is the door for other programs; it is imported when it is asked for, because it brings torch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .encoder import Encoder, load_encoder

__all__ = ["Encoder", "load_encoder"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import encoder

    return getattr(encoder, name)
