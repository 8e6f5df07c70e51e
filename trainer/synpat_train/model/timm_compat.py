"""Imports from timm. All modules import timm through this one, so that it also works with a CPU build of torch.

timm imports torchvision, whose wheel on PyPI is linked against CUDA. With a CPU build of torch its compiled operators
are never registered, and the import fails with "operator torchvision::nms does not exist" (pytorch/vision issues 9077
and 9085). Declaring the two operators first is enough, because synpat does not call them.
"""

import importlib.util

import torch

if torch.version.cuda is None and importlib.util.find_spec("torchvision"):
    # The library object must stay alive as long as the process: its operators go with it.
    _operators = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, _name):
            _operators.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from timm import create_model, is_model
from timm.layers.attention import Attention
from timm.layers.drop import DropPath
from timm.layers.patch_embed import PatchEmbed
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models._hub import load_model_config_from_path
from timm.models.vision_transformer import Block, VisionTransformer
from timm.optim._param_groups import param_groups_layer_decay, param_groups_weight_decay

__all__ = [
    "Attention",
    "Block",
    "DropPath",
    "PatchEmbed",
    "VisionTransformer",
    "create_model",
    "is_model",
    "load_model_config_from_path",
    "param_groups_layer_decay",
    "param_groups_weight_decay",
    "resample_abs_pos_embed",
]
