"""One process at a time in a run folder."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attn_train.durable import UNSUPPORTED
from attn_train.errors import ConfigError
from attn_train.once import warn_once

log = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; raise ConfigError naming the process that holds it already.

    The lock is the system's and ends with the process, however that ends, so none is ever left behind.
    """
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            take(descriptor, folder)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise ConfigError(
                f"{folder} is being trained by process {holder}; wait for it or stop it, or name another folder"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def take(descriptor: int, folder: Path) -> None:
    """Lock an open file of `folder`; raise BlockingIOError where another process has it. A file system without locks
    (Lustre and NFS can be so) is said once."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
