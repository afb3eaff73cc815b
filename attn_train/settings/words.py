"""The words of a command line: its options, and its settings, whose texts need no quotes but the shell's."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Sweep
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError, safe_load

from attn_train import __version__
from attn_train.errors import ConfigError
from attn_train.settings.bench import BenchSettings
from attn_train.settings.bounds import PATH, Form, extras
from attn_train.settings.check import CheckSettings
from attn_train.settings.compare import CompareSettings
from attn_train.settings.roles import Within
from attn_train.settings.schema import Settings
from attn_train.settings.study import StudySettings
from attn_train.writing.quoting import QUOTES, quoted, split

FOLDERS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")


def forms(schema: type, prefix: str = "") -> dict[str, Form]:
    """Return the settings of a schema that take texts, by their dotted names, with the form of each."""
    hints = get_type_hints(schema)
    known: dict[str, Form] = {}
    for name, beside in extras(schema).items():
        if is_dataclass(hints[name]):
            known |= forms(hints[name], f"{prefix}{name}.")
        known |= {f"{prefix}{name}": form for form in beside if isinstance(form, Form)}
        parts = [note for note in beside if isinstance(note, Within)]
        known |= {f"{prefix}{name}.{note.part}": note.form for note in parts if note.form is not None}
    return known


# The settings of all commands that take texts.
FORMS = dict.fromkeys(FOLDERS, PATH)
for _schema in (Settings, BenchSettings, CheckSettings, CompareSettings, StudySettings):
    FORMS |= forms(_schema)


def parser() -> ArgumentParser:
    """Return the parser of attn-train's options, which are Hydra's; what is no option is an override."""
    # argparse alone would print its usage, of many lines, of what is wrong.
    parser = OneLineParser(add_help=False, prog="attn-train")
    add = parser.add_argument
    add("overrides", nargs="*", help="GROUP=CHOICE or SETTING=VALUE")
    add("--help", "-h", action="store_true", help="What attn-train does, and all its settings")
    add("--hydra-help", action="store_true", help="Hydra's own help")
    add("--version", action="version", version=f"attn-train {__version__}", help="Show the version and exit")
    add("--cfg", "-c", choices=["job", "hydra", "all"], help="Print the configuration instead of running")
    add("--resolve", action="store_true", help="With --cfg: print values instead of references")
    add("--package", "-p", help="With --cfg: print this section alone")
    add("--run", "-r", action="store_true", help="Run one job, as without any option")
    add("--multirun", "-m", action="store_true", help="Run a sweep")
    add("--shell-completion", "-sc", action="store_true", help="install=SHELL or uninstall=SHELL: bash, fish or zsh")
    add("--config-path", "-cp", help="A folder of configurations instead of attn-train's own")
    add("--config-name", "-cn", help="Another file than config.yaml to begin with")
    add("--config-dir", "-cd", help="A further folder of configurations")
    add("--experimental-rerun", help="Refused: it would read a pickle")
    choices = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
    add("--info", "-i", const="all", nargs="?", choices=choices, help="Print what Hydra knows")
    return parser


class OneLineParser(ArgumentParser):
    """A parser that raises ConfigError in one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; attn-train --hydra-help shows the options")


def parse(arguments: list[str]) -> Namespace:
    """Parse a command line of attn-train, its options anywhere, and its overrides in a form that Hydra reads: texts
    quoted; raise ConfigError for what is wrong with the options."""
    options, unknown = parser().parse_known_intermixed_args(arguments)
    if unknown:
        raise ConfigError(no_option("attn-train", unknown[0]))
    commands = ("run", "multirun", "cfg", "info", "shell_completion")
    asked = [f"--{name.replace('_', '-')}" for name in commands if getattr(options, name)]
    if len(asked) > 1 and not options.help:
        raise ConfigError(f"{' and '.join(asked)} do not go together; leave one out")
    for name in ("resolve", "package"):
        if getattr(options, name) and not (options.cfg or options.help):
            raise ConfigError(f"--{name} belongs to --cfg, as in: attn-train --cfg job --{name}")
    if options.config_dir is not None and not Path(options.config_dir).is_dir():
        raise ConfigError(f"--config-dir={options.config_dir} is no folder")
    sweeping = options.multirun or "hydra.mode=MULTIRUN" in options.overrides
    options.overrides = readable(options.overrides, sweeping)
    return options


def read_file(path: Path) -> dict[str, Any]:
    """Return the settings in a YAML file, its references as they stand; raise ConfigError where it holds none."""
    try:
        # OmegaConf makes a setting of a file's lone word, but it alone refuses a setting that stands there twice.
        lone = isinstance(safe_load(path.read_bytes()), str)
        settings = None if lone else OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path} holds no settings; write lines like 'arms: [none, gated]'")
    return {str(key): value for key, value in settings.items()}


def readable(arguments: Sequence[str], sweeping: bool = False) -> list[str]:
    """Return the words of a command line with its texts quoted where the grammar of Hydra could not read them.

    With `sweeping` a comma stands between values. What the grammar reads as a text, or as null, stays as it is.
    """
    return [readable_word(word, sweeping) for word in arguments]


def readable_word(word: str, sweeping: bool) -> str:
    name, equals, value = word.partition("=")
    key = name.lstrip("+")
    if not equals or key not in FORMS:
        return word
    check_given(key, value)
    form = FORMS[key]
    if form.is_list:
        return f"{name}={quote_texts(value, form.is_path)}"
    parts = split(value) if sweeping else [value]
    return f"{name}={','.join(quote_text(part, form.is_path, sweeping) for part in parts)}"


def check_given(name: str, value: str) -> None:
    """Raise ConfigError for an empty text, which a shell makes of a variable that is not set."""
    if not value.strip():
        raise ConfigError(f"{name}= is empty; give it a value, or leave it out")


def listed_paths(name: str, arguments: Sequence[str]) -> list[str]:
    """Return the paths that the last `name`=[PATH,...] of a command line lists, as Hydra will read them."""
    given = [word.partition("=")[2] for word in arguments if word.partition("=")[0] == name]
    if not given or not given[-1].strip():
        return []
    value = given[-1].strip()
    value = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    return [plain_text(part.strip(), is_path=True) for part in split(value) if part.strip()]


def path_of(name: str, value: str) -> str:
    """Return the path that `name`=`value` gives to a command's own setting; raise ConfigError for an empty one."""
    check_given(name, value)
    return plain_text(value, is_path=True)


def quote_text(value: str, is_path: bool, sweeping: bool = False) -> str:
    """Return one value of a text in a form that the grammar reads as that text; null and, in a sweep, choices stay."""
    override = parse_value(value)
    if override is not None and (override.value() is None or (sweeping and is_choice(override))):
        return value
    text = plain_text(value, is_path)
    return value if override is not None and override.value() == text else quoted(text)


def plain_text(value: str, is_path: bool) -> str:
    """Return the text that a value stands for: what it says in quotes, else itself; a path's ~ is the home folder."""
    override = parse_value(value)
    text = value
    if override is not None and (value.lstrip()[:1] in QUOTES or "\\" in value) and isinstance(override.value(), str):
        text = str(override.value())
    # A shell looks for ~ at the start of a word only, not behind NAME=.
    return os.path.expanduser(text) if is_path else text


def quote_texts(value: str, are_paths: bool) -> str:
    """Return a list of texts, whether its brackets are given or not, with each of them quoted; null stays."""
    value = value.strip()
    if value == "null":
        return value
    listed = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    texts = [plain_text(part.strip(), are_paths) for part in split(listed) if part.strip()]
    return f"[{','.join(map(quoted, texts))}]"


def parse_value(value: str) -> Override | None:
    """Return what the grammar makes of a value, None where it cannot read it."""
    try:
        return OverridesParser.create().parse_override(f"text={value}")
    except HydraException:
        return None


def is_choice(override: Override) -> bool:
    return isinstance(override.value(), Sweep | Glob)


def refuse_options(command: str, arguments: Sequence[str]) -> None:
    """Raise ConfigError for the first word that is an option: `command` has none but --help."""
    for word in arguments:
        if word.startswith("-"):
            raise ConfigError(no_option(command, word))


def no_option(command: str, word: str) -> str:
    return f"there is no option {word}; settings are written NAME=VALUE, without dashes; {command} --help shows them"
