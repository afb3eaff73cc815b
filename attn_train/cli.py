"""The commands: from the words of a command line to a run, and from what goes wrong to one line and an exit code.

Nothing here imports torch until a run is certain, so that --help, --cfg and completion answer at once.
"""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from attn_train import compose, errors
from attn_train.config import Config

log = logging.getLogger(__name__)


@contextmanager
def exit_codes(command: str) -> Iterator[None]:
    """Turn what goes wrong inside into one line on stderr and an exit code; a traceback only for the unexpected."""
    wants_traceback = bool(os.environ.get("HYDRA_FULL_ERROR"))
    # Hydra would print and exit by itself; asked for the full error, it hands the exception over.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output went away (| head); nothing is lost.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except errors.Interrupted as stopped:
        print(f"{command}: {stopped}", file=sys.stderr)
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        print(f"{command}: stopped", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        expected = errors.expected(error)
        if expected is None or wants_traceback:
            traceback.print_exception(error)
        if expected is None:
            print(f"{command}: unexpected {type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(1)
        print(f"{command}: {expected}", file=sys.stderr)
        sys.exit(expected.exit_code)


def configuration_of(composed: DictConfig, overrides: list[str]) -> Config:
    """Return the configuration of a job: a resumed run's own, or the one composed."""
    if composed.resume is None:
        return compose.to_config(composed)
    return compose.resumed(Path(composed.resume), overrides, compose.parse([]))


def check(arguments: list[str]) -> list[str]:
    """Check every configuration that a command line stands for; return the command line to hand to Hydra.

    Raises for anything wrong before a folder is made. A sweep without a name is named after its overrides.
    """
    options = compose.parse(arguments)
    master = compose.compose(options.overrides, options) if not options.multirun else None
    multirun = options.multirun or (master is not None and master.hydra.mode == RunMode.MULTIRUN)
    jobs = [options.overrides]
    if multirun:
        jobs = compose.worth_checking(compose.expand(options.overrides))
        if not any(one.startswith("sweep=") for one in options.overrides):
            arguments = [*arguments, f"sweep={compose.sweep_name(options.overrides)}"]
    from attn_train import build

    for job in jobs:
        composed = compose.compose(job, options)
        config = configuration_of(composed, job)
        build.check(config)
        if not multirun:
            compose.continued(Path(composed.hydra.run.dir), config)
    return arguments


def job(composed: DictConfig) -> float:
    """Run one job that Hydra hands over; return its accuracy, for a sweeper."""
    from attn_train import result, run, sweep

    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    config = configuration_of(composed, list(hydra_config.overrides.task))
    config = compose.continued(folder, config)
    keep_hydra_files(folder, composed, hydra_config)
    if hydra_config.mode != RunMode.MULTIRUN:
        return result.objective(run.train(config, folder))
    if "BasicSweeper" not in str(hydra_config.sweeper.get("_target_")) and not config.dataset.val_size:
        log.warning("tuning on test accuracy is not honest; hold out images of train with dataset.val_size=5000")
    return sweep.run_job(config, folder)


def keep_hydra_files(folder: Path, composed: DictConfig, hydra_config: Any) -> None:
    """Write Hydra's usual .hydra/ folder; a run that goes on keeps its first."""
    target = folder / ".hydra"
    if target.exists():
        return
    target.mkdir(parents=True)
    OmegaConf.save(composed, target / "config.yaml")
    OmegaConf.save(OmegaConf.create({"hydra": hydra_config}), target / "hydra.yaml")
    OmegaConf.save(hydra_config.overrides.task, target / "overrides.yaml")


def train() -> None:
    """Run the command attn-train."""
    compose.register()
    with exit_codes("attn-train"):
        arguments = sys.argv[1:]
        options = compose.parse(arguments)
        if not compose.asks_only(options):
            sys.argv[1:] = check(arguments)
        hydra.main(version_base="1.3", config_path=str(compose.CONF), config_name="config")(job)()
        if not compose.asks_only(options):
            conclude(compose.parse(sys.argv[1:]))


def conclude(options: Any) -> None:
    """End a sweep with its table; exit with the first failed job's code."""
    name = next((one.removeprefix("sweep=") for one in options.overrides if one.startswith("sweep=")), None)
    if name is None or not options.multirun:
        return
    from attn_train import sweep

    code = sweep.report(Path("outputs") / name)
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

        main(arguments)


EVAL_HELP = """\
attn-eval: test a finished run again, from its checkpoint.

  attn-eval run=RUN [SETTING=VALUE] ...

run=RUN               a run's folder, outputs/DATE/TIME_MODEL_DATASET_ID
checkpoint=last       or best: the best on validation images, where the run had some
split=test            or train, val
image=PATH            instead: name the class of a picture, or of each picture in a folder, and draw the attention over it
eval.views=1          or 2 (with the mirror image), 6 (also shifted by a pixel); the run's own where not given

Any other setting of the run can be given too: another place for its data (dataset.root=PATH), other data
(dataset=image_folder dataset.root=PATH), another device (device=cpu).

Examples
  attn-eval run=outputs/2026-01-31/12-00-00_gated_cifar10_a1b2c3
  attn-eval run=... split=val checkpoint=best
  attn-eval run=... image=cat.jpg"""
