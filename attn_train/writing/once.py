"""Warnings that are worth saying once in a process, however often their cause is met."""

import logging

said: set[str] = set()


def warn_once(log: logging.Logger, message: str, *values: object) -> None:
    """Log `message % values` as a warning, the first time that `message` comes."""
    if message not in said:
        said.add(message)
        log.warning(message, *values)
