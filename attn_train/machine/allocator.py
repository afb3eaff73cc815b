"""Keep the memory that tensors on the CPU free for the next ones.

A training step allocates and frees the same large maps again and again. The GNU C library by default takes each from
the system and returns it, and the system clears every page again: on two cores that took a quarter of a step of the
article's network.
"""

import ctypes
import sys
from typing import Any

# malloc.h of the GNU C library, and mallopt(3), for what the values mean.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def gnu_c_library() -> Any | None:
    """Return the C library of this process where it has the GNU one's switches, else None."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version") else None


def keep_freed_memory() -> None:
    """Let the process keep the memory that it frees from now on; do nothing with another C library than GNU's."""
    library = gnu_c_library()
    if library is not None:
        library.mallopt(M_MMAP_MAX, 0)  # no allocation by mmap, whose pages go when it is freed
        library.mallopt(M_TRIM_THRESHOLD, -1)  # the heap does not shrink


def release_freed_memory() -> None:
    """Return freed memory to the system; do nothing with another C library than GNU's."""
    library = gnu_c_library()
    if library is not None:
        library.malloc_trim(ctypes.c_size_t(0))
