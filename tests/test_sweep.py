"""Sweeps: every combination once, a table that agrees with the runs, failures that stop nobody else."""

import json
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import LONG, TINY, Command, start

from attn_train.data.synthetic import Synthetic
from attn_train.sweep import report


def results(sweep: Path) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(sweep.glob("*/result.json"))}


def only_sweep(folder: Path) -> Path:
    (sweep,) = (folder / "outputs").iterdir()
    return sweep


def row(out: str, label: str) -> list[str]:
    """The numbers of a row of the table: runs, mean, deviation, seconds."""
    (line,) = [line for line in out.splitlines() if re.match(rf"{re.escape(label)} +\d+ ", line)]
    return line[len(label) :].replace("%", "").split()


def test_sweep(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    load = Synthetic.load

    def spy(self: Synthetic) -> object:
        loads.append(self.image_size)
        return load(self)

    monkeypatch.setattr(Synthetic, "load", spy)
    # A size that no other test has: a data set kept from another test would be no load at all.
    words = ("-m", *TINY, "dataset.image_size=20", "model=none,gated", "seed=0,1")
    ended = train(*words)
    assert ended.code == 0, ended.err
    assert loads == [20]

    sweep = only_sweep(tmp_path)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", sweep.name)
    jobs = [path for path in sweep.iterdir() if path.is_dir()]
    assert len(jobs) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", job.name) for job in jobs)
    found = results(sweep)
    assert sorted((one["model"], one["seed"]) for one in found.values()) == [
        ("gated", 0), ("gated", 1), ("none", 0), ("none", 1),
    ]  # fmt: skip
    for model in ("none", "gated"):
        accuracies = [100 * one["val_accuracy"] for one in found.values() if one["model"] == model]
        count, mean, deviation, _ = row(ended.out, f"model={model}")
        assert count == "2"
        assert mean == f"{statistics.mean(accuracies):.2f}"
        assert deviation == f"{statistics.stdev(accuracies):.2f}"
    assert "validation accuracy" in ended.out
    assert "test accuracy" not in ended.out
    assert "4 runs finished, 0 failed" in ended.out

    # The same command, in another order, has nothing left to do.
    times = {path: path.stat().st_mtime_ns for path in sweep.glob("*/result.json")}
    again = train(*words[:-2], "seed=0,1", "model=none,gated")
    assert again.code == 0, again.err
    assert {path: path.stat().st_mtime_ns for path in sweep.glob("*/result.json")} == times
    assert row(again.out, "model=gated") == row(ended.out, "model=gated")
    assert only_sweep(tmp_path) == sweep

    # What is missing is done again, and nothing else.
    missing = sorted(times)[2]
    missing.unlink()
    assert train(*words).code == 0
    after = {path: path.stat().st_mtime_ns for path in sweep.glob("*/result.json")}
    assert {path for path in after if after[path] != times[path]} == {missing}
    assert results(sweep)[missing.parent.name]["correct"] == found[missing.parent.name]["correct"]


def test_sweep_by_name(train: Command, tmp_path: Path) -> None:
    ended = train("-m", *TINY, "model=none", "seed=0,1", "sweep=mine")
    assert ended.code == 0, ended.err
    assert len(results(tmp_path / "outputs" / "mine")) == 2
    # A sweep of one name grows: the seeds that are there are not trained again.
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "outputs" / "mine").glob("*/result.json")}
    ended = train("-m", *TINY, "model=none", "seed=0,1,2", "sweep=mine")
    assert ended.code == 0, ended.err
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "outputs" / "mine").glob("*/result.json")}
    assert len(after) == 3
    assert {path: after[path] for path in times} == times


def write_job(sweep: Path, name: str, overrides: list[str], **found: float) -> None:
    """Write what a sweep's table is made of; without figures the job has not finished."""
    (sweep / name / ".hydra").mkdir(parents=True)
    (sweep / name / ".hydra" / "overrides.yaml").write_text(json.dumps(overrides))
    if found:
        (sweep / name / "result.json").write_text(json.dumps({"epochs": 1, "train_seconds": 1.0, **found}))


def table(capsys: pytest.CaptureFixture[str], sweep: Path) -> list[list[str]]:
    assert report(sweep, since=0.0) == 0
    lines, _, _ = capsys.readouterr().out.strip().partition(" runs finished")
    return [line.replace("%", "").split() for line in lines.splitlines()[:-1]]


def test_the_best_on_validation_images_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accuracies = {"0.1": (0.80, 0.99), "0.2": (0.90, 0.70), "0.3": (0.85, 0.98)}
    for rate, (val, test) in accuracies.items():
        for seed in (0, 1):
            words = [f"optimizer.lr={rate}", f"seed={seed}"]
            write_job(tmp_path, f"{rate}_{seed}", words, val_accuracy=val, test_accuracy=test)
    write_job(tmp_path, "0.4_0", ["optimizer.lr=0.4", "seed=0"])
    head, *rows = table(capsys, tmp_path)
    assert head[:3] == ["runs", "validation", "accuracy"]
    assert [(name, mean) for name, _, mean, *_ in rows] == [
        ("optimizer.lr=0.2", "90.00"),
        ("optimizer.lr=0.3", "85.00"),
        ("optimizer.lr=0.1", "80.00"),
        ("optimizer.lr=0.4", "-"),
    ]


def test_arms_with_and_without_validation_images_stand_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_job(tmp_path, "a", ["dataset.val_size=0"], test_accuracy=0.95)
    write_job(tmp_path, "b", ["dataset.val_size=10"], test_accuracy=0.99, val_accuracy=0.5)
    write_job(tmp_path, "c", ["dataset.val_size=20"], test_accuracy=0.98, val_accuracy=0.6)
    rows = [row for row in table(capsys, tmp_path) if row]
    assert [row[0] if row[0] != "runs" else row[1] for row in rows] == [
        "validation", "dataset.val_size=20", "dataset.val_size=10", "test", "dataset.val_size=0",
    ]  # fmt: skip
    assert [row[2] for row in rows if row[0] != "runs"] == ["60.00", "50.00", "95.00"]


def test_failed_job_stops_no_other(train: Command, tmp_path: Path) -> None:
    """The second of three rates sends the weights off; the third job runs all the same."""
    words = ("-m", *TINY, "optimizer=sgd", "optimizer.lr=0.01,1e30,0.02", "train.clip_norm=null", "sweep=mine")
    ended = train(*words)
    assert ended.code == 4
    assert "Traceback" not in ended.err + ended.out
    sweep = tmp_path / "outputs" / "mine"
    assert len(results(sweep)) == 2
    (failed,) = [path for path in sweep.iterdir() if path.is_dir() and not (path / "result.json").exists()]
    assert "2 runs finished, 1 failed" in ended.out
    table = ended.out[ended.out.index("runs finished") :]
    (line,) = [line for line in table.splitlines() if failed.name in line]
    assert "step 2" in line
    # Again: it is tried again, fails again, and the others are left alone.
    times = {path: path.stat().st_mtime_ns for path in sweep.glob("*/result.json")}
    assert train(*words).code == 4
    assert {path: path.stat().st_mtime_ns for path in sweep.glob("*/result.json")} == times


def test_table_shows_this_commands_jobs(train: Command, tmp_path: Path) -> None:
    """A job that failed in an earlier command of the same name is no failure of this one."""
    common = ("-m", *TINY, "optimizer=sgd", "train.clip_norm=null", "sweep=mine")
    assert train(*common, "optimizer.lr=1e30,0.01").code == 4
    ended = train(*common, "optimizer.lr=0.01,0.02")
    assert ended.code == 0, ended.err


def test_stopped_sweep_goes_on(train: Command, tmp_path: Path) -> None:
    words = ("-m", *LONG, "seed=0,1,2", "sweep=mine")
    sweep = tmp_path / "outputs" / "mine"
    process = start(tmp_path, *words)
    deadline = time.monotonic() + 120
    while not any(path.read_text().count('"train"') >= 3 for path in sweep.glob("*_seed1_*/metrics.jsonl")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143, err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1, err
    (first,) = results(sweep)
    assert "_seed0_" in first
    assert not list(sweep.glob("*_seed2_*"))
    (stopped,) = sweep.glob("*_seed1_*/checkpoints/last.json")
    step = json.loads(stopped.read_text())["step"]
    assert 3 <= step < 40

    before = (sweep / first / "result.json").stat().st_mtime_ns
    ended = train(*words)
    assert ended.code == 0, ended.err
    assert f"going on at step {step}" in ended.out
    assert sorted(one["seed"] for one in results(sweep).values()) == [0, 1, 2]
    assert (sweep / first / "result.json").stat().st_mtime_ns == before
    assert "3 runs finished, 0 failed" in ended.out


def test_a_sweep_keeps_no_configuration_of_earlier_jobs(tmp_path: Path) -> None:
    """Hydra would keep two copies of each, a quarter of a megabyte, until the sweep ends."""
    program = """
import gc
from omegaconf import DictConfig
from attn_train import cli, sweep
before = sweep.run_job
def run_job(*arguments):
    done = before(*arguments)
    gc.collect()
    print("alive:", sum(isinstance(one, DictConfig) for one in gc.get_objects()))
    return done
sweep.run_job = run_job
cli.train()
"""
    words = ["-m", *TINY, "sweep=many", "seed=range(4)"]
    ended = subprocess.run([sys.executable, "-c", program, *words], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    alive = [int(line.split()[1]) for line in ended.stdout.splitlines() if line.startswith("alive:")]
    assert len(alive) == 4
    assert len(set(alive[1:])) == 1
