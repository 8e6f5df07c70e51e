"""The shard-set format, which `synpat` writes and `synpat-train` reads."""

from importlib.metadata import version

from .card import facts, title
from .errors import InputError, MissingDependencyError, describe_differences
from .files import atomic_file, locked, sole_process, write_atomically
from .manifest import (
    FOLDER,
    LARGEST_SIDE,
    MANIFEST,
    MODES,
    RESIZE_FILTERS,
    Manifest,
    SetSpec,
    ShardRecord,
    read_manifest,
)
from .moments import mean_and_std, pooled_mean_and_std
from .png import ENCODING, decode_png, encode_png
from .publish import publish
from .reading import read_images, shard_members
from .shard_set import (
    Sample,
    begin_extension,
    begin_set,
    check_target,
    complete_set,
    finished_shards,
    lock_set,
    open_set,
    read_spec,
    write_shard,
)
from .store import Location, Store, StoreError, is_url, open_store
from .system import available_cores, memory_limit, reserve_space
from .tar import BLOCK, Member, read_members, scan, ustar_size
from .verify import Fault, Report, verify

__version__ = version("synpat")

__all__ = [
    "BLOCK",
    "ENCODING",
    "FOLDER",
    "LARGEST_SIDE",
    "MANIFEST",
    "MODES",
    "RESIZE_FILTERS",
    "Fault",
    "InputError",
    "Location",
    "Manifest",
    "Member",
    "MissingDependencyError",
    "Report",
    "Sample",
    "SetSpec",
    "ShardRecord",
    "Store",
    "StoreError",
    "atomic_file",
    "available_cores",
    "begin_extension",
    "begin_set",
    "check_target",
    "complete_set",
    "decode_png",
    "describe_differences",
    "encode_png",
    "facts",
    "finished_shards",
    "is_url",
    "lock_set",
    "locked",
    "mean_and_std",
    "memory_limit",
    "open_set",
    "open_store",
    "pooled_mean_and_std",
    "publish",
    "read_images",
    "read_manifest",
    "read_members",
    "read_spec",
    "reserve_space",
    "scan",
    "shard_members",
    "sole_process",
    "title",
    "ustar_size",
    "verify",
    "write_atomically",
    "write_shard",
]
