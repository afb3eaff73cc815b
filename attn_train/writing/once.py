"""Warnings that a process gives only once."""

import logging

said: set[str] = set()


def warn_once(log: logging.Logger, message: str, *values: object) -> None:
    """Log `message % values` as a warning, the first time only that `message` is passed."""
    if message not in said:
        said.add(message)
        log.warning(message, *values)
