"""A sweep's command line: its jobs and their folders, as Hydra makes them, before any of them runs."""

import hashlib
import itertools
import math
import os
import re
from argparse import Namespace

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep, Sweep
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from attn_train.errors import ConfigError
from attn_train.settings import compose
from attn_train.settings.explain import explain


def is_sweep(asked: DictConfig, options: Namespace) -> bool:
    """Say whether a command line asks for a sweep: by its option, or by hydra.mode in a word or in a file."""
    return options.multirun or asked.hydra.mode == RunMode.MULTIRUN


def check_machinery(asked: DictConfig) -> None:
    """Raise ConfigError where Hydra's sweeper or launcher was taken away."""
    for name in ("sweeper", "launcher"):
        if asked.hydra.get(name) is None:
            raise ConfigError(f"hydra.{name}=null leaves nothing to run the jobs; leave it out")


def check_single(asked: DictConfig, options: Namespace) -> None:
    """Raise ConfigError where a command line without a sweep has values of one, or what only a sweep could fill in."""
    words = given_words(asked.hydra, "task")
    if asked.sweep is not None and any(map(is_sweep_word, words)):
        raise ConfigError(
            f"sweep={asked.sweep} names the folder of a sweep, and this is one run; add -m, or leave it out"
        )
    for word in OverridesParser.create().parse_overrides(words):
        if word.is_sweep_override():
            raise ConfigError(
                f"{word.input_line} names several values; add -m to sweep over them, or write [..] for a list"
            )
    with compose.in_one_line(words, options):
        compose.plain(asked)


def given_words(section: DictConfig, part: str) -> list[str]:
    """Return the overrides that Hydra's `section` lists, as they were given: of the `part` hydra those of its own
    settings, of task the others."""
    words = OmegaConf.to_container(section.overrides[part], resolve=False)
    assert isinstance(words, list)
    return [str(word) for word in words]


def is_sweep_word(word: str) -> bool:
    """Say whether an override is one of the setting sweep."""
    return word.lstrip("+").partition("=")[0] == "sweep"


def sweep_name(overrides: list[str], asked: DictConfig) -> str:
    """Name a sweep after its overrides, whatever their order, and after what a file has vary; the word to go on with
    other data names no other."""
    words = [word for word in overrides if not is_sweep_word(word) and not word.startswith("dataset.allow_change=")]
    if is_basic(asked.hydra.sweeper) and not any(re.match(r"\+*hydra\.sweeper\.params\b", word) for word in words):
        words += sweep_params(asked)
    return "sweep_" + hashlib.sha256("\n".join(sorted(words)).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def name_sweep(job: DictConfig, word: str) -> None:
    """Give a composed job the name of its sweep, as if its command line had the override `word`."""
    job.sweep = word.partition("=")[2]
    words = job.hydra.overrides.task
    with read_write(words):
        words[:] = [*(other for other in words if not is_sweep_word(other)), word]


def check_name(sweep: str) -> None:
    """Raise ConfigError for a name that is no folder below outputs/."""
    if {"", ".", ".."} & set(sweep.split("/")) or not sweep.isprintable():
        raise ConfigError(f"sweep={sweep} is no name of a folder in outputs/; give another, like sweep=first")


def sweep_params(asked: DictConfig) -> list[str]:
    """Return what the configuration that a sweep begins with has vary, hydra.sweeper.params, as overrides."""
    params = OmegaConf.to_container(asked.hydra.sweeper, resolve=True).get("params")  # type: ignore[union-attr]
    return [f"{key}={value}" for key, value in (params or {}).items()]


def expand(asked: DictConfig, options: Namespace) -> list[list[str]] | None:
    """Return the overrides of each job of a sweep, as Hydra's own sweeper makes them; None for another sweeper, which
    chooses its values as it goes.

    `asked` is the configuration that the sweep begins with. Raises ConfigError where a value cannot be swept.
    """
    sweeper = asked.hydra.sweeper
    if not is_basic(sweeper):
        return None
    if sweeper.max_batch_size is not None and sweeper.max_batch_size < 1:
        raise ConfigError(
            f"hydra.sweeper.max_batch_size={sweeper.max_batch_size} is out of range; it must be at least 1"
        )
    with compose.in_one_line(options.overrides, options), compose.loaded(options) as hydra:
        words = [*sweep_params(asked), *given_words(asked.hydra, "task")]
        compose.check_form(words)
        parsed = OverridesParser.create(hydra.config_loader).parse_overrides(words)
        for word in parsed:
            check_values(word)
    # Of a setting that is given twice the last word counts.
    values = {word.get_key_element(): each_value(word) for word in parsed}
    return [[*given_words(asked.hydra, "hydra"), *job] for job in itertools.product(*values.values())]


def each_value(word: Override) -> list[str]:
    """Return an override for each of the values that `word` stands for."""
    texts = word.sweep_string_iterator() if word.is_sweep_override() else [word.get_value_element_as_str()]
    return [f"{word.get_key_element()}={text}" for text in texts]


def check_values(word: Override) -> None:
    """Raise ConfigError where an override stands for values that cannot be counted, or for none."""
    value = word.value()
    endless = isinstance(value, RangeSweep) and not all(map(math.isfinite, (value.start or 0, value.stop or 0)))
    if endless or word.is_interval_sweep():
        raise ConfigError(f"{word.input_line} has no end of values; list some (0,1,2), or give a range: range(0,3)")
    values = list(word.sweep_iterator()) if word.is_sweep_override() else [word]
    if not values:
        raise ConfigError(f"{word.input_line} stands for no value, and so the sweep has no job; give it one")
    if any(isinstance(value, Sweep) for value in values):
        raise ConfigError(f"{word.input_line} holds a choice within a choice; write one list of values")


def is_basic(section: DictConfig) -> bool:
    """Say whether a section hydra.sweeper or hydra.launcher is that of Hydra's own, which does nothing special."""
    return str(section.get("_target_")).endswith((".BasicSweeper", ".BasicLauncher"))


def fixed(asked: DictConfig) -> list[str]:
    """Return the overrides of a sweep that do not vary."""
    words = [*given_words(asked.hydra, "hydra"), *given_words(asked.hydra, "task")]
    return [word for word in words if not OverridesParser.create().parse_override(word).is_sweep_override()]


def worth_checking(jobs: list[list[str]]) -> list[int]:
    """Return the numbers of the jobs that hold a value which no job before them held: a wrong value shows there, in a
    fraction of the time."""
    seen: set[str] = set()
    chosen = []
    for number, job in enumerate(jobs):
        if number == 0 or not seen.issuperset(job):  # the first may hold no word at all
            chosen.append(number)
            seen.update(job)
    return chosen


def folder_of(composed: DictConfig, key: str, number: int | None = None) -> str:
    """Return the folder that Hydra's setting `key` names; `number` is that of the job in its sweep."""
    if number is not None:
        with read_write(composed.hydra.job), open_dict(composed.hydra.job):
            composed.hydra.job.id, composed.hydra.job.num = str(number), number
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(composed)  # for a ${hydra:...} in it
    try:
        return str(OmegaConf.select(composed, key, throw_on_missing=True))
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error, compose.GROUPS, compose.settings)) from error
    finally:
        HydraConfig.instance().cfg = before


def share_times(asked: DictConfig, jobs: list[DictConfig]) -> None:
    """Have a time in the name of a sweep's folder, ${now:...}, be the same for all its jobs, as Hydra does."""
    folder_of(asked, "hydra.sweep.dir")
    for job in jobs:
        OmegaConf.copy_cache(asked, job)


def sweep_folder(jobs: list[DictConfig]) -> str:
    """Return the folder of a sweep; raise ConfigError where its jobs would go into several."""
    folders = sorted({folder_of(job, "hydra.sweep.dir") for job in jobs})
    if len(folders) > 1:
        raise ConfigError(
            f"the jobs of a sweep go into one folder, not into {' and '.join(folders[:3])}; give it a name: sweep=NAME"
        )
    return folders[0]


def check_folders(asked: DictConfig, names: list[str]) -> None:
    """Raise ConfigError where a job's folder is not in the sweep's, or two have one folder, and so one result."""
    pattern = OmegaConf.to_container(asked.hydra.sweep, resolve=False)["subdir"]  # type: ignore[index,call-overload]
    otherwise = "leave it out, or let it name each job: ${job_name:}, ${hydra.job.num}"
    for name in names:
        if os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] in (os.pardir, os.curdir):
            raise ConfigError(f"hydra.sweep.subdir={pattern}: {name} is no folder in the sweep's own; {otherwise}")
    twice = [name for name in names if names.count(name) > 1]
    if twice and "$" not in str(pattern):
        raise ConfigError(f"hydra.sweep.subdir={pattern} is one folder for all jobs; {otherwise}")
    if twice:
        raise ConfigError(
            f"two jobs of the sweep would share the folder {twice[0]}: they differ only in where things lie "
            "(dataset.root, say); make a sweep for each, with sweep=NAME"
        )
