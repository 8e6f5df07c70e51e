"""Evaluate an encoder on tasks and write the results into a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from synpat_shards import InputError
from synpat_train.audio.front_end import FRONT_ENDS
from synpat_train.audio.log_mel import BANDS
from synpat_train.cache import cache_errors, default_cache
from synpat_train.model.encoder import Encoder, find_encoder, load_encoder, resampled
from synpat_train.model.sharing import is_remote, open_location
from synpat_train.pretraining.model_card import update_card
from synpat_train.progress import print_message

from .evaluate import Result, evaluate_tasks
from .protocols import LINEAR, PROTOCOLS, FineTuningProtocol, ProbeProtocol
from .results import add_result, classes_without_test_clip, read_results
from .tasks.registry import TASKS, check_tasks
from .tasks.task import Source


def evaluate(
    encoder: str | Path,
    tasks: str | Sequence[str],
    protocol: str = LINEAR.name,
    *,
    data: str | Path | None = None,
    label: str = "label",
    split: str | None = None,
    out: str | Path | None = None,
    cache: str | Path | None = None,
    skip_unreadable: bool = False,
    embed_batch: int = 64,
    settings: Mapping[str, Any] | None = None,
) -> list[Result]:
    """Evaluate an encoder, and compare it with encoders of random weights and with log-mel statistics.

    encoder: run folder, folder of an encoder, URL, or hf-hub:USER/NAME. tasks: names from `synpat-eval tasks`.
    protocol: linear, logistic, knn, finetune or finetune-audiomae. data: folder of the data set or of several data
    sets; for the task folder, the folder with metadata.csv. label, split: columns of metadata.csv; by default the
    split is in `fold` or `split`. out: folder of results.json, where results of other tasks are kept; by default
    `evaluation` in the run folder, or in the encoder folder if there is no run; required for a URL. cache: folder
    for decoded audio, embeddings and scores of baselines. skip_unreadable: skip and count corrupt, empty and silent
    files instead of stopping. embed_batch: number of encoder inputs that are embedded at once. settings: settings
    of the protocol that differ from its defaults.

    Return a result per task, whose `scores` are those of "encoder", "random-init" and "log-mel mean/std": each has a
    `value` between 0 and 1, a 95 % confidence `interval`, and `minus(other)`. Each result is written as soon as it is
    known. Raises InputError for an unknown task, protocol or setting, and if the encoder or the data cannot be read.
    """
    chosen = _protocol(protocol, settings or {})
    names = list(dict.fromkeys([tasks] if isinstance(tasks, str) else tasks))
    check_tasks(names, has_data=data is not None)
    for name in names:  # invalid settings are reported before the work
        chosen.settings(name)
    cache = Path(cache) if cache else default_cache()
    source = Source(
        data=Path(data) if data else None, label=label, split=split, cache=cache, skip_unreadable=skip_unreadable
    )
    loaders = [TASKS[name](source) for name in names]
    out = Path(out) if out else default_out(encoder)
    folder = find_encoder(encoder)
    loaded = _for_spectrograms(load_encoder(folder))
    out.mkdir(parents=True, exist_ok=True)
    read_results(out)  # an unreadable file is reported before the work
    results = []
    with cache_errors(cache):
        for result in evaluate_tasks(
            loaded,
            (load() for load in loaders),
            chosen,
            batch_size=embed_batch,
            cache=cache,
            unfinished=out / "unfinished",
        ):
            add_result(out, result, folder, open_location(str(encoder)).url if is_remote(encoder) else str(folder))
            results.append(result)
            if without := classes_without_test_clip(result):
                print_message(f"{result.task.name}: {len(without)} classes have no test clip and are not scored")
    update_card(out.parent)  # if the results are in a run folder
    return results


def default_out(encoder: str | Path) -> Path:
    """Return the folder for the results of an encoder: `evaluation` in its run folder, or else in its own folder.

    Raises InputError for a URL, which has no such folder.
    """
    if is_remote(encoder):
        raise InputError("the results of an encoder at a URL need a folder: name it with --out")
    folder = find_encoder(encoder)
    return (folder.parent if folder.name == "encoder" else folder) / "evaluation"


def _protocol(name: str, changes: Mapping[str, Any]) -> ProbeProtocol | FineTuningProtocol:
    if name not in PROTOCOLS:
        raise InputError(f"{name!r} is not a protocol: choose {', '.join(PROTOCOLS)}")
    return replace(PROTOCOLS[name], changes=dict(changes))


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
