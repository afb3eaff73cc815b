"""Processes that need not import torch: forked from one that has, which takes a tenth of the time.

They are real ones: with a number, an exit code, descriptors, a working folder and signals of their own. They share what
was imported before, so that whoever tests an import, or a variable that one reads, starts Python anew.
"""

import atexit
import io
import multiprocessing
import os
import signal
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "attn_train.cli",
        "attn_train.commands.jobs",
        "attn_train.commands.evaluation",
        "attn_train.cost.bench.measure",
        "attn_train.study.command",
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
    ]
)


class Forked:
    """What `subprocess.Popen` gives of a process that runs `program` with the words `words` in `folder`; it reads
    `stdin`, and writes to the files `out` and `errors` where they are given."""

    def __init__(
        self,
        program: str,
        *words: str,
        folder: Path,
        stdin: str = "",
        out: IO[bytes] | None = None,
        errors: IO[bytes] | None = None,
    ) -> None:
        self.stdout, output = _ends(out)
        self.stderr, err = _ends(errors)
        with output, err:
            self._process = SERVER.Process(
                target=_main,
                args=(program, words, str(folder), dict(os.environ), stdin, output, err),
                daemon=True,  # the tests do not wait for one that hangs
            )
            self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("forked", timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end, then return what was printed, which a pipe must hold: 64 KiB. Whoever is late is killed."""
        with self.stdout, self.stderr:
            try:
                self.wait(timeout)
            finally:
                self.kill()
            return self.stdout.read(), self.stderr.read()


def _ends(file: IO[bytes] | None) -> tuple[IO[str], Connection]:
    """Return what the tests read of a stream, and where the process writes it: into a pipe, or else a file."""
    if file is not None:
        return io.StringIO(), Connection(os.dup(file.fileno()), readable=False)
    reading, writing = SERVER.Pipe(duplex=False)
    with reading:
        return open(os.dup(reading.fileno()), encoding="utf-8"), writing


def _main(
    program: str, words: tuple[str, ...], folder: str, env: dict[str, str], stdin: str, out: Connection, err: Connection
) -> None:
    """Become what Python becomes when it is started with `-c program`."""
    reading, writing = os.pipe()
    os.write(writing, stdin.encode())
    os.close(writing)
    for number, source in enumerate((reading, out.fileno(), err.fileno())):
        os.dup2(source, number)
    os.close(reading)
    out.close()
    err.close()
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.argv[:] = ["-c", *words]
    try:
        exec(program, {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()
