from . import timm_door  # noqa: F401
