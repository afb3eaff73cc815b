"""A command line of attn-train, checked before anything runs: its configurations, and a folder that can be written."""

import shutil
import tempfile
from argparse import Namespace
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from attn_train import compose, errors, saved, surroundings
from attn_train.config import Config
from attn_train.lock import locked


def settings_of(composed: DictConfig, overrides: list[str]) -> DictConfig:
    """Return the settings of a job: a resumed run's own, or those composed."""
    return composed if composed.resume is None else saved.resumed(Path(composed.resume), overrides, composed)


def check_resume(composed: DictConfig, options: Namespace, multirun: bool) -> None:
    """Raise ConfigError where a command line that goes on with a run asks for what that cannot have."""
    if composed.resume is None:
        return
    if multirun:
        raise errors.ConfigError("resume goes on with one run; run the sweep's own command again to go on with a sweep")
    run, folder = Path(composed.resume), Path(composed.hydra.run.dir)
    if folder.resolve() != run.resolve():
        raise errors.ConfigError(f"hydra.run.dir={folder}: resume goes on in {run} itself; leave it out")
    if options.config_name or options.config_path:
        raise errors.ConfigError(f"--config-name and --config-path: {run} has its own configuration; leave them out")


@dataclass(frozen=True)
class Plan:
    """A checked command line: what to hand to Hydra, and the folder of its run or sweep."""

    arguments: list[str]
    multirun: bool
    folder: Path
    created: list[Path]  # the folders that had to be made for it, innermost first


def make_plan(arguments: list[str]) -> Plan:
    """Check every configuration that a command line stands for, and that its output folder can be written.

    Raises for anything wrong before anything else is written. A sweep without a name is named after its overrides.
    """
    options = compose.parse(arguments)
    multirun = options.multirun or "hydra.mode=MULTIRUN" in options.overrides
    jobs = [options.overrides]
    if multirun:
        jobs = compose.worth_checking(compose.expand(options.overrides))
        if not any(one.startswith("sweep=") for one in options.overrides):
            name = f"sweep={compose.sweep_name(options.overrides)}"
            arguments, jobs = [*arguments, name], [[*job, name] for job in jobs]
    composed = [compose.compose(job, options) for job in jobs]
    for one in composed:
        check_resume(one, options, multirun)
    configs = [compose.to_config(settings_of(one, job)) for one, job in zip(composed, jobs, strict=True)]
    # From here on with torch, which takes seconds to import.
    from attn_train import build
    from attn_train.control import matching

    build.forget_data()
    configs = [build.decide_resolution(config) for config in configs]
    folder = Path(composed[0].hydra.sweep.dir if multirun else composed[0].hydra.run.dir)
    if not multirun:
        configs = to_train(folder, configs[0] if composed[0].resume else saved.continued(folder, configs[0]))
    for config in configs:
        build.check(config)
        matching.check_control(config)
    compose.check_folders([str(one.hydra.sweep.subdir) for one in composed] if multirun else [])
    return Plan(arguments, multirun, folder, claim(folder))


def to_train(folder: Path, config: Config) -> list[Config]:
    """Return the configuration of a single run in `folder`, or nothing where it is finished and trains no longer: what
    is left to do needs no device. Raises ConfigError where a finished run would not heed it."""
    from attn_train import build, result

    finished = result.read(folder)
    if finished is None or finished["epochs"] < config.train.epochs or not (folder / "config.yaml").exists():
        return [config]
    if saved.refuse_idle(folder, config, finished["epochs"]):
        build.make_source(config.dataset)  # which lies elsewhere
    return []


def claim(folder: Path) -> list[Path]:
    """Make the output folder and try it; return the folders made. Raises ConfigError where nothing can be written."""
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise errors.ConfigError(
            f"cannot write to the output folder {folder}: {error.strerror}; name another with hydra.run.dir=FOLDER "
            "(hydra.sweep.dir=FOLDER for a sweep)"
        ) from error
    surroundings.settle_temporary_files(within=folder)
    return created


def give_up(planned: Plan) -> None:
    """Remove the folder made for a run that failed before it began (data not found, say)."""
    if planned.multirun or planned.folder not in planned.created or (planned.folder / "config.yaml").exists():
        return
    # Another process may have begun in it meanwhile: then it is not ours to remove.
    with suppress(errors.ConfigError, OSError), locked(planned.folder):
        shutil.rmtree(planned.folder, ignore_errors=True)
    for path in planned.created:
        with suppress(OSError):  # not empty: another run's folder is in it by now
            path.rmdir()
