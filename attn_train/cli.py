"""The commands: from the words of a command line to what they stand for.

Nothing here imports torch until a run is certain, so that --help, --cfg and completion answer at once.
"""

import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from attn_train import errors
from attn_train.commands.exit_codes import exit_codes
from attn_train.commands.plan import Plan, claim, give_up, make_plan, name_jobs, settings_of
from attn_train.compare.help import HELP as COMPARE_HELP
from attn_train.cost.bench.help import HELP
from attn_train.machine import surroundings
from attn_train.settings import compose, saved, words
from attn_train.settings.explain import explain
from attn_train.settings.multirun import given_words, is_basic
from attn_train.study.arms import words_of
from attn_train.study.help import HELP as STUDY_HELP
from attn_train.writing.quoting import setting

if TYPE_CHECKING:
    from attn_train.commands import jobs

log = logging.getLogger(__name__)


def train_job(job: DictConfig, folder: Path) -> float:
    """Train a composed job in `folder`, which this process holds; return its accuracy, for a sweeper."""
    from attn_train import build
    from attn_train.commands import run
    from attn_train.runs import result

    settings = settings_of(job, given_words(job.hydra, "task"))
    config = build.decide_resolution(compose.to_config(settings))
    if job.resume is None:
        config = saved.continued(folder, config)
    references = compose.from_environment(settings)
    tunes = job.hydra.mode == RunMode.MULTIRUN and not is_basic(job.hydra.sweeper)
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


def train() -> None:
    """Run the command attn-train."""
    compose.register()
    with exit_codes("attn-train"):
        options = compose.parse(sys.argv[1:])
        if compose.asks_only(options):
            compose.answer(options)
            return
        surroundings.refuse_twins()
        planned = make_plan(options)
        from attn_train.commands import jobs

        if planned.is_sweep:
            run_sweep(planned)
            return
        try:
            jobs.run_single(planned, train_job)
        except Exception:
            give_up(planned)
            raise


def run_sweep(planned: Plan) -> None:
    """Run a sweep, and print its table whatever became of its jobs; exit with the code of the first that failed."""
    from attn_train.commands import jobs, sweep

    begun = jobs.Jobs(train_job)
    ended: Exception | None = None
    try:
        if planned.needs_hydra:
            launch(planned, begun)
        else:
            begun.run(planned)
    except Exception as error:
        if isinstance(error, errors.ConfigError) and not begun.overrides:
            raise  # nothing began
        ended = error
    # A launcher with processes of its own tells nothing of its jobs here.
    named = begun.overrides if len(begun.overrides) >= len(planned.jobs) else name_jobs(planned)
    code = sweep.report(planned.folder, begun.started, named, begun.failures)
    if ended is not None:
        raise ended
    if code:
        sys.exit(code)


def launch(planned: Plan, begun: "jobs.Jobs") -> None:
    """Have the sweeper and the launcher that were named run the jobs; raise ConfigError in one line for what Hydra
    finds wrong with the configuration."""
    options = planned.options
    # From the run's own folder, dataset.root and every other relative path would lead elsewhere.
    pinned = [setting("hydra.sweep.dir", planned.folder), "hydra.mode=MULTIRUN", "hydra.job.chdir=false"]
    try:
        with compose.loaded(options) as hydra:
            hydra.multirun(options.config_name or "config", begun.task, [*options.overrides, *pinned])
    except (HydraException, OmegaConfBaseException) as error:
        raise errors.ConfigError(explain(error, compose.GROUPS, compose.settings)) from error


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
