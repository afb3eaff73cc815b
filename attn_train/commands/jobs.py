"""The jobs of a command as Hydra's launcher hands them over: none ends the others, and what another process trains at
the moment comes last."""

import logging
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins import basic_launcher
from hydra.core import utils
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, run_job
from hydra.types import RunMode
from omegaconf import DictConfig

from attn_train.commands.plan import Plan, claim
from attn_train.runs import failure
from attn_train.runs.failure import Failure
from attn_train.runs.lock import holder, locked
from attn_train.settings import compose
from attn_train.settings.multirun import folder_of, given_words

log = logging.getLogger(__name__)


class Jobs:
    """The jobs of one command, and how they ended; `train` trains one in its folder, which this process holds."""

    def __init__(self, train: Callable[[DictConfig, Path], float]) -> None:
        self.train = train
        self.started = time.time()
        self.error: Exception | None = None  # of the single job of a command that is no sweep
        # Of a sweep, by a job's name: its folder in the sweep's.
        self.overrides: dict[str, list[str]] = {}
        self.failures: dict[str, Failure] = {}
        self._postponed: list[dict[str, Any]] = []
        self._may_postpone = False

    def install(self, planned: Plan) -> None:
        """Have Hydra's launchers run their jobs by `run`."""
        self._may_postpone = bool(planned.jobs)  # another sweeper wants each job's accuracy at once
        for module in (utils, basic_launcher):
            module.run_job = self.run  # type: ignore[attr-defined]

    def task(self, composed: DictConfig) -> float:
        """Do a job, in whatever process the launcher does it; return its accuracy, or NaN where it failed.

        Hydra would print a line of its own for an exception that reaches it, and end the sweep by some.
        """
        hydra_config = HydraConfig.get()
        folder = shortest(Path(hydra_config.runtime.output_dir))
        if hydra_config.mode != RunMode.MULTIRUN:
            try:
                with locked(folder):
                    return self.train(composed, folder)
            except Exception as error:
                self.error = error
                return math.nan
        from attn_train.commands import sweep

        hidden = str(composed.dataset.url) if "dataset.url" in compose.from_environment(composed) else None
        outcome = sweep.run_job(partial(self.train, composed, folder), folder, self.started, hidden)
        if isinstance(outcome, Failure):
            self.failures[str(hydra_config.sweep.subdir)] = outcome
            return math.nan
        return outcome

    def run(self, **options: Any) -> JobReturn:
        """Run a job of a sweep as Hydra does, without the copies of its configuration that Hydra keeps to the end:
        0.25 MB each. One that another process holds comes last."""
        config = options["config"]
        name = folder_of(config, "hydra.sweep.subdir")
        self.overrides[name] = given_words(config.hydra, "task")
        done = JobReturn(overrides=self.overrides[name], status=JobStatus.COMPLETED, _return_value=math.nan)
        try:
            folder = Path(folder_of(config, "hydra.sweep.dir")) / name
            claim(folder, "hydra.sweep.dir")
            if self._may_postpone and (other := holder(folder)):
                print(f"left for the end: {folder} is being trained by process {other}", flush=True)
                self._postponed.append(options)
                return done
            done = run_job(**options)
            done.cfg = done.hydra_cfg = None
        except Exception as error:
            self.failures[name] = failure.describe(error)
            log.error("job %s failed: %s", name, self.failures[name].reason)
        return done

    def finish(self) -> None:
        """Run the jobs that other processes held when their turn came."""
        self._may_postpone = False
        for options in self._postponed:
            self.run(**options)


def shortest(path: Path) -> Path:
    """Return `path` as seen from the working folder where it lies below it: the form that a person would type."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
