"""What a person, and Hugging Face, reads about a set: a dataset card made from its manifest alone."""

import json

from .manifest import Manifest

_SIZES = [(10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M")]


def card(manifest: Manifest) -> str:
    """The README.md of a set: the YAML header that `datasets` understands, then a description."""
    spec = manifest.spec
    size = sum(shard.bytes for shard in manifest.shards)
    category = next((name for most, name in _SIZES if spec.n < most), "10M<n<100M")
    painted = (
        f"painted at {spec.render_size[0]}x{spec.render_size[1]} and resized"
        if spec.render_size
        else "painted at this size"
    )
    classes = f"{spec.categories}, in `cls`" if spec.categories else "none"
    parameters = json.dumps(spec.parameters) if spec.parameters else "all drawn from the family's prior"
    return f"""---
license: cc0-1.0
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

# {spec.family}: {spec.n} synthetic patterns

Rendered by synpat from nothing but a seed: no recording, no photograph, nobody's data.

| | |
|---|---|
| family | {spec.family}, version {spec.family_version} |
| seed | {spec.seed} |
| samples | {spec.n} in {spec.shard_count} shards of at most {spec.samples_per_shard} |
| image | {spec.height}x{spec.width} (frequency x time), mode {spec.mode}, {painted}, {spec.encoding} |
| classes | {classes} |
| parameters | {parameters} |
| pixels | mean {manifest.mean:.3f}, standard deviation {manifest.std:.3f}, in grey levels 0..255 |
| bytes | {size} |

The shards are [WebDataset](https://github.com/webdataset/webdataset) tars: member `<index>.png`\
{", `<index>.cls`" if spec.categories else ""}{", `<index>.json`" if spec.with_parameters else ""}.
`sha256sum -c SHA256SUMS` checks them; `.synpat/manifest.json` holds all that is known about each.

```python
import webdataset
samples = webdataset.WebDataset("{spec.family}-{{000000..{spec.shard_count - 1:06d}}}.tar", shardshuffle=False)
for sample in samples.decode("l8", only="png"):
    sample["png"]  # uint8 [{spec.height}, {spec.width}]
```
"""


def checksums(manifest: Manifest) -> str:
    """SHA256SUMS, as coreutils' `sha256sum -c` reads it."""
    return "".join(f"{shard.sha256}  {shard.file}\n" for shard in manifest.shards)
