"""Train a run in a process of its own, and say how it ended: no run ends the study."""

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from attn_train.errors import ConfigError
from attn_train.machine import child
from attn_train.runs import failure
from attn_train.runs.lock import PATIENCE, locked

PROGRAM = "from attn_train.cli import train; train()"


@dataclass(frozen=True)
class Ended:
    """How a run's process ended; the reason is empty where it finished."""

    seconds: float
    exit_code: int
    reason: str


def start(words: Sequence[str], errors: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start attn-train with `words`. It stays in this process group: a terminal's Ctrl-C reaches it too."""
    # The run's folder has its log.
    return child.start("-c", PROGRAM, *words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)


def run(words: Sequence[str], folder: Path, stopped: Callable[[], bool]) -> Ended:
    """Run attn-train with `words`, whose run folder is `folder`; once `stopped` says so, have it save and stop.

    A process that a killed study left behind may still train there: then this waits for its end.
    """
    wait_for(folder, stopped)
    began, clock, told = time.time(), time.monotonic(), False
    with tempfile.TemporaryFile() as errors:
        process = start(words, errors)
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=PATIENCE)
                    break
                if stopped() and not told:
                    process.terminate()
                    told = True
        finally:
            process.kill()  # does nothing to one that has ended; a second Ctrl-C gets here
            process.wait()
        code = process.returncode
        ended = 128 - code if code < 0 else code
        return Ended(time.monotonic() - clock, ended, reason(code, folder, began, errors) if code else "")


def wait_for(folder: Path, stopped: Callable[[], bool]) -> None:
    """Wait until no other process trains in `folder`, or until `stopped` says so."""
    if folder.exists():
        with contextlib.suppress(ConfigError), locked(folder, wait=True, stopped=stopped):
            pass


def reason(code: int, folder: Path, began: float, errors: IO[bytes]) -> str:
    """Say in a line why a run failed: what it left in its folder, else its last words, else its signal."""
    left = failure.read(folder)
    if left is not None and left.time >= began:
        return left.reason
    said = child.last_line(errors)
    if said and code > 0:
        return said.removeprefix("attn-train: ")
    return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
