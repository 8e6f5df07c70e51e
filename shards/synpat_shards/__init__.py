"""The shard-set format, which `synpat` writes and `synpat-train` reads."""

from importlib.metadata import version

from .appearance import BLUE, GREY, PAGE_STYLE, PLOT_STYLE
from .card import facts, title
from .errors import InputError, MissingDependencyError, describe_differences, first_line, some, valid_content
from .files import (
    NoLocksError,
    atomic_file,
    is_own_output,
    is_system_file,
    is_unrelated,
    locked,
    sole_process,
    walk_files,
    write_atomically,
)
from .manifest import (
    FOLDER,
    LARGEST_SIDE,
    MANIFEST,
    MODES,
    RESIZE_FILTERS,
    Manifest,
    SetSpec,
    ShardRecord,
    missing_set,
    read_manifest,
)
from .moments import mean_and_std, pooled_mean_and_std
from .png import ENCODING, decode_png, encode_png, png_size
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
from .store import Location, Store, is_url, match_url, open_store
from .store_errors import StoreError
from .system import available_cores, memory_limit, reserve_space
from .tar import BLOCK, Member, read_members, scan, ustar_size
from .user_cache import is_writable, private_folder, user_cache
from .verify import Fault, Report, verify

__version__ = version("synpat")

__all__ = [
    "BLOCK",
    "BLUE",
    "ENCODING",
    "FOLDER",
    "GREY",
    "LARGEST_SIDE",
    "MANIFEST",
    "MODES",
    "PAGE_STYLE",
    "PLOT_STYLE",
    "RESIZE_FILTERS",
    "Fault",
    "InputError",
    "Location",
    "Manifest",
    "Member",
    "MissingDependencyError",
    "NoLocksError",
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
    "first_line",
    "is_own_output",
    "is_system_file",
    "is_unrelated",
    "is_url",
    "is_writable",
    "lock_set",
    "locked",
    "match_url",
    "mean_and_std",
    "memory_limit",
    "missing_set",
    "open_set",
    "open_store",
    "png_size",
    "pooled_mean_and_std",
    "private_folder",
    "publish",
    "read_images",
    "read_manifest",
    "read_members",
    "read_spec",
    "reserve_space",
    "scan",
    "shard_members",
    "sole_process",
    "some",
    "title",
    "user_cache",
    "ustar_size",
    "valid_content",
    "verify",
    "walk_files",
    "write_atomically",
    "write_shard",
]
