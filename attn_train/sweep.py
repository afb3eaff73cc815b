"""A sweep of many jobs: what fails is recorded while the others go on, and a table stands at the end."""

import json
import logging
import statistics
import time
import traceback
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from attn_train import errors, result, run
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
    width = max(len(label) for label in arms)
    print(f"\n{'':{width}}  runs    mean accuracy  deviation  seconds a run")
    for label, found in arms.items():
        accuracies = [100 * one["test_accuracy"] for one in found]
        mean = f"{statistics.mean(accuracies):.2f} %" if accuracies else "-"
        deviation = f"{statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else "-"
        seconds = f"{statistics.mean(one['train_seconds'] for one in found):.1f}" if found else "-"
        print(f"{label:{width}}  {len(found):4}  {mean:>15}  {deviation:>9}  {seconds:>13}")
    failed = [(job.name, job.failure) for job in jobs if job.failure is not None]
    print(f"{sum(len(found) for found in arms.values())} runs finished, {len(failed)} failed; in {sweep}")
    for name, failure in failed:
        print(printable(f"  failed: {name}: {failure['reason']}"))
    print(f"look at them: tensorboard --logdir {sweep}")
    return next((int(failure["exit_code"]) for _, failure in failed if failure["time"] >= since), 0)
