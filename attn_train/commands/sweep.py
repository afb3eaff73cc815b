"""A sweep of many jobs: what fails is recorded while the others go on, and a table stands at the end."""

import logging
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from attn_train.runs import accuracy, failure, result
from attn_train.runs.failure import Failure
from attn_train.runs.lock import locked
from attn_train.writing.quoting import pasted
from attn_train.writing.text import aligned, printable

log = logging.getLogger(__name__)


def run_job(train: Callable[[], float], folder: Path, since: float, secret: str | None) -> float | Failure:
    """Run one job by `train`, once no other process trains in `folder`; return its accuracy, or why it failed, which it
    leaves in the folder, too, without `secret`.

    A job that another process tried after the time `since` is not tried again where it failed there.
    """
    try:
        with locked(folder, wait=True):
            before = failure.read(folder)
            outcome = before if before is not None and before.time >= since else attempt(train, folder, secret)
    except Exception as error:  # the lock, which cannot be had in a folder that cannot be written
        outcome = failure.describe(error, secret)
    if isinstance(outcome, Failure):
        log.error("job %s failed: %s", folder.name, outcome.reason)
    return outcome


def attempt(train: Callable[[], float], folder: Path, secret: str | None) -> float | Failure:
    """Do what `run_job` says, in a folder that this process holds."""
    try:
        return train()
    # SystemExit too: Hydra would end the whole sweep by it.
    except (Exception, SystemExit) as error:
        outcome = failure.describe(error, secret)
        with suppress(OSError):
            failure.write(folder, outcome)
        return outcome


@dataclass(frozen=True)
class Job:
    """A job of a sweep, as its folder and its command tell."""

    name: str
    overrides: dict[str, str]
    result: dict[str, Any] | None
    failure: Failure | None
    lost: str | None  # what a job of this command did not do, where it left neither a result nor a failure


def read_jobs(
    sweep: Path, since: float, planned: Mapping[str, Sequence[str]], failures: Mapping[str, Failure]
) -> list[Job]:
    """Return the jobs in a sweep's folder and those of its command, by name.

    That command began at the time `since`; `planned` are the overrides of its jobs, `failures` what it knows of those
    that failed, both by name.
    """
    folders = {path.parent.parent for path in sweep.glob("*/.hydra/overrides.yaml")}
    folders |= {path.parent for path in sweep.glob(f"*/{failure.NAME}")}
    jobs = []
    for name in sorted({folder.name for folder in folders} | set(planned)):
        folder = sweep / name
        settings = dict(word.split("=", 1) for word in planned.get(name, read_overrides(folder)) if "=" in word)
        finished, failed, lost = result.read(folder), failures.get(name) or failure.read(folder), None
        if failed is not None and failed.time < since and (finished is not None or name in planned):
            failed = None  # of an earlier command
        if name in planned and finished is None and failed is None:
            lost = "did not finish" if (folder / "config.yaml").exists() else "did not begin"
        jobs.append(Job(name, settings, finished, failed, lost))
    return jobs


def read_overrides(folder: Path) -> list[str]:
    """Return the overrides that a job began with; none where they cannot be read."""
    try:
        overrides = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_bytes())
    except (OSError, yaml.YAMLError):
        return []
    return [str(word) for word in overrides] if isinstance(overrides, list) else []


def report(sweep: Path, since: float, planned: Mapping[str, Sequence[str]], failures: Mapping[str, Failure]) -> int:
    """Print a sweep's table, a row for each combination of all but the seed, and the jobs that did not finish.

    The arguments are those of `read_jobs`. Returns the exit code of the first job that failed after the time `since`,
    1 where one was lost, or 0.
    """
    jobs = read_jobs(sweep, since, planned, failures)
    if not jobs:
        return 0
    print_table(jobs)
    failed = [(job.name, job.failure) for job in jobs if job.failure is not None]
    lost = [(job.name, job.lost) for job in jobs if job.lost is not None]
    counts = [f"{sum(job.result is not None for job in jobs)} runs finished", f"{len(failed)} failed"]
    counts += [f"{number} {lack}" for lack, number in Counter(lack for _, lack in lost).items()]
    print(f"{', '.join(counts)}; in {sweep}")
    for name, left in failed:
        print(printable(f"  failed: {name}: {left.reason}"))
    for name, lack in lost:
        print(f"  {lack}: {name}: its process left no word why")
    print(f"look at them: {pasted('tensorboard', '--logdir', sweep)}")
    codes = [left.exit_code for _, left in failed if left.time >= since]
    return codes[0] if codes else int(bool(lost))


def print_table(jobs: Sequence[Job]) -> None:
    """Print a row for each combination of all settings but the seed."""
    keys = {key for job in jobs for key in job.overrides if key.split(".")[0] not in ("seed", "seeds", "sweep")}
    varied = sorted(key for key in keys if len({job.overrides.get(key) for job in jobs}) > 1)
    arms: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for job in jobs:
        label = printable(" ".join(f"{key}={job.overrides[key]}" for key in varied if key in job.overrides))
        arms[label or job.name.split("_seed")[0]] += [job.result] if job.result is not None else []
    print_arms(arms)


def print_arms(arms: dict[str, list[dict[str, Any]]]) -> None:
    """Print a row for each arm, given the results of its runs: the best validation accuracy first; arms that held no
    images out have a table of their own, by name."""
    judged = {label: accuracy.split_of(results) for label, results in arms.items() if results}
    without_result = "val" if "val" in judged.values() else "test"
    for split, word in accuracy.WORDS.items():
        shown = [label for label in arms if judged.get(label, without_result) == split]
        values = {label: [accuracy.accuracy(result, split) for result in arms[label]] for label in shown}
        if split == "val":
            shown.sort(key=lambda label: -statistics.fmean(values[label] or [-math.inf]))
        rows = [arm_row(label, values[label], arms[label]) for label in shown]
        if rows:
            titles = ("", "runs", f"{word} accuracy", "deviation", "seconds a run")
            print(f"\n{aligned([titles, *rows], left=(0,))}")


def arm_row(label: str, accuracies: Sequence[float], results: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return an arm's row: its name, how many runs, the mean and standard deviation of their accuracy, their time."""
    if not results:
        return label, "0", "-", "-", "-"
    mean, std = accuracy.mean_and_std(accuracies)
    seconds = statistics.fmean(result["train_seconds"] for result in results)
    return label, str(len(results)), f"{mean:.2f} %", "-" if std is None else f"{std:.2f}", f"{seconds:.1f}"
