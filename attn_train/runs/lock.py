"""Lock a run folder, so that one process at a time writes it.

The filelock package cannot say which process holds a lock.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attn_train.errors import ConfigError
from attn_train.writing.durable import UNSUPPORTED
from attn_train.writing.once import warn_once

log = logging.getLogger(__name__)

PATIENCE = 0.1  # seconds between two attempts to take a lock

# The folders that this process holds, by device and inode of the lock's file: to wait for itself would never end.
_held_here: set[tuple[int, int]] = set()


@contextmanager
def locked(folder: Path, wait: bool = False, stopped: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Hold `folder` for this process while the context lasts.

    The system ends the lock with the process, however that ends, so that none is left behind. Raises ConfigError naming
    the process that holds the folder.

    Args:
        wait: wait for another process to end, and say so once, instead of raising.
        stopped: says that waiting must end.
    """
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        lock = (os.fstat(descriptor).st_dev, os.fstat(descriptor).st_ino)
        said = False
        while not _take(descriptor, folder):
            held = f"{folder} is being trained by process {_read_holder(descriptor)}"
            if not wait or stopped() or lock in _held_here:
                raise ConfigError(f"{held}; wait for it or stop it, or name another folder")
            if not said:
                print(f"waiting: {held}", flush=True)
                said = True
            time.sleep(PATIENCE)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        _held_here.add(lock)
        try:
            yield
        finally:
            _held_here.discard(lock)
    finally:
        os.close(descriptor)


def holder(folder: Path) -> str | None:
    """Return the number of the process that holds `folder`, None where no other does."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        return None if _take(descriptor, folder) else _read_holder(descriptor)
    finally:
        os.close(descriptor)


def _read_holder(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"


def _take(descriptor: int, folder: Path) -> bool:
    """Take the lock of an open file of `folder` for this process; say whether it was free.

    Warns once of a file system without locks, which Lustre and NFS may be; there it counts as free.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        warn_once(
            log,
            "%s: this file system has no locks (%s); nothing keeps two processes apart there: start no second one in "
            "the same folder, nor the same sweep or study twice",
            folder,
            error.strerror,
        )
    return True
