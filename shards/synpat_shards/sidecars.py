"""Sidecar files: small files with which other tools can read a set, made from the manifest alone.

README.md             Hugging Face: a dataset card with the names of the shards in `configs` (card.py)
SHA256SUMS            coreutils: sha256sum -c
_info.json            timm: create_dataset("wds/", root=SET, split="train")
sizes.json            open_clip: number of samples of each shard
.synpat/index.json    wids: ShardListDataset("SET/.synpat/index.json")
.synpat/croissant.json  mlcroissant and dataset search engines: Croissant 1.0 with the checksum of each shard
.synpat/*.idx         DALI: fn.readers.webdataset(index_paths=...); written together with the shard
"""

import json
from collections.abc import Mapping
from typing import Any

from .card import card, checksums, title
from .manifest import FOLDER, Manifest
from .tar import BLOCK

INDEX_HEADER = "v1.2 {}\n"
"""First line of a DALI index: version and number of samples."""

Json = dict[str, Any]


def sidecars(manifest: Manifest) -> dict[str, bytes]:
    """Return the sidecar files of a finished set, by name, except for the DALI indexes."""
    return {
        "README.md": card(manifest).encode(),
        "SHA256SUMS": checksums(manifest).encode(),
        "_info.json": _json(_timm_info(manifest)),
        "sizes.json": _json({shard.file: shard.count for shard in manifest.shards}),
        f"{FOLDER}/index.json": _json(_wids_index(manifest)),
        f"{FOLDER}/croissant.json": _json(_croissant(manifest)),
    }


def index_name(shard: str) -> str:
    """Return the name of the DALI index of a shard."""
    return f"{FOLDER}/{shard.removesuffix('.tar')}.idx"


def index_line(key: str, members: Mapping[str, bytes], start: int) -> str:
    """Return the line of a sample in a DALI index: extension, offset, size in bytes, and name of each member.

    start: position of the header of the first member, in bytes.
    """
    words = []
    for extension, data in members.items():
        words.append(f"{extension} {start + BLOCK} {len(data)} {key}.{extension}")
        start += BLOCK + len(data) + -len(data) % BLOCK
    return " ".join(words) + "\n"


def _json(content: Json) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"


def _timm_info(manifest: Manifest) -> Json:
    split = {
        "name": "train",
        "num_samples": manifest.spec.n,
        "filenames": [shard.file for shard in manifest.shards],
        "shard_lengths": [shard.count for shard in manifest.shards],
    }
    return {"splits": {"train": split}}


def _wids_index(manifest: Manifest) -> Json:
    shards = [
        {"url": f"../{shard.file}", "nsamples": shard.count, "filesize": shard.bytes} for shard in manifest.shards
    ]
    return {"__kind__": "wids-shard-index-v1", "wids_version": 1, "name": manifest.spec.family, "shardlist": shards}


def _croissant(manifest: Manifest) -> Json:
    spec = manifest.spec
    shards = [
        {
            "@type": "cr:FileObject",
            "@id": shard.file,
            "name": shard.file,
            "contentUrl": f"../{shard.file}",
            "contentSize": f"{shard.bytes} B",
            "encodingFormat": "application/x-tar",
            "sha256": shard.sha256,
        }
        for shard in manifest.shards
    ]
    images = {
        "@type": "cr:FileSet",
        "@id": "images",
        "name": "images",
        "containedIn": [{"@id": shard.file} for shard in manifest.shards],
        "encodingFormat": "image/png",
        "includes": "*.png",
    }
    key = {
        "fileSet": {"@id": "images"},
        "extract": {"fileProperty": "filename"},
        "transform": {"regex": r"^(\d+)\.png$"},
    }
    picture = {"fileSet": {"@id": "images"}, "extract": {"fileProperty": "content"}}
    return {
        "@context": _CROISSANT_TERMS,
        "@type": "sc:Dataset",
        "name": f"synpat-{spec.family}-{spec.n}",
        "description": f"{title(manifest)} of {spec.height}x{spec.width} pixels, rendered with seed {spec.seed}",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        **({} if spec.uses_files else {"license": "https://creativecommons.org/publicdomain/zero/1.0/"}),
        "url": "https://pypi.org/project/synpat/",
        "creator": {"@type": "sc:Organization", "name": "synpat"},
        "citeAs": f"@misc{{synpat, title={{synpat {title(manifest)}}}}}",
        "version": f"{spec.family_version}.0.0",
        "distribution": [*shards, images],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "samples",
                "name": "samples",
                "field": [
                    {"@type": "cr:Field", "@id": "samples/key", "dataType": "sc:Text", "source": key},
                    {"@type": "cr:Field", "@id": "samples/image", "dataType": "sc:ImageObject", "source": picture},
                ],
            }
        ],
    }


_CROISSANT_TERMS: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The @context of the Croissant 1.0 specification."""
