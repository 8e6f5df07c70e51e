"""The model card of an encoder, made from its run folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from synpat_shards import valid_content, write_atomically
from synpat_train.config import to_yaml
from synpat_train.data.audio_folder import RECORDINGS

from .log import read_log
from .run_folder import CONFIG, TrainingData, read_config, read_data

CARD = "encoder/README.md"
RESULTS = "evaluation/results.json"
"""File that `synpat-eval` writes into a run folder."""


def write_card(run: Path) -> None:
    """Write the model card of a finished run, with the current results."""
    write_atomically(run / CARD, card(run).encode())


def update_card(run: Path) -> None:
    """Write the model card again; no-op for a folder without a run."""
    if (run / CONFIG).exists():
        write_card(run)


def card(run: Path) -> str:
    """Return the card as Markdown, with the YAML header of the Hugging Face Hub."""
    config, data = read_config(run), read_data(run)
    sets = "\n".join(
        f"| {Path(s.path).name} | {use} | {s.family or 'unknown'} | {s.samples:,} | {s.weight:g} | `{s.digest}` |"
        for use, records in (("images", data.sets), ("targets", data.targets))
        for s in records
    )
    return f"""---
license: {"other" if _names(data, None) or _names(data, RECORDINGS) else "apache-2.0"}
library_name: timm
tags: [audio, masked-autoencoder, synthetic-data, synpat, timm, transformers]
---

# A ViT-{config.model} encoder for log-mel spectrograms

Pre-trained by synpat as a masked autoencoder. {_origin(data)} The input is one channel of
{config.height}x{config.width} (frequency x time), standardised with the mean and standard deviation of the data that
the encoder is used on.

```python
import timm  # on the Hub: "hf-hub:user/name"

encoder = timm.create_model("local-dir:path/to/this/folder", pretrained=True)

from transformers import AutoModel

encoder = AutoModel.from_pretrained("path/to/this/folder")

from synpat_train import load_encoder  # clips of any length

embedding = load_encoder("path/to/this/folder").clip_embedding(log_mel)
```

## Trained on

| shard set | used as | family | samples | weight | digest |
|---|---|---|--:|--:|---|
{sets}

{_throughput(run, data.device)}

## Results

{_results(run)}

## Configuration

```yaml
{to_yaml(config).rstrip()}
```
"""


def _names(data: TrainingData, family: str | None) -> list[str]:
    """Return the names of the sets of a family; None for sets without a manifest of synpat."""
    return [Path(record.path).name for record in data.records if record.family == family]


def _origin(data: TrainingData) -> str:
    """Return what the manifests of the sets prove about the training images."""
    families = ", ".join(dict.fromkeys(s.family for s in data.records if s.family not in (None, RECORDINGS)))
    unknown, recordings = _names(data, None), _names(data, RECORDINGS)
    sentences = []
    if families:
        sentences.append(f"The manifests of its shard sets state that the images were rendered by synpat ({families}).")
    if recordings:
        sentences.append(
            f"It was trained on spectrograms of the recordings in {', '.join(recordings)}, whose licence is unknown to "
            "synpat."
        )
    if unknown:
        sentences.append(f"The origin and the licence of the images in {', '.join(unknown)} are unknown to synpat.")
    if not (recordings or unknown):
        sentences.append("No recording and no photograph was used.")
    return " ".join(sentences)


def _throughput(run: Path, device: str) -> str:
    step = json.loads((run / "encoder" / "config.json").read_bytes())["step"]
    lines = [line for line in read_log(run) if line["step"] <= step]
    if not lines:
        return f"{step:,} steps, on {device}. The run has no log."
    rate, busy, wait = (median(line[name] for line in lines) for name in ("samples_per_s", "mfu", "data_wait"))
    return (
        f"{step:,} steps to a loss of {lines[-1]['loss']:.4f}, on {device}: {rate:,.0f} samples/s, "
        f"MFU {busy:.1%}, {wait:.1%} of the time waiting for data (medians)."
    )


def _results(run: Path) -> str:
    """Return a table of the results of every task, or how to get them."""
    if not (run / RESULTS).exists():
        return "Not evaluated yet: `synpat-eval --encoder RUN --task gm-instrument`."
    with valid_content(run / RESULTS, "Move it away"):
        return _results_table(json.loads((run / RESULTS).read_bytes())["tasks"])


def _results_table(tasks: dict[str, Any]) -> str:
    contestants = list(next(iter(tasks.values()))["scores"])
    rows = [
        f"| {task} | {' | '.join(_percent(result['scores'][name]) for name in contestants)} | {_gain(result)} |"
        for task, result in tasks.items()
    ]
    head = f"| % | {' | '.join(contestants)} | gain over random-init (95 % interval) |"
    return "\n".join([head, f"|---|{'--:|' * (len(contestants) + 1)}", *rows])


def _percent(score: Mapping[str, Any]) -> str:
    return f"{100 * score['value']:.1f}"


def _gain(result: Mapping[str, Any]) -> str:
    """Return the difference to random-init in points."""
    gain = result["scores"]["random-init"]["encoder_minus_this"]
    low, high = (100 * bound for bound in gain["interval95"])
    return f"{100 * gain['difference']:+.1f} ({low:+.1f} to {high:+.1f})"
