"""A study's runs in processes of their own: how they end, and that a study which is really killed goes on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import pytest
from conftest import LONG, Command, start
from forked import Forked
from scipy import stats
from test_compare_statistics import by_hand
from test_study import HOLD, WORDS, row, state

from attn_train.study import process
from attn_train.study.process import Ended

FAKE = """
import json, pathlib, sys, time
folder = pathlib.Path(FOLDER)
words = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
folder.mkdir(parents=True, exist_ok=True)
time.sleep(0.1)
correct = 9000 + 37 * int(words["seed"]) % 50 + 40 * (words["model"] == "gated") * (int(words["seed"]) % 3)
counts = {"correct": correct, "total": 10000, "test_accuracy": correct / 10000}
(folder / "result.json").write_text(json.dumps(counts | {"train_seconds": 0.1}))
"""


DRIVER = f"""
import sys
from attn_train.study import process
run = process.run
def run_fake(words, folder, stopped):
    process.PROGRAM = f"FOLDER={{str(folder)!r}}" + {FAKE!r}
    return run(words, folder, stopped)
process.run = run_fake
"""


def wait_for_rows(sweep: Path, count: int, process: Forked) -> None:
    deadline = time.monotonic() + 120
    while not (sweep / "runs.jsonl").exists() or (sweep / "runs.jsonl").read_text().count("\n") < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_study_goes_on(tmp_path: Path) -> None:
    """Ctrl-C, SIGTERM and SIGKILL in turn; the end is that of a study that was never stopped."""
    sweep = tmp_path / "outputs" / "mine"
    for count, (number, code) in enumerate(
        [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)], start=1
    ):
        stopped = start(tmp_path, *WORDS, prelude=DRIVER, command="study")
        wait_for_rows(sweep, 3 * count, stopped)
        stopped.send_signal(number)
        out, err = stopped.communicate(timeout=60)
        assert stopped.returncode == code, err
        assert "Traceback" not in err
        if code > 0:
            assert err == "attn-study: stopped; the same command again goes on in outputs/mine\n"
            assert "no verdict comes before 5 seeds" in out
    time.sleep(0.5)  # the run that the kill left alone ends by itself
    last = start(tmp_path, *WORDS, prelude=DRIVER, command="study")
    out, err = last.communicate(timeout=120)
    assert last.returncode == 0, err
    rows = [json.loads(line) for line in (sweep / "runs.jsonl").read_text().splitlines()]
    finished = [(one["arm"], one["seed"]) for one in rows if not one["exit_code"]]
    assert len(finished) == len(set(finished))
    other = start(tmp_path, *WORDS[:-1], "sweep=other", prelude=DRIVER, command="study")
    told, err = other.communicate(timeout=120)
    assert other.returncode == 0, err
    assert state(sweep)["arms"] == state(tmp_path / "outputs" / "other")["arms"]
    assert row(out, "gated") == row(told, "gated")


def test_how_a_run_can_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(program: str, stopped: Callable[[], bool] = lambda: False) -> Ended:
        monkeypatch.setattr(process, "PROGRAM", program)
        return process.run(["word"], tmp_path, stopped)

    assert (end("import sys; assert sys.argv[1:] == ['word']").exit_code, end("pass").reason) == (0, "")
    failed = end("import sys; sys.exit('warning\\nattn-train: no such thing')")
    assert (failed.exit_code, failed.reason) == (1, "no such thing")
    silent = end("import sys; sys.exit(3)")
    assert (silent.exit_code, silent.reason) == (3, "ended with exit code 3")
    killed = end("import os; os.kill(os.getpid(), 9)")
    assert (killed.exit_code, killed.reason) == (137, "killed by signal 9")
    asked = end("import time; time.sleep(60)", lambda: True)
    assert asked.exit_code == 143
    assert asked.seconds < 30
    left = f"import json, sys, time; open({str(tmp_path / 'failure.json')!r}, 'w').write(json.dumps("
    recorded = end(left + "{'reason': 'it was so', 'exit_code': 4, 'time': time.time()})); sys.exit(4)")
    assert (recorded.exit_code, recorded.reason) == (4, "it was so")
    # What an earlier run left there is no reason of this one's.
    assert end("import sys; sys.exit(3)").reason == "ended with exit code 3"


def test_a_run_that_a_killed_study_left_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "PROGRAM", "pass")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert process.run([], tmp_path, lambda: False).exit_code == 0
        assert other.wait() == 0
    out = capsys.readouterr().out
    assert f"waiting: {tmp_path} is being trained by process {other.pid}" in out
    assert out.count("waiting") == 1


@pytest.mark.slow
def test_with_attn_train_itself(study: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that is stopped within a run: that run goes on at its step; every run is one of attn-train."""
    recipe = ",".join([*LONG, "dataset.val_size=0", "train.epochs=2"])
    words = ("arms=[none,se]", f"recipe=[{recipe}]", "max_seeds=5", "sweep=mine", "margin=0.01")
    sweep = tmp_path / "outputs" / "mine"
    stopped = start(tmp_path, *words, command="study")
    deadline = time.monotonic() + 200
    while not any(path.read_text().count('"train"') >= 3 for path in sweep.glob("se_*_seed0_*/metrics.jsonl")):
        assert stopped.poll() is None, stopped.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    stopped.send_signal(signal.SIGTERM)
    _, err = stopped.communicate(timeout=120)
    assert stopped.returncode == 143, err
    (log,) = sweep.glob("se_*_seed0_*/attn-train.log")
    with open(os.devnull, "wb") as nowhere:
        # Without the pictures of each run's end.
        program = f"from attn_train.commands import outcome; outcome.draw = lambda *_: None; {process.PROGRAM}"

        def fork(given: Sequence[str], errors: IO[bytes]) -> Forked:
            return Forked(program, *given, folder=tmp_path, out=nowhere, errors=errors)

        monkeypatch.setattr(process, "start", fork)
        ended = study(*words)
    assert ended.code == 0, ended.err
    assert re.search(r"going on at step \d+", log.read_text())
    found = {
        (path.parent.name.split("_")[0], json.loads(path.read_text())["seed"]) for path in sweep.glob("*/result.json")
    }
    assert found == {(arm, seed) for arm in ("none", "se") for seed in range(5)}
    accuracies = {
        arm: [
            json.loads(next(sweep.glob(f"{arm}_*_seed{seed}_*/result.json")).read_text())["test_accuracy"]
            for seed in range(5)
        ]
        for arm in ("none", "se")
    }
    table = [{seed: 100 * one for seed, one in enumerate(accuracies[arm])} for arm in ("none", "se")]
    mean, error, freedom = by_hand(table, 1, 0)
    half = error * stats.t.ppf(0.975, freedom)
    told = state(sweep)["arms"]["se"]
    assert (told["low"], told["high"]) == pytest.approx((mean - half, mean + half))
    (row,) = [line for line in ended.out.splitlines() if line.startswith("se ")]
    in_words = row.split("  ")[-1].strip()
    assert in_words.startswith(told["verdict"])
    assert f"| {in_words} |" in (sweep / "report" / "report.md").read_text()
