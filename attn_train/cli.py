"""The commands: from the words of a command line to what they stand for.

Nothing here imports torch until a run is certain, so that --help, --cfg and completion answer at once.
"""

import logging
import sys
import time
from pathlib import Path
from typing import Any

import hydra
from hydra.core import utils
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, run_job
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from attn_train import compose, errors, saved, surroundings
from attn_train.bench.help import HELP
from attn_train.compare.help import HELP as COMPARE_HELP
from attn_train.exit_codes import exit_codes
from attn_train.plan import claim, give_up, make_plan, settings_of
from attn_train.study.arms import words_of
from attn_train.study.help import HELP as STUDY_HELP

log = logging.getLogger(__name__)


def job(composed: DictConfig) -> float:
    """Run one job that Hydra hands over; return its accuracy, for a sweeper."""
    from attn_train import build, result, run, sweep

    hydra_config = HydraConfig.get()
    folder = shortest(Path(hydra_config.runtime.output_dir))
    settings = settings_of(composed, list(hydra_config.overrides.task))
    config = build.decide_resolution(compose.to_config(settings))
    if composed.resume is None:
        config = saved.continued(folder, config)
    references = compose.from_environment(settings)
    snapshot = snapshot_of(composed, hydra_config)
    if hydra_config.mode != RunMode.MULTIRUN:
        return result.objective(run.train(config, folder, references, snapshot))
    tunes = "BasicSweeper" not in str(hydra_config.sweeper.get("_target_"))
    if tunes and not build.has_validation(config.dataset):
        log.warning("tuning on test accuracy is not honest; hold out images of train with dataset.val_size=5000")
    return sweep.run_job(config, folder, references, snapshot)


def shortest(path: Path) -> Path:
    """Return `path` as seen from the working folder where it lies below it: the form that a person would type."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def snapshot_of(composed: DictConfig, hydra_config: Any) -> dict[str, str]:
    """Return the texts of Hydra's usual .hydra/ folder by file name."""
    files = {
        "config.yaml": composed,
        "hydra.yaml": OmegaConf.create({"hydra": hydra_config}),
        "overrides.yaml": hydra_config.overrides.task,
    }
    return {name: OmegaConf.to_yaml(content) for name, content in files.items()}


def forgetful(*arguments: Any, **options: Any) -> JobReturn:
    """Run a job of a sweep as Hydra does, without the copies of its configuration that Hydra keeps to the end: 0.25 MB
    each."""
    done = run_job(*arguments, **options)
    done.cfg = done.hydra_cfg = None
    return done


def train() -> None:
    """Run the command attn-train."""
    compose.register()
    failed: list[Exception] = []

    def quietly(composed: DictConfig) -> float:
        # Hydra would print a line of its own for an exception that reaches it.
        try:
            return job(composed)
        except Exception as error:
            failed.append(error)
            return float("nan")

    utils.run_job = forgetful  # before Hydra loads its launchers, which take it from there
    run_hydra = hydra.main(version_base="1.3", config_path=str(compose.CONF), config_name="config")(quietly)
    with exit_codes("attn-train"):
        # Hydra takes -m only before or after all overrides; people put it anywhere.
        flags = [one for one in sys.argv[1:] if one in ("-m", "--multirun")]
        arguments = flags[:1] + [one for one in sys.argv[1:] if one not in flags]
        if compose.asks_only(compose.parse(arguments)):
            run_hydra()
            return
        surroundings.refuse_twins()
        planned = make_plan(arguments)
        # From the run's own folder, dataset.root and every other relative path would lead elsewhere.
        sys.argv[1:] = [*planned.arguments, "hydra.job.chdir=false"]
        started = time.time()
        run_hydra()
        if failed:
            give_up(planned)
            raise failed[0]
        if planned.multirun:
            from attn_train import sweep

            code = sweep.report(planned.folder, started)
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
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
        from attn_train.evaluation import main

        main(arguments, claim)


def bench() -> None:
    """Run the command attn-bench."""
    compose.register()
    with exit_codes("attn-bench"):
        arguments = sys.argv[1:]
        if {"-h", "--help"} & set(arguments):
            print(HELP)
            return
        if options := [one for one in arguments if one.startswith("-")]:
            raise errors.ConfigError(f"attn-bench has no option {options[0]}; attn-bench --help shows its settings")
        surroundings.refuse_twins()
        config = compose.bench(arguments)
        from attn_train.bench.command import main

        main(config, claim)


def compare() -> None:
    """Run the command attn-compare."""
    compose.register()
    with exit_codes("attn-compare"):
        if not sys.argv[1:] or {"-h", "--help"} & set(sys.argv[1:]):
            print(COMPARE_HELP)
            return
        from attn_train.compare.command import main

        main(sys.argv[1:], claim)


def study() -> None:
    """Run the command attn-study."""
    compose.register()
    with exit_codes("attn-study"):
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(STUDY_HELP)
            return
        surroundings.refuse_twins()
        config = compose.study(words_of(sys.argv[1:]))
        from attn_train.study.command import main

        main(config, claim)


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
