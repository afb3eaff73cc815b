"""The commands: from the words of a command line to what they stand for.

Nothing here imports torch until a run is certain, so that --help, --cfg and completion answer at once.
"""

import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from attn_train import errors
from attn_train.commands.exit_codes import exit_codes
from attn_train.commands.jobs import Jobs
from attn_train.commands.plan import Plan, claim, give_up, make_plan, name_jobs, settings_of
from attn_train.compare.help import HELP as COMPARE_HELP
from attn_train.cost.bench.help import HELP
from attn_train.machine import surroundings
from attn_train.settings import compose, saved, words
from attn_train.settings.explain import explain
from attn_train.settings.multirun import given_words, is_basic
from attn_train.study.arms import words_of
from attn_train.study.help import HELP as STUDY_HELP

log = logging.getLogger(__name__)


def train_job(composed: DictConfig, folder: Path) -> float:
    """Train the job that Hydra composed, in `folder`, which this process holds; return its accuracy, for a sweeper."""
    from attn_train import build
    from attn_train.commands import run
    from attn_train.runs import result

    hydra_config: Any = HydraConfig.get()
    settings = settings_of(composed, given_words(hydra_config, "task"))
    config = build.decide_resolution(compose.to_config(settings))
    if composed.resume is None:
        config = saved.continued(folder, config)
    references = compose.from_environment(settings)
    tunes = hydra_config.mode == RunMode.MULTIRUN and not is_basic(hydra_config.sweeper)
    if tunes and not build.has_validation(config.dataset):
        log.warning("tuning on test accuracy is not honest; hold out images of train with dataset.val_size=5000")
    return result.objective(run.train_alone(config, folder, references, snapshot_of(composed, hydra_config)))


def snapshot_of(composed: DictConfig, hydra_config: Any) -> dict[str, str]:
    """Return the texts of Hydra's usual .hydra/ folder by file name."""
    files = {
        "config.yaml": composed,
        "hydra.yaml": OmegaConf.create({"hydra": hydra_config}),
        "overrides.yaml": hydra_config.overrides.task,
    }
    return {name: OmegaConf.to_yaml(content) for name, content in files.items()}


def train() -> None:
    """Run the command attn-train."""
    compose.register()
    jobs = Jobs(train_job)
    run_hydra = hydra.main(version_base="1.3", config_path=str(compose.CONF), config_name="config")(jobs.task)
    with exit_codes("attn-train"):
        arguments = words.arranged(sys.argv[1:])
        sys.argv[1:] = arguments
        options = compose.parse(arguments)
        if compose.asks_only(options):
            with compose.in_one_line(options.overrides, options):
                run_hydra()
            return
        surroundings.refuse_twins()
        planned = make_plan(arguments)
        # From the run's own folder, dataset.root and every other relative path would lead elsewhere.
        sys.argv[1:] = [*planned.arguments, "hydra.job.chdir=false"]
        if planned.multirun:
            run_sweep(planned, jobs, run_hydra)
            return
        launch(run_hydra)
        if jobs.error is not None:
            give_up(planned)
            raise jobs.error


def launch(run_hydra: Callable[[], None]) -> None:
    """Have Hydra run its job or jobs; raise ConfigError in one line for what it finds wrong with the configuration."""
    try:
        run_hydra()
    except (HydraException, OmegaConfBaseException) as error:
        raise errors.ConfigError(explain(error, compose.GROUPS, compose.settings)) from error


def run_sweep(planned: Plan, jobs: Jobs, run_hydra: Callable[[], None]) -> None:
    """Run a sweep, and print its table whatever became of its jobs; exit with the code of the first that failed."""
    from attn_train.commands import sweep

    jobs.install(planned)
    ended: Exception | None = None
    try:
        launch(run_hydra)
        jobs.finish()
    except Exception as error:
        if isinstance(error, errors.ConfigError) and not jobs.overrides:
            raise  # nothing began
        ended = error
    # A launcher with processes of its own tells nothing of its jobs here.
    named = jobs.overrides if len(jobs.overrides) >= len(planned.jobs) else name_jobs(planned)
    code = sweep.report(planned.folder, jobs.started, named, jobs.failures)
    if ended is not None:
        raise ended
    if code:
        sys.exit(code)


def evaluate() -> None:
    """Run the command attn-eval."""
    compose.register()
    with exit_codes("attn-eval"):
        arguments = sys.argv[1:]
        if not arguments or {"-h", "--help"} & set(arguments):
            print(EVAL_HELP)
            return
        words.refuse_options("attn-eval", arguments)
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
        from attn_train.commands.evaluation import main

        main(arguments, claim)


def bench() -> None:
    """Run the command attn-bench."""
    compose.register()
    with exit_codes("attn-bench"):
        arguments = sys.argv[1:]
        if {"-h", "--help"} & set(arguments):
            print(HELP)
            return
        words.refuse_options("attn-bench", arguments)
        surroundings.refuse_twins()
        config = compose.bench(arguments)
        from attn_train.cost.bench.command import main

        main(config, partial(claim, setting="output"))


def compare() -> None:
    """Run the command attn-compare."""
    compose.register()
    with exit_codes("attn-compare"):
        if not sys.argv[1:] or {"-h", "--help"} & set(sys.argv[1:]):
            print(COMPARE_HELP)
            return
        words.refuse_options("attn-compare", sys.argv[1:])
        from attn_train.compare.command import main

        main(sys.argv[1:], partial(claim, setting="output"))


def study() -> None:
    """Run the command attn-study."""
    compose.register()
    with exit_codes("attn-study"):
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(STUDY_HELP)
            return
        words.refuse_options("attn-study", sys.argv[1:])
        surroundings.refuse_twins()
        config = compose.study(words_of(sys.argv[1:]))
        from attn_train.study.command import main

        main(config, partial(claim, setting="sweep"))


EVAL_HELP = """\
attn-eval: test a finished run again, from its checkpoint.

  attn-eval run=RUN [SETTING=VALUE] ...

run=RUN               a run's folder, outputs/DATE/TIME_MODEL_DATASET_ID
checkpoint=last       or best: the best on validation images, where the run had some
split=test            or train, val
image=PATH            instead: name what is on a picture, or on each picture in a folder, and draw the attention over it
output=FOLDER         where to draw that; otherwise in RUN/attention
export=FILE           instead: write the network to FILE.safetensors, which any program reads without running code
eval.views=1          or 2 (with the mirror image), 6 (also shifted by a pixel); the run's own where not given

Settings that matter to a test can be given too: another place for the run's data (dataset.root=PATH), other data
(dataset=image_folder dataset.root=PATH), another device (device=cpu), eval.batch_size. Of a folder that the run was
not trained on all pictures are tested (PATH/CLASS/*), or those of the split (PATH/{train,val,test}/CLASS/*); classes
may be missing.

Examples
  attn-eval run=outputs/2026-01-31/12-00-00_gated_cifar10_a1b2c3
  attn-eval run=... split=val checkpoint=best
  attn-eval run=... image=cat.jpg"""
