"""Stopping at the next step when a signal asks for it, instead of in the middle of one."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from attn_train.errors import Interrupted

# Sent by Ctrl-C, a closed terminal, a system that shuts down, and schedulers when a job's time is up.
STOPPING = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Stop:
    """Remembers the signal that asked the run to stop at the next step; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Remember a signal; raise KeyboardInterrupt at the second Ctrl-C."""
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        leave_closed_terminal()
        self.signal = number


def end(number: int, frame: FrameType | None) -> None:
    """Raise Interrupted: the handler of a signal outside training, where there is no step to wait for."""
    leave_closed_terminal()
    raise Interrupted(f"stopped by {signal.Signals(number).name}; the same command again goes on", 128 + number)


def leave_closed_terminal() -> None:
    """Discard what would go to a terminal that was closed: to print there would raise, and end the run."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def ours(number: int) -> bool:
    """Say whether a signal is ours to handle.

    Not one that is ignored (nohup), nor one that a scheduler's plugin handles (submitit, to queue the job again).
    """
    if threading.current_thread() is not threading.main_thread():
        return False  # Python takes handlers from no other
    return number == signal.SIGINT or signal.getsignal(number) in (signal.SIG_DFL, end)


def end_on_signals() -> None:
    """Let each of STOPPING but Ctrl-C, which Python turns into KeyboardInterrupt, end the command with a line and an
    exit code of its own."""
    for number in STOPPING:
        if number != signal.SIGINT and ours(number):
            signal.signal(number, end)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turn the signals STOPPING into a request to stop, while the context lasts."""
    stop = Stop()
    before = {number: signal.signal(number, stop.handle) for number in STOPPING if ours(number)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
