"""A frozen encoder: log-mel spectrograms of any length to patch features, or to one embedding per clip.

    encoder = load_encoder("runs/perlin")
    normalised = (log_mel(waveform) - mean) / std
    embedding = encoder.clip_embedding(normalised.unsqueeze(0))

The features of the frequency patches of a time step are concatenated, as in Niizumi et al., "Masked Spectrogram
Modeling using Masked Autoencoders for Learning General-purpose Audio Representation", 2022.
"""

import copy
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from synpat_shards import InputError, first_line, valid_content

from .sharing import ENCODER_FILES, check_files, download, is_remote
from .timm_compat import VisionTransformer, create_model, is_model, load_model_config_from_path
from .vit import after_prefix, fit_positions, initialise, project_patches, split_positions


@dataclass(frozen=True)
class Encoder:
    """A vision transformer in evaluation mode, and its sizes."""

    vit: VisionTransformer
    height: int
    """Number of frequency bands of the input."""
    width: int
    """Number of frames of one input. Longer clips are split into chunks of this many frames."""
    patch: int
    """Side of a patch: bands, and frames per time step."""
    features: int
    """Number of features per time step: those of all frequency patches of the step."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights and sizes. Equal digests mean equal features."""
        digest = hashlib.sha256(repr((self.height, self.width, self.patch)).encode())
        for name, tensor in self.vit.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def clip_embedding(self, log_mel: Tensor) -> Tensor:
        """Return the mean of the patch features over time, float32 [batch, features].

        log_mel: normalised, float [batch, height, frames], at least one frame. Every time step that contains a frame
        counts.
        """
        return self.patch_features(log_mel).mean(dim=1)

    def patch_features(self, log_mel: Tensor) -> Tensor:
        """Return the features of every time step, float32 [batch, steps, features], with steps = frames / patch,
        rounded up.

        log_mel: normalised to mean 0 and standard deviation 1, float [batch, height, frames], at least one frame. The
        last step is padded with zeros, which is the mean. A last chunk shorter than `width` is encoded with the first
        columns of the position embedding.
        """
        if log_mel.ndim != 3 or log_mel.shape[1] != self.height or log_mel.shape[2] == 0:
            raise InputError(
                f"log_mel must be [batch, {self.height}, frames] with at least one frame, got {list(log_mel.shape)}"
            )
        log_mel = functional.pad(log_mel, (0, -log_mel.shape[2] % self.patch))
        remainder = log_mel.shape[2] % self.width
        full_chunks, rest = log_mel.split([log_mel.shape[2] - remainder, remainder], dim=2)
        parts = []
        if full_chunks.shape[2]:
            chunks = full_chunks.unflatten(2, (-1, self.width)).transpose(1, 2)
            parts.append(self._encode(chunks.flatten(0, 1)).reshape(log_mel.shape[0], -1, self.features))
        if remainder:
            parts.append(self._encode(rest))
        return torch.cat(parts, dim=1)

    def _encode(self, chunk: Tensor) -> Tensor:
        """Encode [batch, height, frames <= width] without a mask; return [batch, steps, features]."""
        # timm's own forward pass requires the full width.
        patches = project_patches(self.vit, chunk)  # [batch, channel, row, step]
        rows, steps = patches.shape[2:]
        columns = self.width // self.patch
        before, table = split_positions(self.vit, rows * columns)
        tokens = patches.flatten(2).transpose(1, 2) + fit_positions(table, rows, columns, steps)
        tokens = after_prefix(self.vit, tokens, before)
        tokens = self.vit.norm(self.vit.blocks(self.vit.norm_pre(tokens)))[:, self.vit.num_prefix_tokens :]
        return tokens.unflatten(1, (rows, steps)).transpose(1, 2).flatten(2).float()


def load_encoder(path: str | Path) -> Encoder:
    """Load an exported encoder, or the encoder of a run folder.

    path: a run folder, the folder of an encoder, a URL of such a folder, or hf-hub:USER/NAME. The patch embedding of an
    encoder for colour images is summed over its channels, which equals a grey image in each channel. Raises InputError
    if the files are missing or corrupt, do not load, or describe anything but a vision transformer with a position for
    every patch.
    """
    folder = find_encoder(path)
    check_files(folder)
    _check_description(folder / "config.json")
    try:
        # Not by "local-dir:" and the path, which timm parses as a URL: a # or a ? would end the path.
        cfg, architecture, arguments = load_model_config_from_path(folder)
        vit = create_model(architecture, pretrained=True, pretrained_cfg=cfg, **arguments)
    except Exception as error:  # timm, json and safetensors raise many kinds of exceptions
        raise InputError(f"{folder} cannot be loaded as a timm encoder: {first_line(error)}") from error
    return _frozen(_for_grey(_readable(vit, folder)))


def _check_description(path: Path) -> None:
    """Raise InputError if config.json has no architecture that timm knows."""
    with valid_content(path, "Export the encoder again"):
        architecture = json.loads(path.read_bytes())["architecture"]
        if not is_model(architecture):
            raise InputError(f"{path} names the architecture {architecture!r}, which timm does not have")


def find_encoder(path: str | Path) -> Path:
    """Return the folder with the files of an encoder: `path/encoder` if `path` is a run folder, or `path` itself, or a
    folder in the user's cache if `path` is a URL or hf-hub:USER/NAME.

    Raises InputError if there are no such files.
    """
    if is_remote(path):
        return download(str(path))
    candidates = [Path(path) / "encoder", Path(path)]
    for folder in candidates:
        if all((folder / name).is_file() for name in ENCODER_FILES):
            return folder
    if (Path(path) / "checkpoints").is_dir():  # of a run of synpat-train
        raise InputError(
            f"{path} is a run that has not finished: continue it with the same command, or export the encoder of its "
            f"last checkpoint with `synpat-train export {path}`"
        )
    raise InputError(
        f"{path} contains no encoder: searched for {' and '.join(ENCODER_FILES)} in {candidates[0]} and in "
        f"{candidates[1]}. "
        "A finished run of synpat-train contains them."
    )


def random_encoder(like: Encoder, seed: int) -> Encoder:
    """Return an encoder of the same architecture with random weights. The same seed gives the same weights. The
    positions are copied."""
    device = next(like.vit.parameters()).device
    vit = copy.deepcopy(like.vit)
    vit.cpu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        initialise(vit)
    vit.to(device)
    return _frozen(vit)


def copy_weights(source: Encoder, target: VisionTransformer) -> None:
    """Copy the weights of an encoder into another model.

    Raises InputError if the two differ in architecture, size of the input or size of the patches.
    """
    weights, own = source.vit.state_dict(), target.state_dict()
    if {name: tensor.shape for name, tensor in weights.items()} != {name: tensor.shape for name, tensor in own.items()}:
        height, width = target.patch_embed.img_size
        raise InputError(
            f"the encoder has {source.height}x{source.width} inputs, patches of {source.patch} and width "
            f"{source.vit.embed_dim}, the model to be trained has {height}x{width}, "
            f"{target.patch_embed.patch_size[0]} and {target.embed_dim}: set model, height, width and patch to those "
            "of the encoder"
        )
    target.load_state_dict(weights)


def resampled(encoder: Encoder, height: int, width: int) -> Encoder:
    """Return a copy for inputs of another size, with its positions resampled (bicubic, by timm).

    Raises InputError if the size is not a multiple of the patch size.
    """
    if height % encoder.patch or width % encoder.patch:
        raise InputError(
            f"{height}x{width} is not a multiple of the encoder's patch size {encoder.patch}x{encoder.patch}"
        )
    vit = copy.deepcopy(encoder.vit)
    vit.set_input_size(img_size=(height, width))
    return _frozen(vit)


def _frozen(vit: VisionTransformer) -> Encoder:
    vit.eval().requires_grad_(False)
    height, width = vit.patch_embed.img_size
    patch = vit.patch_embed.patch_size[0]
    return Encoder(vit, height, width, patch, features=height // patch * vit.embed_dim)


def _readable(vit: nn.Module, folder: Path) -> VisionTransformer:
    """Return the model, or raise InputError if its tokens have a layout that `Encoder` does not support."""
    if not isinstance(vit, VisionTransformer):
        raise InputError(f"{folder} contains a {type(vit).__name__}, not a vision transformer")
    patches = vit.patch_embed.num_patches
    if vit.pos_embed is None or vit.pos_embed.shape[1] not in (patches, patches + vit.num_prefix_tokens):
        raise InputError(f"{folder} has no position for every patch: {patches} are required")
    if len(set(vit.patch_embed.patch_size)) > 1:
        raise InputError(f"{folder} has patches of {vit.patch_embed.patch_size}: they must be square")
    return vit


def _for_grey(vit: VisionTransformer) -> VisionTransformer:
    """Replace a patch embedding of colour images by its sum over the channels."""
    colour = vit.patch_embed.proj
    if colour.in_channels > 1:
        grey = nn.Conv2d(
            1, colour.out_channels, vit.patch_embed.patch_size, colour.stride, bias=colour.bias is not None
        )
        grey.weight.data, grey.bias = colour.weight.data.sum(dim=1, keepdim=True), colour.bias
        vit.patch_embed.proj = grey
    return vit
