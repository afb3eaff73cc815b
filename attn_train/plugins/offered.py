"""The plugins of a command: put beside the program's own mechanisms and networks until the next command."""

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from attn_train.attention import ATTENTION
from attn_train.backbones import BACKBONES
from attn_train.backbones.backbone import Backbone
from attn_train.errors import ConfigError
from attn_train.plugins import installed, source
from attn_train.plugins.adapted import adapt
from attn_train.plugins.signature import MISSING
from attn_train.plugins.source import Source

# What a network with places for attention has where it does not say: a group's file says it of the program's own.
PLACEMENT = {"stages": "all", "position": "after_activation", "zero_gate": False}

_names: dict[str, list[str]] = {"model": [], "backbone": []}


def offer(files: Sequence[str], texts: Iterable[str] = ()) -> dict[str, dict[str, dict[str, Any]]]:
    """Offer what the files define, and the installed plugins whose names stand in `texts`, in the place of what an
    earlier command was offered; return their sections of settings by group and name.

    Raises ConfigError for a file that fails, and for a name that is taken.
    """
    withdraw()
    paths = [Path(file) for file in dict.fromkeys(files)]
    twice = [path for path in paths if [other.name for other in paths].count(path.name) > 1]
    if twice:  # a run keeps them in one folder
        raise ConfigError(f"plugins: {twice[0]} and {twice[1]} have one name; rename one of the files")
    sources = [source.read(path) for path in paths]
    sources += [installed.load(point) for point in installed.mentioned(texts)]
    sections: dict[str, dict[str, dict[str, Any]]] = {"model": {}, "backbone": {}}
    for of in sources:
        for name, kind in of.attention.items():
            refuse_taken(name, of, "model", ATTENTION)
            ATTENTION[name] = adapt(kind, of.place, of.code)
            _names["model"].append(name)
            sections["model"][name] = section(name, ATTENTION[name])
        for name, kind in of.backbones.items():
            refuse_taken(name, of, "backbone", BACKBONES)
            BACKBONES[name] = known_by(kind, of)
            _names["backbone"].append(name)
            sections["backbone"][name] = section(name, BACKBONES[name])
    return sections


def is_offered() -> bool:
    """Say whether there is anything of a plugin."""
    return any(_names.values())


def withdraw() -> None:
    """Take away what was offered."""
    for name in _names["model"]:
        del ATTENTION[name]
    for name in _names["backbone"]:
        del BACKBONES[name]
    for names in _names.values():
        names.clear()


def refuse_taken(name: str, of: Source, group: str, table: dict[str, Any]) -> None:
    if name in table:
        there = "another plugin" if name in _names[group] else "attn-train itself"
        raise ConfigError(f"plugins: {of.place} offers {group}={name}, which {there} has; give it another name")


def known_by(kind: type[Any], of: Source) -> type[Backbone]:
    """Return a network's class that takes, and checks, the code that it is known by."""
    if not issubclass(kind, Backbone):
        raise ConfigError(
            f"plugins: {kind.__name__} of {of.place} is no attn_train.backbones.backbone.Backbone, which BACKBONES are"
        )

    def construct(self: Backbone, *places: Any, code: str, **values: Any) -> None:
        if code != of.code:
            raise ValueError(
                f"code={code} is that of another version than {of.place} is, {of.code}; bring that one back: a run "
                "keeps a copy of the file in its folder, in plugins/"
            )
        kind.__init__(self, *places, **values)

    own = inspect.signature(kind)
    code = inspect.Parameter("code", inspect.Parameter.KEYWORD_ONLY, default=of.code, annotation=str)
    parameters = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    construct.__annotations__ = {**kind.__init__.__annotations__, "code": str}
    members = {"__init__": construct, "__signature__": own.replace(parameters=[*parameters, code])}
    return type(kind.__name__, (kind,), members)


def section(name: str, kind: type[Any]) -> dict[str, Any]:
    """Return the settings that a file of the group would hold."""
    settings: dict[str, Any] = {"name": name}
    for key, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            default = PLACEMENT if key == "placement" else MISSING
            settings[key] = default if parameter.default is parameter.empty else parameter.default
    return settings
