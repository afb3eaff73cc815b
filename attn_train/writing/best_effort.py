"""Work that no result depends on: what fails costs a warning, and nothing else."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from attn_train.errors import AttnTrainError
from attn_train.writing.text import printable, shortened

# Of the things that failed from one cause, how many a warning names.
NAMED = 5

log = logging.getLogger(__name__)


def cause(error: BaseException) -> str:
    """Say in a line why something failed: the system's words, this program's own, else the kind of error with its
    message."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    message = shortened(printable(" ".join(str(error).split())), 300)
    return message if isinstance(error, AttnTrainError) else f"{type(error).__name__}: {message}"


@contextmanager
def best_effort(advice: str = "") -> Iterator[Callable[[str], AbstractContextManager[str]]]:
    """Give a context, `attempt(name)`, for each thing that no result depends on: a picture, a page.

    What fails in one ends that one only. At the end one warning for each cause names it, what it cost, and `advice`.
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
