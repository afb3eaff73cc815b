"""Sweeps: every combination once, a table that agrees with the runs, failures that stop nobody else."""

import hashlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import LONG, TINY, Command, run_here, start

from attn_train.commands import jobs
from attn_train.commands.plan import Plan
from attn_train.commands.sweep import report
from attn_train.data.sources.synthetic import Synthetic
from attn_train.errors import ConfigError
from attn_train.settings import compose


def results(sweep: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(sweep.glob("*/result.json"))}


def only_sweep(folder: Path) -> Path:
    (sweep,) = (folder / "outputs").iterdir()
    return sweep


def row(out: str, label: str) -> list[str]:
    """The numbers of a row of the table: runs, mean, deviation, seconds."""
    (line,) = [line for line in out.splitlines() if re.match(rf"{re.escape(label)} +\d+ ", line)]
    return line[len(label) :].replace("%", "").split()


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert report(sweep, since=0.0, planned={}, failures={}) == 0
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


@pytest.mark.slow
def test_folders_by_patterns_of_hydra(train: Command, tmp_path: Path) -> None:
    """The number of a job is known only in the sweep, and the time would be another one when Hydra comes to it."""
    words = ("-m", *TINY, "train.max_steps=1", "model=glob([none,srm])")
    ended = train(*words, "hydra.sweep.dir=sweep_${now:%f}", "hydra.sweep.subdir=${hydra.job.num}_${model.name}")
    assert ended.code == 0, ended.err
    (sweep,) = tmp_path.iterdir()
    assert {name: one["model"] for name, one in results(sweep).items()} == {"0_none": "none", "1_srm": "srm"}
    assert "2 runs finished, 0 failed" in ended.out
    assert str(sweep.name) in ended.out.splitlines()[-1]


@pytest.mark.slow
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


@pytest.mark.slow
def test_table_shows_this_commands_jobs(train: Command, tmp_path: Path) -> None:
    """A job that failed in an earlier command of the same name is no failure of this one."""
    common = ("-m", *TINY, "optimizer=sgd", "train.clip_norm=null", "sweep=mine")
    assert train(*common, "optimizer.lr=1e30,0.01").code == 4
    ended = train(*common, "optimizer.lr=0.01,0.02")
    assert ended.code == 0, ended.err


@pytest.mark.slow
def test_stopped_sweep_goes_on(train: Command, tmp_path: Path) -> None:
    words = ("-m", *LONG, "train.epochs=2", "seed=0,1,2", "sweep=mine")
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
    assert 3 <= step < 16

    before = (sweep / first / "result.json").stat().st_mtime_ns
    ended = train(*words)
    assert ended.code == 0, ended.err
    assert f"going on at step {step}" in ended.out
    assert sorted(one["seed"] for one in results(sweep).values()) == [0, 1, 2]
    assert (sweep / first / "result.json").stat().st_mtime_ns == before
    assert "3 runs finished, 0 failed" in ended.out


@pytest.mark.slow
def test_a_sweep_keeps_no_configuration_of_earlier_jobs(tmp_path: Path) -> None:
    """Hydra would keep two copies of each, a quarter of a megabyte, until the sweep ends."""
    program = """
import gc
from omegaconf import DictConfig
from attn_train import cli
from attn_train.commands import sweep
before = sweep.run_job
def run_job(*arguments):
    done = before(*arguments)
    gc.collect()
    print("alive:", sum(isinstance(one, DictConfig) for one in gc.get_objects()))
    return done
sweep.run_job = run_job
"""
    words = ["-m", *TINY, "sweep=many", "seed=range(4)"]
    process = start(tmp_path, *words, prelude=program)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    alive = [int(line.split()[1]) for line in out.splitlines() if line.startswith("alive:")]
    assert len(alive) == 4
    assert alive[1:] == sorted(alive[1:], reverse=True)  # fewer: what was composed to be checked is let go


# A sweep described in a file


def write_file(folder: Path, text: str) -> None:
    """Write `text` as an experiment, and as a configuration of its own, below `folder`/theirs."""
    (folder / "theirs" / "experiment").mkdir(parents=True)
    (folder / "theirs" / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}\n")
    (folder / "theirs" / "whole.yaml").write_text(f"defaults: [config, _self_]\n{text}\n")


BY_FILE = ("--config-dir", "theirs", *TINY[1:], "+experiment=[smoke,mine]")
# Jobs that end at once, for lack of data.
FAILING = (*TINY[1:], "dataset=cifar10", "dataset.root=data", "dataset.download=false")


def job_name(*words: str) -> str:
    """The name of a job's folder in its sweep's."""
    compose.register()
    return compose.job_name(_root_=compose.compose([*TINY, *words], compose.parse([])))


def last_lines(out: str) -> list[str]:
    header = re.search(r"runs +\w+ accuracy", out)
    assert header is not None, out
    return out[header.start() :].splitlines()


@pytest.mark.slow
def test_sweep_in_a_file(train: Command, tmp_path: Path) -> None:
    """One of two jobs fails; the folder has a name, and the same command goes on in it, also with a name of null."""
    params = "{optimizer.lr: '0.01,1e30', seed: '0,1,2'}"
    write_file(
        tmp_path,
        "defaults: [override /optimizer: sgd]\ntrain: {clip_norm: null}\n"
        f"hydra: {{mode: MULTIRUN, sweeper: {{params: {params}}}}}",
    )
    ended = train(*BY_FILE, "seed=7")  # the command line has the last word
    assert ended.code == 4, ended.err
    assert "Traceback" not in ended.err
    sweep = only_sweep(tmp_path)
    assert re.fullmatch(r"sweep_[0-9a-f]{8}", sweep.name)
    (found,) = results(sweep).values()
    assert found["seed"] == 7
    assert "1 runs finished, 1 failed; in outputs/" in ended.out
    assert row(ended.out, "optimizer.lr=0.01")[0] == "1"
    assert row(ended.out, "optimizer.lr=1e+30")[0] == "0"

    before = {path: path.stat().st_mtime_ns for path in sweep.glob("*/result.json")}
    again = train(*BY_FILE, "seed=7", "sweep=null")
    assert again.code == 4, again.err
    assert only_sweep(tmp_path) == sweep
    assert {path: path.stat().st_mtime_ns for path in sweep.glob("*/result.json")} == before


@pytest.mark.parametrize(
    "words",
    [
        BY_FILE,
        (*TINY[1:], "+experiment=[smoke,mine]", "hydra.searchpath=[file://theirs]"),
        (*BY_FILE[:2], "--config-name", "whole", *TINY),
        *(
            (*TINY, word, "seed=0,x")
            for word in ("hydra.mode=MULTIRUN", "hydra.mode='MULTIRUN'", 'hydra.mode="MULTIRUN"')
        ),
        *((*TINY, word, "seed=0,x") for word in ("++hydra.mode=MULTIRUN", "+hydra.mode=MULTIRUN", "--multirun")),
        (*TINY, "-m", "+hydra.sweeper.params={seed: '0,x'}"),
        (*TINY, "++hydra.sweeper.params.seed='0,x'", "-m"),
        (*TINY, "-m", "seed=0,x", "hydra.mode=RUN"),
    ],
    ids=lambda words: " ".join(word for word in words if word not in TINY),
)
def test_a_sweep_however_it_is_asked_for(train: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Its jobs are checked before anything runs."""
    write_file(tmp_path, "hydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,x'}}}")
    refused = train(*words)
    assert refused.code == 2, refused
    assert refused.err == "attn-train: seed=x does not fit; it takes an integer\n"
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        (*FAILING, "+experiment=[smoke,mine]", "hydra.searchpath=[file://theirs]"),
        (
            "-m",
            *FAILING,
            "seed=0,1",
            "hydra.sweep.dir=outputs/${now:%H-%M-%S-%f}",
            "hydra.sweep.subdir=${hydra.job.num}",
        ),
        ("-m", *FAILING, "seed=0,1", "sweep=null", "hydra.sweep.subdir='${hydra:runtime.choices.model}_${seed}'"),
    ],
    ids=lambda words: " ".join(word for word in words if word not in FAILING),
)
def test_where_a_sweep_goes(train: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    write_file(tmp_path, "hydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,1'}}}")
    ended = train(*words)
    assert ended.code == 3, ended.err
    assert ended.err == ""
    sweep = only_sweep(tmp_path)
    assert sweep.name != "None"
    assert len(list(sweep.glob("*/failure.json"))) == 2
    assert f"0 runs finished, 2 failed; in outputs/{sweep.name}" in ended.out


@pytest.mark.slow
def test_a_sweep_is_named_by_its_words(train: Command, tmp_path: Path) -> None:
    """By the SHA-256 of its sorted words, so that whoever has an unfinished one finds it; what a file has vary, too."""
    words = [*FAILING, "model=none", "seed=0"]
    assert train("-m", *words).code == 3
    typed = hashlib.sha256("\n".join(sorted(words)).encode()).hexdigest()[:8]
    assert only_sweep(tmp_path).name == f"sweep_{typed}"

    names = set()
    for seed in range(2):
        folder = tmp_path / str(seed)
        write_file(folder, f"hydra: {{mode: MULTIRUN, sweeper: {{params: {{seed: '{seed}'}}}}}}")
        assert run_here(folder, *BY_FILE[:2], *FAILING, "+experiment=[smoke,mine]").code == 3
        names.add(only_sweep(folder).name)
    assert len(names) == 2


@pytest.mark.slow
@pytest.mark.parametrize("text", ["sweep: first", "hydra: {sweeper: {params: {sweep: first}}}"])
def test_a_name_in_a_file(train: Command, tmp_path: Path, text: str) -> None:
    write_file(tmp_path, text)
    assert train("-m", *BY_FILE[:2], *FAILING, "+experiment=[smoke,mine]", "seed=0").code == 3
    assert only_sweep(tmp_path).name == "first"


@pytest.mark.parametrize(
    ("word", "folder"), [("sweep=first/second", "first/second"), ("sweep='${model.name}'", "gated")]
)
def test_other_names(train: Command, tmp_path: Path, word: str, folder: str) -> None:
    assert train("-m", *FAILING, "seed=0", word).code == 3
    assert len(list((tmp_path / "outputs" / folder).glob("*/failure.json"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        *(f"sweep={name}" for name in ("", ".", "..", "/tmp", "../out", "a/../b", "first,second", "null,second")),
        "sweep='${model.name}' model=none,gated",
        "sweep=${nosuch}",
        "hydra.sweep.dir=outputs/${seed}",
        "hydra.sweep.subdir=job",
        "hydra.sweep.subdir=../${seed}",
        "hydra.sweep.subdir=/tmp/${seed}",
        "hydra.sweeper=null",
        "hydra.launcher=null",
        "hydra/sweeper=null",
        "model.reduction=range(0)",
        "optimizer.lr=interval(0,1)",
        "train.epochs=[1,2]",
        "hydra.sweeper.max_batch_size=0",
    ],
)
def test_a_sweep_that_cannot_be(train: Command, tmp_path: Path, words: str) -> None:
    refused = train("-m", *TINY, "model=gated", "seed=0,1", *words.split())
    assert refused.code == 2, refused
    assert len(refused.err.splitlines()) == 1, refused.err
    assert "sweep" in refused.err or "group" in refused.err or words.partition("=")[0] in refused.err
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_a_sweep_for_one_run_is_refused(train: Command, tmp_path: Path) -> None:
    refused = train(*TINY, "sweep=mine")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "sweep=mine" in refused.err
    assert "-m" in refused.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sweeper", "named"),
    [
        ("params: {seed: '0,x'}", "seed=x"),
        ("params: {seed: [0,1]}", "seed=[0, 1]"),
        ("params: {seed: null}", "hydra.sweeper.params.seed"),
        ("params: {seed: '0,'}", "seed=0,"),
        ("params: {seed: 'range(0)'}", "range(0)"),
        ("params: {seed: '0,${nosuch}'}", "nosuch"),
        ("params: {sedd: '0,1'}", "did you mean seed"),
        ("params: {model: 'none,nosuch'}", "nosuch"),
        ("params: {train.epochs: '1,0'}", "train.epochs=0"),
        ("params: {sweep: 'a,b'}", "outputs/a and outputs/b"),
        ("params: {resume: run}", "run"),
        ("params: seed", "hydra.sweeper.params is a section"),
        ("parms: {seed: '0,1'}", "hydra.sweeper.parms"),
        ("max_batch_size: 0", "max_batch_size"),
        ("params: [seed=0]", "is a list"),
    ],
)
def test_a_wrong_value_in_a_file(train: Command, tmp_path: Path, sweeper: str, named: str) -> None:
    write_file(tmp_path, f"hydra: {{mode: MULTIRUN, sweeper: {{{sweeper}}}}}")
    refused = train(*BY_FILE)
    assert refused.code == 2, refused
    assert len(refused.err.splitlines()) == 1, refused.err
    assert named in refused.err
    assert "None=" not in refused.err
    assert not (tmp_path / "outputs").exists()


# The same sweep twice at once


@pytest.mark.slow
def test_a_sweep_in_two_shells(tmp_path: Path) -> None:
    """Each job is trained once, by whichever comes first; both commands end with the table of all."""
    words = ("-m", *TINY, "seed=0,1", "sweep=mine")
    both = [start(tmp_path, *words) for _ in range(2)]
    printed = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    sweep = tmp_path / "outputs" / "mine"
    assert len(results(sweep)) == 2
    assert list(sweep.glob("*/failure.json")) == []
    outs = [out for out, _ in printed]
    assert sum(out.count("writing to") for out in outs) == 2
    assert sum(out.count("already finished") for out in outs) == 2
    tables = [last_lines(out) for out in outs]
    assert tables[0] == tables[1]
    assert "2 runs finished, 0 failed; in outputs/mine" in tables[0]


# Holds a job's folder until a file is there, then does its last deed and ends.
HOLDER = """
import json, os, signal, sys, time
from pathlib import Path
from attn_train.runs.lock import locked
folder, awaited, deed = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
folder.mkdir(parents=True, exist_ok=True)
with locked(folder):
    print("held", flush=True)
    while not awaited.exists():
        time.sleep(0.01)
    exec(deed)
"""


def hold(folder: Path, awaited: Path, deed: str) -> "subprocess.Popen[str]":
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), str(awaited), deed], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


@pytest.mark.slow
def test_a_job_of_a_killed_process_is_taken_over(train: Command, tmp_path: Path) -> None:
    """The other job does not wait for it."""
    sweep = tmp_path / "outputs" / "mine"
    held, other = sweep / job_name("seed=0"), sweep / job_name("seed=1")
    with hold(held, other / "result.json", "os.kill(os.getpid(), signal.SIGKILL)") as holder:
        ended = train("-m", *TINY, "seed=0,1", "sweep=mine")
    assert ended.code == 0, ended.err
    assert set(results(sweep)) == {held.name, other.name}
    assert list(sweep.glob("*/failure.json")) == []
    assert f"{held.relative_to(tmp_path)} is being trained by process {holder.pid}\n" in ended.out
    assert "2 runs finished, 0 failed" in ended.out


@pytest.mark.slow
def test_a_job_that_failed_for_another_process_is_not_tried_again(train: Command, tmp_path: Path) -> None:
    sweep = tmp_path / "outputs" / "mine"
    held, other = sweep / job_name(*FAILING[-3:], "seed=0"), sweep / job_name(*FAILING[-3:], "seed=1")
    left = '{"reason": "it was so", "exit_code": 4, "time": time.time()}'
    with hold(held, other / "failure.json", f"(folder / 'failure.json').write_text(json.dumps({left}))"):
        ended = train("-m", *TINY, *FAILING[-3:], "seed=0,1", "sweep=mine")
    assert ended.code == (4 if held.name < other.name else 3), ended.err
    assert "0 runs finished, 2 failed" in ended.out
    assert f"  failed: {held.name}: it was so\n" in ended.out
    assert not (held / ".hydra").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_waiting_ends_by_a_signal(train: Command, tmp_path: Path, number: str, code: int) -> None:
    held = tmp_path / "outputs" / "mine" / job_name("seed=0")
    # Hydra opens a job's log right before the job begins to wait.
    deed = f"time.sleep(0.3); os.kill({os.getpid()}, signal.{number}); time.sleep(600)"
    with hold(held, held / "attn-train.log", deed) as holder:
        ended = train("-m", *TINY, "seed=0", "sweep=mine")
        holder.kill()
    assert ended.code == code
    assert len(ended.err.splitlines()) == 1, ended.err
    assert ended.out.count("waiting: ") == 1
    assert not (held / "failure.json").exists()


@pytest.mark.slow
def test_a_finished_run_has_no_failure(train: Command, tmp_path: Path, plain_run: Path) -> None:
    run = shutil.copytree(plain_run, tmp_path / "run")
    for _ in range(2):  # finished long ago, and now
        (run / "failure.json").write_text('{"reason": "the disk was full", "exit_code": 6, "time": 1}')
        ended = train(*TINY, "model=none", "dataset.val_size=0", "hydra.run.dir=run")
        assert ended.code == 0, ended.err
        assert not (run / "failure.json").exists()
        (run / "result.json").unlink()


# Jobs that do not get far


def no_folder(job: Path) -> None:
    job.write_text("")


def no_log(job: Path) -> None:
    (job / "attn-train.log").mkdir(parents=True)


def no_lock(job: Path) -> None:
    (job / ".lock").mkdir(parents=True)


def no_snapshot(job: Path) -> None:
    job.mkdir()
    (job / ".hydra.tmp").write_text("")


def another_run(job: Path) -> None:
    job.mkdir()
    (job / "config.yaml").write_text("[")


@pytest.mark.slow
@pytest.mark.parametrize("plant", [no_folder, no_log, no_lock, no_snapshot, another_run])
def test_jobs_that_die_before_they_begin(train: Command, tmp_path: Path, plant: Callable[[Path], None]) -> None:
    """Two of three do, and the third finishes; then both alone."""
    sweep = tmp_path / "outputs" / "mine"
    sweep.mkdir(parents=True)
    names = [job_name(f"seed={seed}") for seed in range(2)]
    for name in names:
        plant(sweep / name)
    seeds = "seed=0,1,2" if plant is no_folder else "seed=0,1"
    ended = train("-m", *TINY, seeds, "sweep=mine")
    lines = last_lines(ended.out)
    finished = seeds.count("2")
    assert f"{finished} runs finished, 2 failed; in outputs/mine" in lines
    for name in names:
        assert sum(line.startswith(f"  failed: {name}: ") for line in lines) == 1
    assert len(results(sweep)) == finished
    assert ended.code == (1 if plant is no_snapshot else 2)
    assert "Error executing job" not in ended.err


LAUNCHER = """
import os, signal, threading, time
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, run_job
from hydra.plugins.launcher import Launcher

class Forking(Launcher):
    \"\"\"A process for each job; that of the second is killed at its start, that of the third in its middle.\"\"\"
    def setup(self, *, hydra_context, task_function, config):
        self.given = hydra_context, task_function, config
    def launch(self, job_overrides, initial_job_idx):
        context, task, config = self.given
        for number, overrides in enumerate(job_overrides):
            if os.fork():
                os.wait()
                continue
            if number == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if number == 2:
                from attn_train.commands import run
                run.fit = lambda *arguments, **options: os.kill(os.getpid(), signal.SIGKILL)
            job = context.config_loader.load_sweep_config(config, list(overrides))
            run_job(hydra_context=context, task_function=task, config=job, job_dir_key="hydra.sweep.dir",
                    job_subdir_key="hydra.sweep.subdir")
            os._exit(0)
        return [JobReturn(status=JobStatus.COMPLETED, _return_value=0.0) for _ in job_overrides]

ConfigStore.instance().store(
    group="hydra/launcher", name="forking", node={"_target_": "hydra_plugins.forking.Forking"}
)
"""


@pytest.mark.slow
def test_jobs_killed_in_processes_of_their_own(tmp_path: Path) -> None:
    """A launcher of somebody else's, which tells nothing of what became of its jobs."""
    (tmp_path / "plugins" / "hydra_plugins").mkdir(parents=True)
    (tmp_path / "plugins" / "hydra_plugins" / "forking.py").write_text(LAUNCHER)
    words = ("-m", *TINY, "seed=0,1,2", "sweep=mine", "hydra/launcher=forking")
    process = start(tmp_path, *words, prelude=f"import sys; sys.path.insert(0, {str(tmp_path / 'plugins')!r})")
    out, err = process.communicate(timeout=240)
    assert process.returncode == 1, err
    assert err == ""
    (first,) = results(tmp_path / "outputs" / "mine")
    lines = last_lines(out)
    names = [job_name(f"seed={seed}") for seed in range(3)]
    assert first == names[0]
    assert "1 runs finished, 0 failed, 1 did not begin, 1 did not finish; in outputs/mine" in lines
    assert any(line.startswith(f"  did not begin: {names[1]}") for line in lines)
    assert any(line.startswith(f"  did not finish: {names[2]}") for line in lines)


def test_a_sweep_that_varies_nothing_is_one_job(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`attn-train -m` alone has no word that a job could hold."""
    monkeypatch.setattr(jobs, "train_job", lambda job, folder: 0.5)
    ended = train("-m")
    assert "job 1 of 1: sweep=" in ended.out, ended.err


@pytest.mark.slow
def test_a_job_that_cannot_be_composed_ends_no_sweep(train: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fourth has no value that was not checked before, so that it is composed when its turn comes."""

    def refused(planned: Plan, number: int) -> None:
        raise ConfigError(f"no such job: {number}")

    monkeypatch.setattr(Plan, "compose", refused)
    ended = train("-m", *TINY, "model=none,gated", "seed=0,1", "sweep=mine")
    assert ended.code == 2
    assert "3 runs finished, 1 failed" in ended.out
    assert "failed: job 4: no such job: 3" in ended.out
