"""Files that are whole or not there, whatever happens while they are written."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from attn_train.errors import ResourceError


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call `write(file)` on a new file and give it its name `path` only once it is on the disk.

    Raises ResourceError where it cannot be written; what was at `path` is then still there.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        # torch.save, which cannot end its archive on a full disk, raises RuntimeError over the error that tells.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise not_written(path, cause) from error


def not_written(path: Path, error: OSError) -> ResourceError:
    """Return what to say where a file of a run could not be written."""
    run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
        return ResourceError(
            f"the run folder was deleted or moved while the run went on: {path} cannot be written; "
            "put it back and go on with resume=, or start a new run"
        )
    return ResourceError(
        f"could not write {path}: {error.strerror or error}; free some space and go on with resume={run}"
    )
