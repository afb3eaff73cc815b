"""Keep the memory that tensors on the CPU free for the next ones.

A training step allocates and frees the same large maps again and again. The GNU C library by default takes each from
the system and hands it back, and the system clears every page anew: on two cores a quarter of a step of the article's
network went there.
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
    """Let the process keep what it frees from now on; do nothing where the C library is another one."""
    library = gnu_c_library()
    if library is not None:
        library.mallopt(M_MMAP_MAX, 0)  # no allocation has pages of its own, which would go with it
        library.mallopt(M_TRIM_THRESHOLD, -1)  # the heap does not shrink


def give_back_freed_memory() -> None:
    """Hand what is free now to the system; do nothing where the C library is another one."""
    library = gnu_c_library()
    if library is not None:
        library.malloc_trim(ctypes.c_size_t(0))
