"""What many tests need. Above all the commands as a user types them: in this process, where most tests run them, or in
one of their own.

pytest-xdist has a process that only hands out the tests: it reads this file too, so that what takes seconds to import,
torch above all, is imported where it is used.
"""

import contextlib
import copy
import gc
import importlib.util
import io
import logging
import os
import signal
import sys
import sysconfig
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
import yaml
from forked import Forked

# A run of a fraction of a second. One thread and float32, so that a run can be repeated bit for bit in another process.
TINY = (
    "+experiment=smoke",
    "device=cpu",
    "device.precision=float32",
    "device.channels_last=false",
    "device.threads=1",
    "backbone.widths=[8,8,8]",
)
# The same with 22 steps and a checkpoint at each, long enough to be interrupted; the last epoch leaves images out.
LONG = (
    *TINY,
    "train.epochs=3",
    "train.max_steps=null",
    "train.batch_size=16",
    "train.checkpoint_every=1",
    "train.prune=0.25",
    "train.prune_from=2",
    "optimizer=adam",  # whose state has two tensors for each parameter, and a count
)


def imported(script: Path) -> ModuleType:
    """Import a file that belongs to no package."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@contextlib.contextmanager
def process_state(folder: Path) -> Iterator[None]:
    """Work in `folder`; afterwards bring back what a command changes for its whole process."""
    import torch

    from attn_train.machine.interrupt import STOPPING

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    environ, argv, cwd, threads = dict(os.environ), sys.argv[:], Path.cwd(), torch.get_num_threads()
    signals = {number: signal.getsignal(number) for number in STOPPING}
    os.chdir(folder)
    # As in a fresh process; with a handler of pytest's, logging.basicConfig would do nothing.
    root.handlers[:] = []
    try:
        yield
    finally:
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environ)
        sys.argv[:] = argv
        torch.set_num_threads(threads)
        for number, action in signals.items():
            signal.signal(number, action)
        for handler in root.handlers:
            # The log file; left open it would be a ResourceWarning in another test.
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)


# What draws, and takes half of the smallest run and of the smallest comparison.
DRAWING = (
    "attn_train.commands.outcome.draw",
    "attn_train.commands.robustness.draw",
    *(f"attn_train.comparison.chart.{name}" for name in ("forest", "curves", "scatter")),
    "attn_train.comparison.diagram.reliability",
)


@contextlib.contextmanager
def without_pictures() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for name in DRAWING:
            stack.enter_context(mock.patch(name, return_value=""))
        yield


def run_here(folder: Path, *words: str, command: str = "train", pictures: bool = False) -> Outcome:
    """Run attn-train (or attn-eval: command="evaluate") with `words` in this process, in `folder`; with its pictures
    only where a test is about them."""
    from attn_train import cli

    out, err = io.StringIO(), io.StringIO()
    code = 0
    drawn = contextlib.nullcontext() if pictures else without_pictures()
    with process_state(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), drawn:
        sys.argv[:] = [f"attn-{command}", *words]
        try:
            getattr(cli, command)()
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    return Outcome(code, out.getvalue(), err.getvalue())


def script(name: str) -> str:
    """Return the path of an installed command."""
    return str(Path(sysconfig.get_path("scripts")) / name)


def start(folder: Path, *words: str, prelude: str = "", command: str = "train") -> Forked:
    """Start attn-train with `words` in a process of its own, in `folder`, after the program `prelude`; without the
    pictures of a run, as `run_here`."""
    undrawn = "from attn_train.commands import outcome\noutcome.draw = lambda *_: None"
    return Forked(f"{undrawn}\n{prelude}\nfrom attn_train import cli\ncli.{command}()\n", *words, folder=folder)


Command = Callable[..., Outcome]


@pytest.fixture
def train(tmp_path: Path) -> Command:
    """attn-train in this process, in tmp_path."""
    return lambda *words: run_here(tmp_path, *words)


@pytest.fixture
def evaluate(tmp_path: Path) -> Command:
    """attn-eval in this process, in tmp_path."""
    return lambda *words: run_here(tmp_path, *words, command="evaluate")


@pytest.fixture
def study(tmp_path: Path) -> Command:
    """attn-study in this process, in tmp_path."""
    return lambda *words: run_here(tmp_path, *words, command="study")


def finished_run(folder: Path, *words: str) -> Path:
    """Train in `folder`/run and return that run folder."""
    ended = run_here(folder, *TINY, *words, "hydra.run.dir=run", pictures=True)
    assert ended.code == 0, ended.err
    return folder / "run"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have no garbage looked for among the million objects that torch and thousands of tests are made of: neither
    while they come, nor ever after."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the whole round all but the first case of a test that gives a command one mistake after the other: each
    composes a configuration, or two."""
    begun: set[str] = set()
    for item in items:
        assert isinstance(item, pytest.Function)
        if {"train", "evaluate", "study", "bench"} & set(item.fixturenames):
            name = f"{item.path}::{item.originalname}"
            if name in begun:
                item.add_marker(pytest.mark.slow)
            begun.add(name)


@pytest.fixture(scope="session", autouse=True)
def _schemas() -> None:
    """As each command does before anything else."""
    from attn_train.settings import compose

    compose.register()


@pytest.fixture(scope="session", autouse=True)
def _texts_parsed_once() -> Iterator[None]:
    """Remember what YAML texts hold: each command parses those of conf/ anew, which takes a third of composing."""
    load = yaml.load
    loaders: dict[str, Any] = {}

    @lru_cache(maxsize=200)
    def parsed(text: str | bytes, loader: str) -> Any:
        return load(text, loaders[loader])

    def remembering(stream: Any, Loader: Any) -> Any:  # noqa: N803  # the name that callers give it
        loaders[Loader.__name__] = Loader
        try:
            return copy.deepcopy(parsed(stream if isinstance(stream, str | bytes) else stream.read(), Loader.__name__))
        except yaml.YAMLError:
            # The error names the file.
            if hasattr(stream, "seek"):
                stream.seek(0)
            return load(stream, Loader)

    with mock.patch.object(yaml, "load", remembering):
        yield


# Runs that tests only read (attn-eval adds pictures); whoever changes one copies it first.


@pytest.fixture(scope="session")
def attention_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of self-attention, with a validation split."""
    return finished_run(tmp_path_factory.mktemp("attention"), "model=self_attention")


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run without attention and without a validation split."""
    return finished_run(tmp_path_factory.mktemp("plain"), "model=none", "dataset.val_size=0")
