"""Work that no result depends on: a failure is a warning, and ends nothing else."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from attn_train.errors import AttnTrainError
from attn_train.writing.text import printable, shortened

NAMED = 5  # things that failed from the same cause, in one warning

log = logging.getLogger(__name__)


def cause(error: BaseException) -> str:
    """Say in a line why something failed: the system's message, this program's own, else the kind of error and its
    message."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    message = shortened(printable(" ".join(str(error).split())), 300)
    return message if isinstance(error, AttnTrainError) else f"{type(error).__name__}: {message}"


@contextmanager
def best_effort(advice: str = "") -> Iterator[Callable[[str], AbstractContextManager[str]]]:
    """Yield `attempt(name)`, a context for making one thing that no result depends on, like a picture.

    An error in it ends only that attempt. At the end one warning for each cause names what could not be made, the cause
    and `advice`.
    """
    failed: dict[str, list[str]] = {}

    @contextmanager
    def attempt(name: str) -> Iterator[str]:
        try:
            yield name
        except Exception as error:
            failed.setdefault(cause(error), []).append(printable(name))

    try:
        yield attempt
    finally:
        for why, names in failed.items():
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            log.warning("could not make %s%s (%s)%s", ", ".join(names[:NAMED]), more, why, advice)
