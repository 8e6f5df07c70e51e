"""Synthetic patterns for pre-training audio encoders: families, samples, shard sets."""

from .families import FAMILIES, Family
from .render import make_recipe, render_set
from .sampling import paint, sample

__all__ = ["FAMILIES", "Family", "make_recipe", "paint", "render_set", "sample"]
