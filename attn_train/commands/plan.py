"""A command line of attn-train, checked before anything runs: its configurations, and a folder that can be written."""

import shutil
import tempfile
from argparse import Namespace
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from hydra.types import RunMode
from omegaconf import DictConfig

from attn_train import errors
from attn_train.machine import surroundings
from attn_train.runs.lock import locked
from attn_train.settings import compose, multirun, saved
from attn_train.settings.schema import Settings


def settings_of(composed: DictConfig, overrides: list[str]) -> DictConfig:
    """Return the settings of a job: a resumed run's own, or those composed."""
    return composed if composed.resume is None else saved.resumed(Path(composed.resume), overrides, composed)


def check_resume(composed: DictConfig, options: Namespace, folder: Path) -> None:
    """Raise ConfigError where a command line that goes on with a run, in `folder`, asks for what that cannot have."""
    if composed.resume is None:
        return
    run = Path(composed.resume)
    if folder.resolve() != run.resolve():
        raise errors.ConfigError(f"hydra.run.dir={folder}: resume goes on in {run} itself; leave it out")
    if options.config_name or options.config_path:
        raise errors.ConfigError(f"--config-name and --config-path: {run} has its own configuration; leave them out")


@dataclass(frozen=True)
class Plan:
    """A checked command line: its jobs, and the folder of its run or sweep."""

    options: Namespace
    asked: DictConfig  # the configuration that it begins with; of a sweep without what varies
    folder: Path
    created: list[Path]  # the folders that had to be made for it, innermost first
    jobs: list[list[str]]  # the overrides of each job of a sweep; none where a sweeper chooses them as it goes
    composed: dict[int, DictConfig]  # the jobs that were composed so far, by their numbers

    @property
    def is_sweep(self) -> bool:
        return multirun.is_sweep(self.asked, self.options)

    @property
    def needs_hydra(self) -> bool:
        """Whether a sweeper or a launcher of Hydra's was named that has a way of its own."""
        return not (multirun.is_basic(self.asked.hydra.sweeper) and multirun.is_basic(self.asked.hydra.launcher))

    def compose(self, number: int) -> DictConfig:
        """Compose a job of the sweep."""
        job = compose.compose(self.jobs[number], self.options)
        multirun.share_times(self.asked, [job])
        return job


def make_plan(options: Namespace) -> Plan:
    """Check every configuration that a command line stands for, and that its output folder can be written.

    Raises for anything wrong before anything else is written. A sweep without a name is named after its overrides.
    """
    asked = compose.compose(options.overrides, options, RunMode.MULTIRUN)
    check_complete(asked, options)
    multirun.check_machinery(asked)
    if multirun.is_sweep(asked, options):
        return plan_sweep(options, asked)
    multirun.check_single(asked, options)
    config = compose.to_config(settings_of(asked, options.overrides))
    folder = Path(multirun.folder_of(asked, "hydra.run.dir"))
    check_resume(asked, options, folder)
    # From here on with torch, which takes seconds to import.
    from attn_train import build

    if not asked.resume:
        config = saved.continued(folder, config, build.resolution(config))
    check(to_train(folder, config))
    return Plan(options, asked, folder, claim(folder, "hydra.run.dir"), [], {0: asked})


def plan_sweep(options: Namespace, asked: DictConfig) -> Plan:
    """Do what `make_plan` says for a sweep; `asked` is the configuration that it begins with."""
    jobs = multirun.expand(asked, options)
    words = jobs or [multirun.fixed(asked)]
    numbers = multirun.worth_checking(words)
    composed = {number: compose.compose(words[number], options) for number in numbers}
    multirun.share_times(asked, list(composed.values()))
    if all(job.sweep is None for job in composed.values()):
        name = f"sweep={multirun.sweep_name(options.overrides, asked)}"
        options.overrides = [*(word for word in options.overrides if not multirun.is_sweep_word(word)), name]
        words = [[*job, name] for job in words]
        for job in (asked, *composed.values()):
            multirun.name_sweep(job, name)
    if any(job.resume is not None for job in composed.values()):
        raise errors.ConfigError("resume goes on with one run; run the sweep's own command again to go on with a sweep")
    configs = [compose.to_config(job) for job in composed.values()]
    for config in configs:
        multirun.check_name(str(config.sweep))
    folder = multirun.sweep_folder(list(composed.values()))
    names = [multirun.folder_of(job, "hydra.sweep.subdir", number) for number, job in composed.items()]
    check(configs)
    multirun.check_folders(asked, names)
    created = claim(Path(folder), "hydra.sweep.dir")
    try_names([Path(folder, name) for name in names], created)
    return Plan(options, asked, Path(folder), created, words if jobs else [], composed if jobs else {})


def check(configs: list[Settings]) -> None:
    """Raise for the first of the configurations that cannot be built."""
    from attn_train import build
    from attn_train.cost import matching

    build.forget_data()
    for config in configs:
        build.check(config)
        matching.check_control(config)


def name_jobs(planned: Plan) -> dict[str, list[str]]:
    """Return the overrides of a sweep's jobs by the names of their folders."""
    composed = [planned.compose(number) for number in range(len(planned.jobs))]
    return {
        multirun.folder_of(job, "hydra.sweep.subdir", number): multirun.given_words(job.hydra, "task")
        for number, job in enumerate(composed)
    }


def to_train(folder: Path, config: Settings) -> list[Settings]:
    """Return the configuration of a single run in `folder`, or nothing where it is finished and trains no longer: what
    is left to do needs no device. Raises ConfigError where a finished run would not heed it."""
    from attn_train import build
    from attn_train.runs import result

    finished = result.read(folder)
    if finished is None or finished["epochs"] < config.train.epochs or not (folder / "config.yaml").exists():
        return [config]
    if saved.refuse_idle(folder, config, finished["epochs"]):
        build.make_source(config.dataset)  # which lies elsewhere
    return []


def check_complete(composed: DictConfig, options: Namespace) -> None:
    """Raise ConfigError for a configuration of one's own, chosen by --config-name, that is not built upon `config`."""
    lacking = [field.name for field in fields(Settings) if field.name not in composed]
    if lacking and options.config_name:
        raise errors.ConfigError(
            f"--config-name={options.config_name} lacks {', '.join(lacking)}; begin it with "
            "'defaults: [config, _self_]'"
        )


def claim(folder: Path, setting: str) -> list[Path]:
    """Make the output folder and try it; return the folders made. Raises ConfigError where nothing can be written;
    `setting` names another."""
    created: list[Path] = []
    try:
        created = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remove_empty(created)
        raise errors.ConfigError(
            f"cannot write to the output folder {folder}: {error.strerror}; name another with {setting}=..."
        ) from error
    surroundings.settle_temporary_files(within=folder)
    return created


def check_file(path: Path, setting: str, suffix: str) -> None:
    """Raise ConfigError where nothing can or may be written to a new file of the kind `suffix`; `setting` names it."""
    if path.suffix != suffix:
        raise errors.ConfigError(f"{setting}={path} must end in {suffix}, as that is what it will be")
    if path.exists():
        raise errors.ConfigError(f"{setting}={path} exists already; name another file, or remove that one")
    if not path.parent.is_dir():
        raise errors.ConfigError(f"{setting}={path}: there is no folder {path.parent}; make it, or name another file")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise errors.ConfigError(f"{setting}={path} cannot be written: {error.strerror}; name another file") from error


def try_names(folders: list[Path], created: list[Path]) -> None:
    """Raise OSError for a name that is longer than the file system takes, after removing the folders `created`."""
    try:
        for folder in folders:
            folder.exists()
    except OSError:
        remove_empty(created)
        raise


def remove_empty(folders: list[Path]) -> None:
    """Remove folders, innermost first, as far as they are there and empty: what another process put in stays."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def remove_unbegun(planned: Plan) -> None:
    """Remove the folder made for a run that failed before it began (data not found, say)."""
    if planned.is_sweep or planned.folder not in planned.created or (planned.folder / "config.yaml").exists():
        return
    # Another process may have begun in it meanwhile: then it is not ours to remove.
    with suppress(errors.ConfigError, OSError), locked(planned.folder):
        shutil.rmtree(planned.folder, ignore_errors=True)
    remove_empty(planned.created)
