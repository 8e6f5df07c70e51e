"""The shard-set format: what `synpat` writes and `synpat-train` reads. Bytes in, bytes out."""

from .files import atomic_file, locked, write_whole
from .manifest import Manifest, Recipe, ShardRecord, read_manifest
from .png import ENCODING, decode_png, encode_png
from .publish import publish
from .reading import read_images, shard_members
from .shard_set import (
    Place,
    Sample,
    begin_extension,
    begin_set,
    check_place,
    complete_set,
    finished_shards,
    open_set,
    recipe_of,
    sole_writer,
    write_shard,
)
from .store import Store, StoreError, is_url, open_store
from .tar import Member, read_members, scan
from .verify import Fault, Report, verify

__all__ = [
    "ENCODING",
    "Fault",
    "Manifest",
    "Member",
    "Place",
    "Recipe",
    "Report",
    "Sample",
    "ShardRecord",
    "Store",
    "StoreError",
    "atomic_file",
    "begin_extension",
    "begin_set",
    "check_place",
    "complete_set",
    "decode_png",
    "encode_png",
    "finished_shards",
    "is_url",
    "locked",
    "open_set",
    "open_store",
    "publish",
    "read_images",
    "read_manifest",
    "read_members",
    "recipe_of",
    "scan",
    "shard_members",
    "sole_writer",
    "verify",
    "write_shard",
    "write_whole",
]
