"""A run that was killed, stopped or damaged ends bit for bit as one that was not."""

import json
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import LONG, TINY, Command, run_here, start
from forked import Forked

STEPS = 22
RUNNING = {"images_per_second"}  # what the clock says differs between any two runs


def metrics_of(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in RUNNING} for row in rows]


def checkpoint_of(run: Path) -> dict[str, Any]:
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    state["progress"].pop("train_seconds")
    return state


def assert_same(one: Any, other: Any, where: str) -> None:
    """Compare nested containers of tensors and plain values, bit for bit."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype, where
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same(left, right, f"{where}[{number}]")
    else:
        assert one == other, where


def assert_same_run(run: Path, reference: Path) -> None:
    state = checkpoint_of(run)
    assert {"model", "optimizer", "schedule", "rng", "step", "epoch", "version"} <= set(state)
    assert_same(state, checkpoint_of(reference), "checkpoint")
    with np.load(run / "predictions.npz") as mine, np.load(reference / "predictions.npz") as theirs:
        for key in ("logits", "labels", "index"):
            assert np.array_equal(mine[key], theirs[key]), key
    assert metrics_of(run) == metrics_of(reference)
    found, expected = (json.loads((one / "result.json").read_text()) for one in (run, reference))
    for key in ("train_seconds", "compile_seconds", "images_per_second", "peak_memory_bytes"):
        assert found.pop(key) >= 0
        assert expected.pop(key) >= 0
    assert found == expected


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing stops, in the process of the tests: the others have one of their own."""
    folder = tmp_path_factory.mktemp("reference")
    ended = run_here(folder, *LONG, "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    assert json.loads((folder / "run" / "checkpoints" / "last.json").read_text())["step"] == STEPS
    return folder / "run"


def stop_at(folder: Path, step: int, number: signal.Signals) -> tuple[Forked, str, str]:
    """Start the long run in `folder`, send it a signal once metrics.jsonl has reached `step`, wait for its end."""
    process = start(folder, *LONG, "hydra.run.dir=run")
    metrics = folder / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count('"train"') >= step):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert not (folder / "run" / "result.json").exists(), "the run finished before the signal came"
    return process, out, err


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run killed at a random step; copied before it goes on."""
    folder = tmp_path_factory.mktemp("killed")
    process, _, _ = stop_at(folder, random.SystemRandom().randrange(3, STEPS - 14), signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    return folder / "run"


@pytest.mark.slow
def test_killed_run_ends_as_if_it_was_not(train: Command, tmp_path: Path, killed: Path, reference: Path) -> None:
    run = shutil.copytree(killed, tmp_path / "run")
    hydra = {path.name: path.read_bytes() for path in (run / ".hydra").iterdir()}
    step = json.loads((run / "checkpoints" / "last.json").read_text())["step"]
    assert 2 <= step < STEPS
    ended = train("resume=run")
    assert ended.code == 0, ended.err
    assert f"going on at step {step}" in ended.out
    assert_same_run(run, reference)
    assert {path.name for path in tmp_path.iterdir()} == {"run"}  # no new folder
    assert {path.name: path.read_bytes() for path in (run / ".hydra").iterdir()} == hydra
    assert not list((run / "checkpoints").glob("*.tmp")) + list((run / "checkpoints").glob("*.new.*"))


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["bit", "gone"])
def test_damaged_last_checkpoint(train: Command, tmp_path: Path, killed: Path, reference: Path, damage: str) -> None:
    """The one before it is used; what was written since is written anew. Every other damage is in test_checkpoint."""
    run = shutil.copytree(killed, tmp_path / "run")
    last = run / "checkpoints" / "last.pt"
    before = json.loads((run / "checkpoints" / "previous.json").read_text())["step"]
    content = bytearray(last.read_bytes())
    if damage == "gone":
        last.unlink()
    else:
        content[len(content) // 3] ^= 16
        last.write_bytes(content)
    ended = train("resume=run")
    assert ended.code == 0, ended.err
    assert f"going on at step {before}" in ended.out
    assert damage == "gone" or "DAMAGED CHECKPOINT" in ended.out
    assert_same_run(run, reference)


@pytest.mark.slow
def test_naming_the_folder_resumes(train: Command, tmp_path: Path, killed: Path, reference: Path) -> None:
    run = shutil.copytree(killed, tmp_path / "run")
    ended = train(*LONG, "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    assert "going on at step" in ended.out
    assert_same_run(run, reference)


@pytest.mark.slow
def test_no_sound_checkpoint(train: Command, tmp_path: Path, killed: Path) -> None:
    """With every checkpoint damaged nothing is trained in secret from the start."""
    run = shutil.copytree(killed, tmp_path / "run")
    for path in (run / "checkpoints").glob("*.pt"):
        path.write_bytes(path.read_bytes()[:-1])
    ended = train("resume=run")
    assert ended.code == 5
    assert len(ended.err.splitlines()) == 1, ended.err
    assert "damaged" in ended.err
    assert not (run / "result.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_run_goes_on(
    train: Command, tmp_path: Path, reference: Path, number: signal.Signals, code: int
) -> None:
    process, _, err = stop_at(tmp_path, 5, number)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1, err
    assert number.name in err
    assert "resume=run" in err
    # Saved at the step it had reached, not at an earlier one.
    step = json.loads((tmp_path / "run" / "checkpoints" / "last.json").read_text())["step"]
    assert f"step {step} of {STEPS}" in err
    assert metrics_of(tmp_path / "run")[-1]["step"] == step
    ended = train("resume=run")
    assert ended.code == 0, ended.err
    assert_same_run(tmp_path / "run", reference)


@pytest.mark.slow
def test_finished_run_is_not_trained_again(train: Command, reference: Path, tmp_path: Path) -> None:
    run = shutil.copytree(reference, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.suffix != ".log"}
    ended = train("resume=run")
    assert ended.code == 0, ended.err
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.suffix != ".log"}
    assert after == before


@pytest.mark.slow
def test_a_run_that_its_steps_ended_trains_no_longer(train: Command, tmp_path: Path) -> None:
    assert train(*TINY, "train.epochs=1", "train.max_steps=1", "hydra.run.dir=run").code == 0
    before = (tmp_path / "run" / "result.json").read_text()
    ended = train("resume=run", "train.epochs=2")
    assert ended.code == 2
    assert "train.max_steps=1 ended run" in ended.err
    assert (tmp_path / "run" / "result.json").read_text() == before


@pytest.mark.slow
@pytest.mark.parametrize("end", ["finished", "unfinished"])
def test_more_epochs(train: Command, tmp_path: Path, end: str) -> None:
    """With a constant rate two epochs and one more are the same as three."""
    words = (*TINY, "schedule=constant", "optimizer=adam")
    assert train(*words, "train.epochs=3", "hydra.run.dir=straight").code == 0
    assert train(*words, "train.epochs=2", "hydra.run.dir=run").code == 0
    if end == "unfinished":
        (tmp_path / "run" / "result.json").unlink()
    ended = train("resume=run", "train.epochs=3")
    assert ended.code == 0, ended.err
    run, straight = checkpoint_of(tmp_path / "run"), checkpoint_of(tmp_path / "straight")
    assert run["epoch"] == straight["epoch"] == 3
    assert_same(run, straight, "checkpoint")
    found, expected = (json.loads((tmp_path / one / "result.json").read_text()) for one in ("run", "straight"))
    assert found["epochs"] == 3
    assert found["test_loss"] == expected["test_loss"]


@pytest.mark.slow
def test_tensorboard_shows_each_step_once(train: Command, tmp_path: Path, killed: Path, reference: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = shutil.copytree(killed, tmp_path / "run")
    assert train("resume=run").code == 0
    seen = []
    for folder in (run, reference):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        seen.append([(one.step, one.value) for one in events.Scalars("loss/train")])
    assert seen[0] == seen[1]
    assert [step for step, _ in seen[0]] == list(range(1, STEPS + 1))
