"""Export of an encoder in the layout that timm (`local-dir:`) and transformers (AutoModel) load."""

import json
from pathlib import Path

from safetensors.torch import save

from synpat_shards import write_atomically
from synpat_train.config import Config

from .sharing import DESCRIPTION, SUMS, WEIGHTS, checksums
from .timm_compat import VisionTransformer
from .vit import ARCHITECTURES, vit_arguments


def export_encoder(
    folder: Path, encoder: VisionTransformer, config: Config, mean: float, std: float, step: int
) -> None:
    """Write model.safetensors and config.json, and their checksums.

    mean, std: of the images that the encoder was trained on, with white as 1. step: number of its updates.
    """
    folder.mkdir(exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    description = {
        "architecture": ARCHITECTURES[config.model],
        # Not inside model_args, because transformers would pass it twice.
        "num_classes": 0,
        "num_features": encoder.num_features,
        "global_pool": "token",
        # No loader reads these two: the normalisation of the images in pre-training, and the number of updates.
        "normalise": config.normalise,
        "step": step,
        "model_args": vit_arguments(config.height, config.width, config.patch),
        "pretrained_cfg": {
            "input_size": [1, config.height, config.width],
            "fixed_input_size": True,
            "mean": [mean],
            "std": [std],
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
            "license": "apache-2.0",
        },
    }
    (folder / SUMS).unlink(missing_ok=True)  # of an earlier export
    write_atomically(folder / WEIGHTS, save(weights, metadata={"format": "pt"}))
    write_atomically(folder / DESCRIPTION, json.dumps(description, indent=1).encode() + b"\n")
    write_atomically(folder / SUMS, checksums(folder).encode())
