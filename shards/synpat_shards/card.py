"""The description of a set for people and for Hugging Face, made from its manifest alone."""

import json

from .manifest import Manifest

_SIZES = [(10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M")]
_FROM_SEED = "Rendered by synpat from a seed. The images contain no recordings, photographs or personal data."
_FROM_FILES = """Rendered by synpat from a seed and from files whose SHA-256 is among the parameters below. The
licence of those files may apply to the images."""


def title(manifest: Manifest) -> str:
    """Return a title for a set, such as "perlin: 100,000 synthetic patterns"."""
    return f"{manifest.spec.family}: {manifest.spec.n:,} synthetic patterns"


def facts(manifest: Manifest) -> dict[str, str]:
    """Return the properties of a set as texts, by name, in the order in which they are shown."""
    spec = manifest.spec
    resized = (
        f", painted at {spec.render_size[0]}x{spec.render_size[1]} and resized ({spec.resize_filter})"
        if spec.render_size
        else ""
    )
    shards = f"{len(manifest.shards):,} shard{'s' * (len(manifest.shards) != 1)}"
    return {
        "family": f"{spec.family}, version {spec.family_version}",
        "parameters": json.dumps(spec.parameters) if spec.parameters else "all drawn from the family's prior",
        "seed": str(spec.seed),
        "samples": f"{spec.n:,} in {shards} of at most {spec.samples_per_shard:,}",
        "classes": str(spec.categories) if spec.categories else "none",
        "image": f"{spec.height}x{spec.width} (frequency x time), mode {spec.mode}{resized}",
        "bytes": f"{sum(shard.bytes for shard in manifest.shards):,} ({spec.encoding})",
        "pixels": f"mean {manifest.mean:.2f}, standard deviation {manifest.std:.2f}, in grey levels 0..255",
        "rejected draws": f"{sum(shard.rejects for shard in manifest.shards):,}",
        "made with": ", ".join(f"{name} {version}" for name, version in manifest.made_with.items()),
    }


def card(manifest: Manifest) -> str:
    """Return the README.md of a set: the YAML header that Hugging Face reads, then a description."""
    spec = manifest.spec
    size = sum(shard.bytes for shard in manifest.shards)
    category = next((name for most, name in _SIZES if spec.n < most), "10M<n<100M")
    rows = "\n".join(f"| {name} | {text} |" for name, text in facts(manifest).items())
    return f"""---
license: {"other" if spec.uses_files else "cc0-1.0"}
pretty_name: synpat {spec.family}, {spec.n} samples
size_categories: [{category}]
source_datasets: [original]
annotations_creators: [machine-generated]
tags: [synthetic, webdataset, procedural]
configs:
- config_name: default
  data_files:
  - {{split: train, path: "*.tar"}}
dataset_info:
  splits:
  - {{name: train, num_bytes: {size}, num_examples: {spec.n}}}
---

# {title(manifest)}

{_FROM_FILES if spec.uses_files else _FROM_SEED}

| | |
|---|---|
{rows}

The shards are [WebDataset](https://github.com/webdataset/webdataset) tar files. The members of a sample are\
 `<index>.png`{", `<index>.cls` (class)" if spec.categories else ""}\
{", `<index>.json` (parameters)" if spec.with_parameters else ""}.
`sha256sum -c SHA256SUMS` checks the shards; `.synpat/manifest.json` describes each of them.

```python
import webdataset
samples = webdataset.WebDataset("{spec.family}-{{000000..{spec.shard_count - 1:06d}}}.tar", shardshuffle=False)
for sample in samples.decode("l8", only="png"):
    sample["png"]  # uint8 [{spec.height}, {spec.width}]
```
"""


def checksums(manifest: Manifest) -> str:
    """Return the content of SHA256SUMS, in the format of `sha256sum -c` of GNU coreutils."""
    return "".join(f"{shard.sha256}  {shard.file}\n" for shard in manifest.shards)
