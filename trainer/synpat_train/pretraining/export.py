"""Export of the encoder of a run, with its model card."""

from pathlib import Path

from synpat_shards import InputError
from synpat_train.config import Config
from synpat_train.model.export import export_encoder
from synpat_train.model.timm_compat import VisionTransformer

from .checkpoint import checkpoint_path, checkpoints, read_encoder
from .model_card import write_card
from .run_folder import read_config


def export_run(run: Path, encoder: VisionTransformer, config: Config, mean: float, std: float, step: int) -> Path:
    """Write an encoder and its model card into the folder `encoder` of a run, and return that folder.

    mean, std: of the pixels of the sets, in grey levels 0..255. step: number of updates of the encoder.
    """
    folder = run / "encoder"
    export_encoder(folder, encoder, config, mean / 255, std / 255, step)
    write_card(run)
    return folder


def export_checkpoint(run: Path, step: int | None = None) -> Path:
    """Export the encoder of a checkpoint of a run, which may be unfinished. Return the folder of the encoder.

    step: of the checkpoint; by default the last one. Raises InputError if the run has no such checkpoint, or if it is
    corrupt.
    """
    config, saved = read_config(run), checkpoints(run)
    if not saved:
        raise InputError(f"{run} has no checkpoint yet: it writes one every {config.checkpoint_every} steps")
    path = saved[-1] if step is None else checkpoint_path(run, step)
    if path not in saved:
        steps = ", ".join(str(_step(each)) for each in saved)
        raise InputError(f"{run} has no checkpoint of step {step}; its checkpoints are of step {steps}")
    encoder, mean, std = read_encoder(path, config)
    return export_run(run, encoder, config, mean, std, _step(path))


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))
