"""Signals that ask to stop: which are heeded, which are somebody else's, and what a closed terminal takes along."""

import fcntl
import json
import os
import pty
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from conftest import LONG, TINY, Command, run_here, script

from attn_train import build
from attn_train.errors import Interrupted
from attn_train.machine.interrupt import STOPPING, end_on_signals, stop_on_signals
from attn_train.runs.ledger import INTERRUPTED
from attn_train.training.step import TrainingStep

SCHEDULERS = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """As in a fresh process; afterwards as before."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number in SCHEDULERS:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    """Send this process a signal that would not end it at once, and the tests with it."""
    assert signal.getsignal(number) is not signal.SIG_DFL
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", STOPPING)
def test_each_signal_asks_to_stop_and_is_given_back(number: signal.Signals) -> None:
    before = {one: signal.getsignal(one) for one in STOPPING}
    with stop_on_signals() as stop:
        send(number)
        assert stop.signal == number
    assert {one: signal.getsignal(one) for one in STOPPING} == before


@pytest.mark.parametrize("number", [number for number in STOPPING if number != signal.SIGINT])
def test_where_no_step_is_waited_for_each_signal_ends_the_command(number: signal.Signals) -> None:
    end_on_signals()
    with pytest.raises(Interrupted, match=number.name) as ended:
        send(number)
    assert ended.value.exit_code == 128 + number
    with stop_on_signals() as stop:  # which takes the place of the handler above
        send(number)
    assert stop.signal == number


@pytest.mark.parametrize("number", SCHEDULERS)
def test_what_is_ignored_stays_ignored(number: signal.Signals) -> None:
    """nohup ignores SIGHUP for what it starts."""
    signal.signal(number, signal.SIG_IGN)
    end_on_signals()
    with stop_on_signals() as stop:
        send(number)
    assert stop.signal is None
    assert signal.getsignal(number) is signal.SIG_IGN


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_handler_of_somebody_else_is_left_alone(number: signal.Signals) -> None:
    """submitit queues the job again at SIGUSR2 and lets SIGTERM pass, which comes with it."""
    seen: list[int] = []

    def requeue(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    signal.signal(number, requeue)
    end_on_signals()
    with stop_on_signals() as stop:
        send(number)
    assert seen == [number]
    assert stop.signal is None
    assert signal.getsignal(number) is requeue


def test_a_thread_has_no_signals() -> None:
    """A launcher may run a job in a thread, where Python takes no handlers."""
    seen: list[object] = []

    def work() -> None:
        end_on_signals()
        with stop_on_signals() as stop:
            seen.append(stop.signal)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]


@pytest.mark.slow
def test_a_run_saves_and_stops_and_goes_on(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = signal.SIGUSR1
    step, taken = TrainingStep.__call__, []

    def signalled(*arguments: Any, **options: Any) -> Any:
        taken.append(1)
        if len(taken) == 2:
            send(number)
        return step(*arguments, **options)

    monkeypatch.setattr(TrainingStep, "__call__", signalled)
    words = (*TINY, "train.checkpoint_every=100", "train.batch_size=16", "hydra.run.dir=run")
    stopped = train(*words)
    assert stopped.code == 128 + number
    assert len(stopped.err.splitlines()) == 1, stopped.err
    assert f"stopped by {number.name} at step 2 of" in stopped.err
    assert json.loads((tmp_path / "run" / "checkpoints" / "last.json").read_text())["step"] == 2
    ended = train("resume=run")
    assert ended.code == 0, ended.err
    assert "going on at step 2" in ended.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGHUP, ("hydra.run.dir=run",)),
        (signal.SIGUSR1, ("hydra.run.dir=run",)),
        (signal.SIGUSR2, ("-m", "seed=0,1", "sweep=mine")),
    ],
)
def test_a_signal_while_data_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, words: tuple[str, ...]
) -> None:
    def loading(config: object) -> None:
        send(number)
        time.sleep(60)

    monkeypatch.setattr(build, "load_splits", loading)
    ended = run_here(tmp_path, *TINY, *words)
    assert ended.code == 128 + number
    assert ended.err == f"attn-train: stopped by {number.name}; the same command again goes on\n"


@pytest.mark.slow
def test_a_terminal_that_is_closed_costs_nothing(tmp_path: Path) -> None:
    """The system sends SIGHUP, and every line printed from there on is an error."""
    terminal, other_end = pty.openpty()
    process = subprocess.Popen(
        [script("attn-train"), *LONG, "train.checkpoint_every=100", "hydra.run.dir=run"],
        cwd=tmp_path,
        stdin=other_end,
        stdout=other_end,
        stderr=other_end,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(other_end)
    os.set_blocking(terminal, False)
    metrics, deadline = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count('"train"') >= 3):
        assert time.monotonic() < deadline
        with suppress(BlockingIOError):
            os.read(terminal, 65536)
        time.sleep(0.01)
    os.close(terminal)
    assert process.wait(timeout=120) == 128 + signal.SIGHUP
    saved = json.loads((tmp_path / "run" / "checkpoints" / "last.json").read_text())["step"]
    assert saved == metrics.read_text().count('"train"')


def test_a_study_counts_a_run_that_a_signal_stopped_as_stopped() -> None:
    assert {128 + number for number in (signal.SIGINT, signal.SIGTERM, *SCHEDULERS)} <= set(INTERRUPTED)


def interrupt_twice() -> None:
    with stop_on_signals():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_a_second_interrupt_stops_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interrupt_twice()
    assert signal.getsignal(signal.SIGINT) == before
