"""Write files that are whole or do not exist, whatever happens meanwhile."""

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

# By these a file system says that it lacks an operation; any other number is an error.
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.EBADF, errno.ENOLCK)
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)

log = logging.getLogger(__name__)


def sync(descriptor: int, path: Path) -> None:
    """Wait until the open file or folder `path` is on the disk; warn once where its file system cannot tell."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        not_synced(path, error)


def sync_folder(folder: Path) -> None:
    """Wait until renames in `folder` are on the disk, as `sync` does for a file."""
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
    """Warn once of a file system that cannot tell when a file is on the disk."""
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
    """Write the file `path` whole or not at all: under another name, then renamed.

    Whatever is raised meanwhile, the new file is removed, and what was at `path` is still there.

    Args:
        write: called with the new file.
        temporary: the name until then, in the same folder; "": that of `path` with `.tmp`.
        durable: rename it only once it is on the disk.
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
    """Write `text` to the file `path` in UTF-8, as `write_whole` does; `errors` as in `str.encode`."""
    write_whole(path, lambda file: file.write(text.encode(errors=errors)))


def write_durably(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file of a run durably, as `write_whole` does; raise ResourceError where it cannot be written."""
    try:
        write_whole(path, write, durable=True)
    except (OSError, RuntimeError) as error:
        # On a full disk torch.save raises RuntimeError, and the OSError behind it is its context.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise not_written(path, cause) from error


def not_written(path: Path, error: OSError) -> ResourceError:
    """Return the error for a file of a run that could not be written."""
    run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    if error.errno in GONE:
        return ResourceError(
            f"the run folder was deleted or moved while the run went on: {path} cannot be written; "
            "put it back and go on with resume=, or start a new run"
        )
    cure = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend that"
    again = pasted("attn-train", setting("resume", run))
    return ResourceError(f"could not write {path}: {error.strerror or error}; {cure} and go on with: {again}")
