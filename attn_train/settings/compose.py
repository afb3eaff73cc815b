"""From a command line to configurations: everything that knows Hydra, and the translation of its errors into single
lines."""

import os
import secrets
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from attn_train.errors import ConfigError
from attn_train.settings import guard, identity, words
from attn_train.settings.bench import BenchSettings, check_ranges as check_bench
from attn_train.settings.bounds import check_values
from attn_train.settings.check import CheckSettings
from attn_train.settings.compare import CompareSettings
from attn_train.settings.explain import explain
from attn_train.settings.ranges import check_ranges
from attn_train.settings.roles import flatten
from attn_train.settings.schema import Settings
from attn_train.settings.study import StudySettings
from attn_train.settings.widths import label
from attn_train.writing.quoting import pasted, path_value

HERE = Path(__file__).resolve().parents[1]
# In a wheel conf/ travels inside the package; in a clone it stands beside it.
CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parent / "conf"


class Stamp:
    """A command's words, when it began, and a few letters that tell it from others of that second."""

    def __init__(self) -> None:
        self.renew([])

    def renew(self, command: Sequence[str]) -> None:
        """Begin another command in this process."""
        self.command = pasted(*command) if command else ""
        self.started, self.letters = datetime.now(), secrets.token_hex(3)

    def folder(self, name: str) -> str:
        return f"outputs/{self.started:%Y-%m-%d}/{self.started:%H-%M-%S}_{name}_{self.letters}"


STAMP = Stamp()

GROUPS = tuple(sorted(path.name for path in CONF.iterdir() if path.is_dir()))
# The groups of the other commands, by the name of their configuration.
OTHER_GROUPS: dict[str, tuple[str, ...]] = {"bench": ("device",), "check": ("model",), "study": (), "compare": ()}


@dataclass
class BasicSweeper:
    """Hydra's own sweeper, which begins without parameters: its default of null takes no
    +hydra.sweeper.params.NAME=VALUES."""

    _target_: str = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = field(default_factory=dict)


class FurtherFolder(SearchPathPlugin):
    """Have Hydra look for configurations in the folder of --config-dir, too."""

    folder: ClassVar[str | None] = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if self.folder is not None:
            search_path.append(provider="command-line", path=f"file://{Path(self.folder).resolve()}")


def register(command: Sequence[str] = ()) -> None:
    """Make the schema and the resolvers of conf/config.yaml known to Hydra, at the beginning of each command."""
    STAMP.renew(command)
    Plugins.instance().register(FurtherFolder)
    ConfigStore.instance().store(name="schema", node=Settings)
    ConfigStore.instance().store(name="bench_schema", node=BenchSettings)
    ConfigStore.instance().store(name="check_schema", node=CheckSettings)
    ConfigStore.instance().store(name="compare_schema", node=CompareSettings)
    ConfigStore.instance().store(name="study_schema", node=StudySettings)
    ConfigStore.instance().store(group="hydra/sweeper", name="basic", node=BasicSweeper)
    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
    OmegaConf.register_new_resolver("job_name", job_name, replace=True)


@dataclass
class NamedPlugins:
    """What the command line itself named, and what that offers."""

    files: tuple[str, ...] = ()
    offered: list[tuple[str, str]] = field(default_factory=list)  # a group, and the file of a choice in it


PLUGINS = NamedPlugins()


def offer(files: Sequence[str], sections: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Make the choices that plugins offer, sections of settings by group and name, known to Hydra, in the place of
    those of an earlier command; `files` are what the command line named."""
    store = ConfigStore.instance()
    for group, name in PLUGINS.offered:
        del store.repo[group][f"{name}.yaml"]
    PLUGINS.files = tuple(files)
    PLUGINS.offered = [(group, name) for group, choices in sections.items() for name in choices]
    for group, name in PLUGINS.offered:
        store.store(group=group, name=name, node=sections[group][name])


def check_plugins(config: DictConfig, place: str) -> None:
    """Raise ConfigError where a configuration, of `place`, names code that the command line does not name itself."""
    named = {os.path.realpath(file) for file in PLUGINS.files}
    for file in OmegaConf.select(config, "plugins") or []:
        if os.path.realpath(file) not in named:
            raise ConfigError(
                f"{place} names the code {file}, which runs only where the command line names it too: read it, then "
                f"add {pasted(f'plugins={path_value(Path(file))}')}"
            )


def run_folder(*, _root_: DictConfig) -> str:
    """Name the folder of a single run; a resumed run stays in its own."""
    if _root_.resume is not None:
        return str(_root_.resume)
    name = label(_root_.model.name, _root_.control)
    return STAMP.folder(f"{name}_{_root_.dataset.name}")


def job_name(*, _root_: DictConfig) -> str:
    """Name the folder of a sweep's job by its configuration, so that the same job finds the same folder again."""
    digest = identity.digest(plain(_root_))
    return f"{label(_root_.model.name, _root_.control)}_{_root_.dataset.name}_seed{_root_.seed}_{digest[:8]}"


def plain(config: DictConfig) -> dict[str, Any]:
    """Return the resolved settings as nested dicts, without Hydra's own."""
    names = [str(name) for name in config if name != "hydra"]
    masked = OmegaConf.masked_copy(config, names)
    return OmegaConf.to_container(masked, resolve=True)  # type: ignore[return-value]


def to_config(config: DictConfig) -> Settings:
    """Return a composed configuration as plain typed sections, its ranges checked."""
    try:
        checked = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Settings), plain(config)))
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error, GROUPS, settings)) from error
    assert isinstance(checked, Settings)
    check_ranges(checked)
    return checked


def from_environment(config: DictConfig) -> dict[str, str]:
    """Return the settings that say where things lie and take it from the environment, dotted, as they were given."""
    raw = flatten(OmegaConf.to_container(config, resolve=False))  # type: ignore[arg-type]
    given = {key: str(value) for key, value in raw.items() if not identity.role(key).identity}
    return {key: text for key, text in given.items() if "${oc.env:" in text}


def parse(arguments: list[str]) -> Namespace:
    """Parse a command line as Hydra does; raise ConfigError for an option that is wrong or not safe."""
    options = words.parse(arguments)
    guard.check_options(options)
    return options


def asks_only(options: Namespace) -> bool:
    """Say whether a command line wants an answer (help, the configuration, completion) rather than a run.

    Raises ConfigError where that answer is about a configuration that is wrong.
    """
    if options.cfg or options.info or (options.help and options.overrides):
        composed = compose(options.overrides, options)
        if options.package and OmegaConf.select(composed, options.package) is None:
            raise ConfigError(f"--package={options.package} is no section of the configuration")
    asked = ("help", "hydra_help", "cfg", "info", "shell_completion", "experimental_rerun")
    return any(getattr(options, name, None) for name in asked)


def answer(options: Namespace) -> None:
    """Print what a command line asks for: help, the configuration, or what a shell completes."""
    name = options.config_name or "config"
    with in_one_line(options.overrides, options), loaded(options) as hydra:
        if options.help:
            hydra.app_help(config_name=name, args_parser=words.parser(), args=options)
        elif options.hydra_help:
            options.overrides = []
            hydra.hydra_help(config_name=name, args_parser=words.parser(), args=options)
        elif options.cfg:
            hydra.show_cfg(name, options.overrides, options.cfg, options.package, options.resolve)
        elif options.shell_completion:
            hydra.shell_completion(name, options.overrides)
        else:
            hydra.show_info(options.info, name, options.overrides)


@contextmanager
def loaded(options: Namespace) -> Iterator[Any]:
    """Give Hydra with the configuration files that a command line names."""
    if options.config_dir and not Path(options.config_dir).is_dir():
        raise ConfigError(f"--config-dir {options.config_dir}: there is no such folder")
    FurtherFolder.folder = options.config_dir
    with initialize_config_dir(str(config_folder(options)), job_name="attn-train", version_base="1.3"):
        yield GlobalHydra.instance().hydra


def config_folder(options: Namespace) -> Path:
    return Path(options.config_path).resolve() if options.config_path else CONF


def compose(overrides: list[str], options: Namespace, mode: RunMode = RunMode.RUN) -> DictConfig:
    """Compose one configuration, Hydra's own part included; raise ConfigError in one line for anything wrong with
    it.

    With `mode` MULTIRUN it is what a whole sweep begins with: nothing that varies is in it.
    """
    check_form(overrides)
    guard.check_search_path(overrides, config_folder(options) / f"{options.config_name or 'config'}.yaml")
    with in_one_line(overrides, options), loaded(options) as hydra:
        composed = hydra.compose_config(options.config_name or "config", overrides, mode, from_shell=False)
        guard.check(composed)
        check_plugins(composed, "a configuration file")
        if mode == RunMode.RUN:
            plain(composed)
        return composed


@contextmanager
def in_one_line(overrides: list[str], options: Namespace) -> Iterator[None]:
    """Turn what Hydra and OmegaConf find wrong with `overrides` into a ConfigError of one line."""
    try:
        yield
    # Hydra's own words for a value of a wrong form.
    except (AttributeError, TypeError, KeyError, IndexError, AssertionError) as error:
        given = " ".join(overrides)
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"a value has not the form that its setting takes ({reason}), in: {given}") from error
    except UnicodeDecodeError as error:
        folders = [config_folder(options), *([Path(options.config_dir)] if options.config_dir else [])]
        files = (path for folder in folders for path in folder.rglob("*.yaml"))
        named = next((str(path) for path in files if error.object in path.read_bytes()), "a configuration file")
        raise ConfigError(f"{named} is no text in UTF-8, as a configuration must be ({error.reason})") from error
    except (HydraException, OmegaConfBaseException, ValueError, yaml.YAMLError) as error:
        if options.config_name in OTHER_GROUPS:
            groups = OTHER_GROUPS[options.config_name]
            known = partial(settings, options.config_name, choices=choices_among(overrides, groups))
            raise ConfigError(explain(error, groups, known, sweeps=False)) from error
        choices = choices_among(overrides, GROUPS)
        raise ConfigError(
            explain(error, GROUPS, partial(settings, choices=choices, folder=options.config_dir))
        ) from error


def choices_among(overrides: Sequence[str], groups: Sequence[str]) -> tuple[str, ...]:
    """Return the words that choose of a group."""
    return tuple(word for word in overrides if word.lstrip("+").partition("=")[0] in groups)


def check_form(overrides: list[str]) -> None:
    """Raise ConfigError naming the first override that is not of Hydra's form."""
    parser = OverridesParser.create()
    for word in overrides:
        try:
            parser.parse_overrides([word])
            well_formed = not word.lstrip("+~").startswith("=")
        except HydraException:
            well_formed = False
        if not well_formed:
            raise ConfigError(
                f"cannot read '{word}'; write NAME=VALUE without spaces around =, with quotes around special characters"
            )
        key, _, value = word.lstrip("+~").partition("=")
        group, dot, rest = key.partition(".")
        if group in GROUPS and dot and rest == "name":
            raise ConfigError(
                f"{key} alone would keep the other settings of the group; write {group}={value} to choose it"
            )


def settings(name: str = "config", choices: Sequence[str] = (), folder: str | None = None) -> list[str]:
    """List every setting of the default configuration `name` by its dotted name, with those of the groups' `choices`,
    from `folder` too; of the default alone where these are no good; none where its own file and the schema disagree."""
    for words_chosen, further in ((list(choices), folder), ([], None)):
        options = parse(["--config-name", name])
        options.config_dir = further
        # Not by `compose`: its errors are explained with this list.
        with suppress(Exception), loaded(options) as hydra:
            return list(flatten(plain(hydra.compose_config(name, words_chosen, RunMode.RUN, from_shell=False))))
    return []


Kind = TypeVar("Kind")


def to_settings(composed: DictConfig, kind: type[Kind], check: Callable[[Kind], None]) -> Kind:
    """Return a composed configuration as an object of the schema `kind`, its ranges checked."""
    try:
        settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), plain(composed)))
    except OmegaConfBaseException as error:  # a plugin's setting without a default, which was not given
        raise ConfigError(explain(error, GROUPS, list, sweeps=False)) from error
    assert isinstance(settings, kind)
    check(settings)
    return settings


def bench(overrides: list[str]) -> BenchSettings:
    """Return the settings of attn-bench."""
    composed = compose(words.readable(overrides), parse(["--config-name", "bench"]))
    return to_settings(composed, BenchSettings, check_bench)


def check(overrides: list[str]) -> CheckSettings:
    """Return the settings of attn-check."""
    composed = compose(words.readable(overrides), parse(["--config-name", "check"]))
    return to_settings(composed, CheckSettings, check_values)


def compare(overrides: list[str]) -> CompareSettings:
    """Return the settings of attn-compare."""
    composed = compose(words.readable(overrides), parse(["--config-name", "compare"]))
    return to_settings(composed, CompareSettings, check_values)


def study(overrides: list[str]) -> StudySettings:
    """Return the settings of attn-study."""
    composed = compose(words.readable(overrides), parse(["--config-name", "study"]))
    config = to_settings(composed, StudySettings, check_values)
    # Unresolved: a reference to the environment among a run's words is for that run to look up.
    given = OmegaConf.to_container(OmegaConf.masked_copy(composed, ["arms", "recipe"]), resolve=False)
    assert isinstance(given, dict)
    return replace(config, arms=given["arms"], recipe=given["recipe"])
