"""Stopping at the next step when a signal asks for it, instead of in the middle of one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from attn_train.errors import Interrupted


class Stop:
    """Remembers the signal that asked the run to stop at the next step; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


def end_on_sigterm() -> None:
    """Let SIGTERM end the command with its own line and exit code wherever no step is there to wait for."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise Interrupted("stopped by SIGTERM; the same command again goes on", 128 + number)

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handle)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turn SIGINT and SIGTERM into a request to stop, while the context lasts."""
    stop = Stop()
    before = {number: signal.signal(number, stop.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
