"""Files that are whole or not there, whatever happens while they are written."""

import errno
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from attn_train.errors import ResourceError
from attn_train.writing.once import warn_once
from attn_train.writing.quoting import pasted, setting

# How a file system says that it has no such operation; every other error is one.
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.EBADF, errno.ENOLCK)
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)

log = logging.getLogger(__name__)


def sync(descriptor: int, path: Path) -> None:
    """Wait until the open file or folder `path` is on the disk, where its file system can tell; else say so once."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        not_synced(path, error)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable, as `sync` does."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in GONE:
            raise
        not_synced(folder, error)  # CIFS and FUSE open no folder, or not for everyone
        return
    try:
        sync(descriptor, folder)
    finally:
        os.close(descriptor)


def not_synced(path: Path, error: OSError) -> None:
    warn_once(
        log,
        "%s: this file system does not tell when a file is safe on the disk (%s); a power cut may lose the newest "
        "checkpoint or result, and the run then goes on from an older one",
        path,
        error.strerror,
    )


def write_whole(
    path: Path, write: Callable[[IO[bytes]], object], *, temporary: str = "", durable: bool = False
) -> None:
    """Call `write(file)` on a new file and give it its name `path` only once it is whole; `durable`: and on the disk.

    Until then the file is called `temporary`, or by the name of `path` and `.tmp`. Whatever is raised meanwhile, it is
    removed, and what was at `path` is still there.
    """
    unfinished = path.with_name(temporary or f"{path.name}.tmp")
    try:
        with unfinished.open("wb") as file:
            write(file)
            if durable:
                file.flush()
                sync(file.fileno(), path)
        os.replace(unfinished, path)
        if durable:
            sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def write_utf8(path: Path, text: str, errors: str = "strict") -> None:
    """Write `text` to the file `path` as `write_whole` does, in UTF-8; `errors` as in `str.encode`."""
    write_whole(path, lambda file: file.write(text.encode(errors=errors)))


def write_durably(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file of a run as `write_whole` does, durably; raise ResourceError where it cannot be written."""
    try:
        write_whole(path, write, durable=True)
    except (OSError, RuntimeError) as error:
        # torch.save, which cannot end its archive on a full disk, raises RuntimeError over the error that tells.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise not_written(path, cause) from error


def not_written(path: Path, error: OSError) -> ResourceError:
    """Return what to say where a file of a run could not be written."""
    run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    if error.errno in GONE:
        return ResourceError(
            f"the run folder was deleted or moved while the run went on: {path} cannot be written; "
            "put it back and go on with resume=, or start a new run"
        )
    cure = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend that"
    again = pasted("attn-train", setting("resume", run))
    return ResourceError(f"could not write {path}: {error.strerror or error}; {cure} and go on with: {again}")
