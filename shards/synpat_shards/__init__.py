"""The shard-set format: what `synpat` writes and `synpat-train` reads. Bytes in, bytes out."""

from .files import atomic_file, write_whole
from .manifest import Manifest, Recipe, ShardRecord, read_manifest
from .png import ENCODING, decode_png, encode_png
from .shard_set import Sample, begin_set, check_folder, complete_set, finished_shards, open_set, write_shard
from .store import Store, StoreError, is_url, open_store
from .tar import Member, read_members

__all__ = [
    "ENCODING",
    "Manifest",
    "Member",
    "Recipe",
    "Sample",
    "ShardRecord",
    "Store",
    "StoreError",
    "atomic_file",
    "begin_set",
    "check_folder",
    "complete_set",
    "decode_png",
    "encode_png",
    "finished_shards",
    "is_url",
    "open_set",
    "open_store",
    "read_manifest",
    "read_members",
    "write_shard",
    "write_whole",
]
