"""The jobs of a command, one after the other: none ends the others, and what another process trains at the moment
comes last."""

import logging
import math
import time
from functools import partial
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from attn_train import build
from attn_train.commands import plugged, run, sweep
from attn_train.commands.plan import Plan, claim, settings_of
from attn_train.runs import failure, result
from attn_train.runs.failure import Failure
from attn_train.runs.lock import holder, locked
from attn_train.settings import compose, multirun, saved
from attn_train.writing.text import printable

log = logging.getLogger(__name__)


def train_job(job: DictConfig, folder: Path) -> float:
    """Train a composed job in `folder`, which this process holds; return its accuracy, for a sweeper."""
    settings = settings_of(job, multirun.given_words(job.hydra, "task"))
    config = compose.to_config(settings)
    if job.resume is None:
        config = saved.continued(folder, config, build.resolution(config))
    references = compose.from_environment(settings)
    tunes = job.hydra.mode == RunMode.MULTIRUN and not multirun.is_basic(job.hydra.sweeper)
    if tunes and not build.has_validation(config.dataset):
        log.warning("tuning on test accuracy is not honest; hold out images of train with dataset.val_size=5000")
    return result.objective(run.train_alone(config, folder, references, snapshot_of(job)))


def snapshot_of(job: DictConfig) -> dict[str, str]:
    """Return the texts of Hydra's usual .hydra/ folder by file name."""
    files = {
        "config.yaml": OmegaConf.masked_copy(job, [str(name) for name in job if name != "hydra"]),
        "hydra.yaml": OmegaConf.masked_copy(job, "hydra"),
        "overrides.yaml": job.hydra.overrides.task,
    }
    return {name: OmegaConf.to_yaml(content) for name, content in files.items()}


def begin(job: DictConfig, folder: Path, mode: RunMode) -> None:
    """Let a composed job have its folder: for its log, and for what ${hydra:...} refers to."""
    with read_write(job.hydra), open_dict(job.hydra):
        job.hydra.mode = mode
        job.hydra.runtime.output_dir = str(folder.absolute())
    HydraConfig.instance().set_config(job)
    folder.mkdir(parents=True, exist_ok=True)
    configure_log(job.hydra.job_logging, job.hydra.verbose)


def run_single(planned: Plan) -> None:
    """Run the one job of a command that is no sweep."""
    job = planned.composed[0]
    begin(job, planned.folder, RunMode.RUN)
    with locked(planned.folder):
        try:
            train_job(job, planned.folder)
        except Exception as error:
            failure.record(planned.folder, error)
            raise


class Jobs:
    """The jobs of a sweep, and how they ended."""

    def __init__(self) -> None:
        self.started = time.time()
        # By a job's name, its folder in the sweep's.
        self.overrides: dict[str, list[str]] = {}
        self.failures: dict[str, Failure] = {}

    def run(self, planned: Plan) -> None:
        """Run all jobs of a sweep in this process; one that another process holds comes last."""
        configure_log(planned.asked.hydra.hydra_logging, planned.asked.hydra.verbose)  # until the first job has its own
        planned.folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(planned.asked, planned.folder / "multirun.yaml")
        postponed = [number for number in range(len(planned.jobs)) if not self.run_job(planned, number, postpone=True)]
        for number in postponed:
            self.run_job(planned, number, postpone=False)

    def run_job(self, planned: Plan, number: int, postpone: bool) -> bool:
        """Run a job; with `postpone` not one that another process holds. Say whether it was run."""
        name = f"job {number + 1}"  # until its configuration says what its folder is called
        try:
            # Let go once it is run: each takes a quarter of a megabyte.
            job = planned.composed.pop(number, None) or planned.compose(number)
            name = multirun.folder_of(job, "hydra.sweep.subdir", number)
            folder, words = planned.folder / name, multirun.given_words(job.hydra, "task")
            self.overrides[name] = words
            claim(folder, "hydra.sweep.dir")
            if postpone and (other := holder(folder)):
                print(printable(f"left for the end: {folder} is being trained by process {other}"), flush=True)
                planned.composed[number] = job
                return False
            print(printable(f"job {number + 1} of {len(planned.jobs)}: {' '.join(words)}"), flush=True)
            begin(job, folder, RunMode.MULTIRUN)
            self.attempt(job, folder)
        except Exception as error:
            self.overrides.setdefault(name, planned.jobs[number])
            self.failures[name] = failure.describe(error)
            log.error("job %s failed: %s", name, self.failures[name].reason)
        return True

    def task(self, composed: DictConfig) -> float:
        """Do a job that one of Hydra's launchers or sweepers hands over, in whatever process that is; return its
        accuracy, or NaN where it failed."""
        job = composed.copy()
        with read_write(job), open_dict(job):
            job.hydra = HydraConfig.get()
        return self.attempt(job, shortest(Path(job.hydra.runtime.output_dir)))

    def attempt(self, job: DictConfig, folder: Path) -> float:
        """Train a job once no other process does; return its accuracy, or NaN where it failed, which ends no sweep."""
        plugged.offer_again(job)
        name = str(job.hydra.sweep.subdir)
        self.overrides[name] = multirun.given_words(job.hydra, "task")
        hidden = str(job.dataset.url) if "dataset.url" in compose.from_environment(job) else None
        outcome = sweep.run_job(partial(train_job, job, folder), folder, self.started, hidden)
        if isinstance(outcome, Failure):
            self.failures[name] = outcome
            return math.nan
        return outcome


def shortest(path: Path) -> Path:
    """Return `path` as seen from the working folder where it lies below it: the form that a person would type."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
