"""A sweep of many jobs: what fails is recorded while the others go on, and a table stands at the end."""

import json
import logging
import math
import statistics
import time
import traceback
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from attn_train import accuracy, errors, result, run
from attn_train.config import Config
from attn_train.text import printable

FAILURE = "failure.json"

log = logging.getLogger(__name__)


def run_job(config: Config, folder: Path, references: dict[str, str], snapshot: dict[str, str]) -> float:
    """Run one job; return its accuracy, or NaN for a job that failed, after leaving in its folder why."""
    failure = folder / FAILURE
    failure.unlink(missing_ok=True)
    try:
        return result.objective(run.train(config, folder, references, snapshot))
    # SystemExit too: Hydra would end the whole sweep by it.
    except (Exception, SystemExit) as error:
        expected = errors.expected(error)
        if expected is None:
            log.error("".join(traceback.format_exception(error)))
        reason = str(expected or f"unexpected {type(error).__name__}: {error}")
        if config.dataset.url and "dataset.url" in references:
            reason = reason.replace(config.dataset.url, "dataset.url")  # which may hold a secret
        log.error("job %s failed: %s", folder.name, reason)
        left = {"reason": reason, "exit_code": expected.exit_code if expected else 1, "time": time.time()}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            failure.write_text(json.dumps(left) + "\n", encoding="utf-8")
        except OSError:
            # Without its record the table would not count it: it is told at the end of the command.
            raise expected or error from error
        return float("nan")


@dataclass(frozen=True)
class Job:
    """A job's folder, as found."""

    name: str
    overrides: dict[str, str]
    result: dict[str, Any] | None
    failure: dict[str, Any] | None


def read_jobs(sweep: Path) -> list[Job]:
    """Return the jobs in a sweep's folder, by name."""
    jobs = []
    for folder in sorted(path.parent.parent for path in sweep.glob("*/.hydra/overrides.yaml")):
        overrides = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text(encoding="utf-8")) or []
        failure = json.loads((folder / FAILURE).read_text(encoding="utf-8")) if (folder / FAILURE).exists() else None
        settings = dict(one.split("=", 1) for one in overrides if "=" in one)
        jobs.append(Job(folder.name, settings, result.read(folder), failure))
    return jobs


def print_arms(arms: dict[str, list[dict[str, Any]]]) -> None:
    """Print a row for each arm, given the results of its runs: the best validation accuracy first; arms that held no
    images out have a table of their own, by name."""
    width = max(len(label) for label in arms)
    judged = {label: accuracy.split_of(found) for label, found in arms.items() if found}
    without_result = "val" if "val" in judged.values() else "test"
    for split, word in accuracy.WORDS.items():
        values = {
            label: [accuracy.accuracy(one, split) for one in found]
            for label, found in arms.items()
            if judged.get(label, without_result) == split
        }
        labels = list(values)
        if split == "val":
            labels.sort(key=lambda label: -statistics.mean(values[label] or [-math.inf]))
        if labels:
            print(f"\n{'':{width}}  runs  {word:>10} accuracy  deviation  seconds a run")
        for label in labels:
            mean = f"{statistics.mean(values[label]):.2f} %" if values[label] else "-"
            deviation = f"{statistics.stdev(values[label]):.2f}" if len(values[label]) > 1 else "-"
            seconds = f"{statistics.mean(one['train_seconds'] for one in arms[label]):.1f}" if arms[label] else "-"
            print(f"{label:{width}}  {len(values[label]):4}  {mean:>19}  {deviation:>9}  {seconds:>13}")


def report(sweep: Path, since: float) -> int:
    """Print a sweep's table, a row for each combination of all but the seed.

    Returns the exit code of the first job that failed after the time `since`, or 0.
    """
    jobs = read_jobs(sweep)
    if not jobs:
        return 0
    keys = {key for job in jobs for key in job.overrides if key.split(".")[0] not in ("seed", "seeds")}
    varied = sorted(key for key in keys if len({job.overrides.get(key) for job in jobs}) > 1)
    arms: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for job in jobs:
        label = printable(" ".join(f"{key}={job.overrides[key]}" for key in varied if key in job.overrides))
        arms[label or job.name.split("_seed")[0]] += [job.result] if job.result is not None else []
    print_arms(arms)
    failed = [(job.name, job.failure) for job in jobs if job.failure is not None]
    print(f"{sum(len(found) for found in arms.values())} runs finished, {len(failed)} failed; in {sweep}")
    for name, failure in failed:
        print(printable(f"  failed: {name}: {failure['reason']}"))
    print(f"look at them: tensorboard --logdir {sweep}")
    return next((int(failure["exit_code"]) for _, failure in failed if failure["time"] >= since), 0)
