"""Evaluate an encoder on tasks and write the results into a folder."""

from collections.abc import Sequence
from pathlib import Path

from synpat_train.audio.front_end import FRONT_ENDS
from synpat_train.audio.log_mel import BANDS
from synpat_train.model.encoder import Encoder, find_encoder, load_encoder, resampled
from synpat_train.progress import print_message

from .evaluate import Result, evaluate
from .protocols import FineTuningProtocol, ProbeProtocol
from .results import add_result, classes_without_test_clip, read_results
from .tasks.task import LoadTask


def evaluate_encoder(
    path: Path,
    tasks: Sequence[LoadTask],
    protocol: ProbeProtocol | FineTuningProtocol,
    *,
    out: Path | None,
    cache: Path,
    batch_size: int,
) -> tuple[Path, list[Result]]:
    """Evaluate an encoder and the baselines on each task. Each result is written as soon as it is known.

    path: run folder or encoder folder. out: folder of results.json; None stands for `evaluation` in the run folder, or
    in the encoder folder if there is no run. Returns the folder and the results.
    """
    encoder, folder = _for_spectrograms(load_encoder(path)), find_encoder(path)
    run = folder.parent if folder.name == "encoder" else folder
    out = out or run / "evaluation"
    out.mkdir(parents=True, exist_ok=True)
    read_results(out)  # an unreadable file is reported before the work
    results = []
    for result in evaluate(
        encoder,
        (load() for load in tasks),
        protocol,
        batch_size=batch_size,
        cache=cache,
        unfinished=out / "unfinished",
    ):
        add_result(out, result, folder)
        results.append(result)
        if without := classes_without_test_clip(result):
            print_message(f"{result.task.name}: {len(without)} classes have no test clip and are not scored")
    return out, results


def _for_spectrograms(encoder: Encoder) -> Encoder:
    """Return the encoder, or a copy with its positions resampled if there is no front end for its height."""
    if encoder.height in FRONT_ENDS:
        return encoder
    frames = encoder.width // encoder.patch * encoder.patch
    print_message(
        f"the encoder was trained on {encoder.height}x{encoder.width}, but spectrograms have {BANDS} bands: its "
        f"positions are resampled to {BANDS}x{frames}"
    )
    return resampled(encoder, BANDS, frames)
