"""Pictures of masked images, reconstructions and originals, one sample per row."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synpat_train.model.mae import MaskedAutoencoder, patchify, split_patches, unpatchify
from synpat_train.model.normalise import Normalise, moments

GAP = 4
"""Pixels between two images."""
HIDDEN = 128
"""Grey level of a masked patch."""


@torch.no_grad()
def reconstructions(
    model: MaskedAutoencoder, images: NDArray[np.uint8], noise: Tensor, normalise: Normalise, mean: float, std: float
) -> NDArray[np.uint8]:
    """Return masked, reconstructed and original images side by side, uint8 [rows, columns].

    images: uint8 [batch, 1 or 2, height, width]; a second channel has the targets, which are shown as the original.
    noise: as in MaskedAutoencoder. normalise, mean, std: as in `moments`. With norm_pix a prediction does not include
    the mean and the contrast of a patch: these are taken from the image.
    """
    grey = torch.from_numpy(images).float()
    original, target = grey[:, :1], grey[:, -1:]
    device = next(model.parameters()).device
    centre, scale = moments(original, normalise, mean, std)
    patches = patchify(((original - centre) / scale).to(device), model.patch)
    kept, masked = (indices.to(device) for indices in split_patches(noise, model.kept))
    predictions = model.decode(model.encode(patches, kept), kept, masked)[..., : model.patch**2].float()
    index = masked.unsqueeze(-1).expand(-1, -1, patches.shape[-1])
    if model.norm_pix:
        targets = patches.gather(1, index)
        predictions = predictions * (targets.var(-1, keepdim=True) + 1e-6).sqrt() + targets.mean(-1, keepdim=True)
    reconstructed = patches.scatter(1, index, predictions)
    hiding = patchify(((HIDDEN - centre) / scale + torch.zeros_like(original)).to(device), model.patch)
    hidden = patches.scatter(1, index, hiding.gather(1, index))
    height, width = images.shape[2:]
    columns = [unpatchify(part, height, width).cpu() * scale + centre for part in (hidden, reconstructed)] + [target]
    framed = [torch.nn.functional.pad(column, (0, GAP, 0, GAP), value=255.0) for column in columns]
    sheet = torch.cat([column.reshape(-1, width + GAP) for column in framed], dim=1)
    return sheet.round().clamp(0, 255).byte().numpy()
