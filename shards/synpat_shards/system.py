"""Resources that this process may use, on Linux, in containers and on macOS."""

import errno
import os
from pathlib import Path

CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files with the memory limit of a container in bytes: cgroup version 2 and version 1."""


def available_cores() -> int:
    """Return the number of cores that this process may run on, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_limit() -> int:
    """Return the bytes of memory of the machine, or of the container if its limit is lower."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in map(Path, CGROUP_LIMITS):
        text = path.read_text().strip() if path.exists() else ""
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


def reserve_space(file: int, start: int, size: int) -> None:
    """Allocate the disk space of `size` bytes of an open file from a position on.

    Raises OSError if the disk is full. Without this, writing to a memory-mapped file on a full disk would end the
    process. On systems and file systems without posix_fallocate the bytes are filled with zeros.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file, start, size)
            return
        except OSError as fault:
            if fault.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                raise
    block = bytes(1 << 20)
    for position in range(start, start + size, len(block)):
        os.pwrite(file, block[: start + size - position], position)
