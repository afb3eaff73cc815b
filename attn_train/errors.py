"""The ways a run can end badly: one exception class for each exit code, each message one clear line."""

import errno
import re

# How the system says that a file is there and not ours to use, or no file.
REFUSED = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EROFS)


class AttnTrainError(Exception):
    """An expected failure; its message is shown without a traceback."""

    exit_code = 1


class ConfigError(AttnTrainError):
    """A wrong name, type, range or combination in the configuration or on the command line."""

    exit_code = 2


class DataError(AttnTrainError):
    """Data that is missing, damaged, or not what its name promises."""

    exit_code = 3


class NotFiniteError(AttnTrainError):
    """A loss that became NaN or infinite."""

    exit_code = 4


class CheckpointError(AttnTrainError):
    """A checkpoint that is missing, damaged, or made for another model."""

    exit_code = 5


class ResourceError(AttnTrainError):
    """No disk or memory left."""

    exit_code = 6


class ExpectationError(AttnTrainError):
    """A result other than the one that was asked for by expect=."""

    exit_code = 7


class Interrupted(BaseException):
    """A run stopped by a signal after saving a checkpoint; `exit_code` is 128 + the signal's number.

    Like KeyboardInterrupt no Exception, so that it ends a whole sweep instead of counting as one job's failure.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def expected(error: BaseException) -> AttnTrainError | None:
    """Return what `error` is among the expected failures, or None for an unexpected one."""
    if isinstance(error, AttnTrainError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = error.filename or error
        return ResourceError(f"no space left on the disk ({where}); free some and run the command again")
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return ConfigError(f"the name {error.filename} is longer than the file system takes; choose a shorter one")
    if isinstance(error, OSError) and error.errno in REFUSED and error.filename is not None:
        return ConfigError(f"{error.filename} cannot be read or written: {error.strerror}; mend that, or name another")
    text = str(error)
    if "Unable to configure handler" in text and error.__cause__ is not None:  # the log file, by Python's logging
        return expected(error.__cause__)
    starved = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    if starved or re.search("out of memory|can't allocate memory|bad allocation|bad_alloc", text, re.IGNORECASE):
        return ResourceError(
            "out of memory; use a smaller train.batch_size, or the same one computed in parts: "
            "train.accumulate=2 (4, 8, ...)"
        )
    if "Expected more than 1 value per channel when training" in text:
        return ConfigError(
            "batch normalisation met a batch, or a part of one, of a single image on a map of one pixel; choose "
            "another train.batch_size or train.accumulate, or say train.drop_last=true"
        )
    return None
