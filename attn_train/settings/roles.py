"""What a setting is to a run. Its role stands beside its type in the schema, and all else follows from it: whether
another value makes another run, arm or recipe; whether it may change when a run goes on or is tested again; what a
study may set."""

from dataclasses import dataclass, field, is_dataclass
from functools import cache
from typing import Any, get_type_hints

from attn_train.settings.bounds import Form, extras


@dataclass(frozen=True)
class Role:
    """What follows for a setting."""

    name: str
    identity: bool = True  # with another value a run is another run, with a folder of its own
    arm: bool = False  # it belongs to what is compared
    recipe: bool = False  # it must be the same in runs that are compared
    resume: bool = False  # it may change when a run goes on
    test: bool = False  # a test of a finished run may have another
    kept: bool = False  # ... but the choice of other data for that test alone does not change it


MECHANISM = Role("mechanism", arm=True)
PLACEMENT = Role("placement", arm=True)  # where the mechanism stands
RECIPE = Role("recipe", recipe=True)
LENGTH = Role("length", recipe=True, resume=True)  # a run may go on for longer
DATA = Role("data", recipe=True, test=True)
# How images are brought to the network: other ones are seen as it has learnt to see.
SEEN = Role("seen", recipe=True, test=True, kept=True)
# Runs of one arm differ in it, and the runs of two arms are paired by it.
SEED = Role("seed")
OWN_SEED = Role("seed of one purpose")
# What a data set's file says for the sections train and eval, which have the values that count.
DEFAULT = Role("default")
# How a run is written down.
LOG = Role("log", resume=True)
# On another kind of device, on more threads or compiled a run is the same but for rounding.
MACHINE = Role("machine", resume=True, test=True)
TRAINING_MACHINE = Role("machine of training", resume=True)
# In another precision it is another recipe; there the precision counts that `auto` became.
PRECISION = Role("precision", recipe=True, resume=True, test=True)
# What is tested besides when a run is trained: the run itself is the same.
BESIDES = Role("besides", identity=False, resume=True)
# Where the data lies, and how it gets there.
PLACE = Role("place", identity=False, resume=True, test=True)
# A file whose content belongs to the run, wherever it lies.
CONTENT = Role("file", identity=False, resume=True)
PERMISSION = Role("permission", identity=False, resume=True)
# What a run or a sweep is called.
NAME = Role("name", identity=False)


@dataclass(frozen=True)
class Within:
    """The role of a part of a section whose keys the schema does not list."""

    part: str
    role: Role
    form: Form | None = None  # of a text


@dataclass(frozen=True)
class Former:
    """What the runs of before a setting existed did. Such runs go on with that value. It counts in no digest: so runs
    that have it keep the folders' names of before, and are compared with those.

    Of a section whose keys the schema does not list, it is a dict of them.
    """

    value: Any


@dataclass(frozen=True)
class FormerOf:
    """`Former` for settings of a section whose keys the schema does not list, where its name is `choice`."""

    choice: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Tree:
    """The roles of a schema: of a field, of the parts of a section, or of a section's fields."""

    role: Role | None = None
    parts: dict[str, "Tree"] = field(default_factory=dict)


@cache
def tree(schema: type) -> Tree:
    """Return the roles of a schema's fields."""
    hints, parts = get_type_hints(schema), {}
    for name, beside in extras(schema).items():
        role = next((note for note in beside if isinstance(note, Role)), None)
        inner = {note.part: Tree(note.role) for note in beside if isinstance(note, Within)}
        parts[name] = tree(hints[name]) if is_dataclass(hints[name]) else Tree(role, inner)
    return Tree(None, parts)


def formers(schema: type, prefix: str = "") -> dict[str, Any]:
    """Return what the runs of before did, by the dotted name of each setting that a schema says it of."""
    hints = get_type_hints(schema)
    values: dict[str, Any] = {}
    for name, beside in extras(schema).items():
        if is_dataclass(hints[name]):
            values |= formers(hints[name], f"{prefix}{name}.")
        values |= flatten({f"{prefix}{name}": note.value for note in beside if isinstance(note, Former)})
    return values


def formers_of_choices(schema: type) -> list[tuple[str, str, dict[str, Any]]]:
    """Return what the runs of before did with what a schema says it of by FormerOf: the dotted name of the section's
    `name`, the choice, and its settings by their dotted names."""
    return [
        (f"{section}.name", note.choice, {f"{section}.{key}": value for key, value in note.values.items()})
        for section, beside in extras(schema).items()
        for note in beside
        if isinstance(note, FormerOf)
    ]


def role_of(schema: type, key: str) -> Role:
    """Return the role of a setting, by its dotted name; of one that the schema does not know RECIPE: a run of another
    version may have it."""
    node = tree(schema)
    role = RECIPE
    for part in key.split("."):
        role = node.role or role
        if part not in node.parts:
            return role
        node = node.parts[part]
    return node.role or role


def flatten(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one dict with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Return settings with dotted names as nested dicts."""
    settings: dict[str, Any] = {}
    for key, value in flat.items():
        *sections, last = key.split(".")
        section = settings
        for name in sections:
            section = section.setdefault(name, {})
        section[last] = value
    return settings
