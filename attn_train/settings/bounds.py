"""What values a setting may have: bounds that stand beside its type, `Annotated[int, at_least(1)]`, and their check."""

import math
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from typing import Any, get_type_hints

from attn_train.errors import ConfigError


@dataclass(frozen=True)
class Bound:
    """Which values are allowed, and how to say it behind "it must be" (or, for choices, "choose from")."""

    allows: Callable[[Any], bool]
    must: str
    choices: bool = False

    def check(self, key: str, value: Any) -> None:
        """Raise ConfigError where the setting `key` may not have this value."""
        if not self.allows(value):
            way = "is not a choice; choose from" if self.choices else "is out of range; it must be"
            raise ConfigError(f"{key}={'null' if value is None else value} {way} {self.must}")


@dataclass(frozen=True)
class Form:
    """What kind of text a setting takes; see words."""

    is_path: bool
    is_list: bool = False


PATH, TEXT, PATHS, TEXTS = Form(True), Form(False), Form(True, is_list=True), Form(False, is_list=True)


def number(allows: Callable[[Any], bool], must: str) -> Bound:
    """Return a bound that only finite numbers can keep."""

    def finite(value: Any) -> bool:
        return type(value) in (int, float) and math.isfinite(value) and allows(value)

    return Bound(finite, must)


def at_least(least: float, why: str = "") -> Bound:
    return number(lambda value: value >= least, f"at least {least}{why}")


def above(limit: float, why: str = "") -> Bound:
    return number(lambda value: value > limit, f"above {limit}{why}")


def within(least: float, most: float, why: str = "") -> Bound:
    return number(lambda value: least <= value <= most, f"at least {least} and at most {most}{why}")


def from_to_below(least: float, limit: float, why: str = "") -> Bound:
    return number(lambda value: least <= value < limit, f"at least {least} and below {limit}{why}")


def between(low: float, high: float, why: str = "") -> Bound:
    return number(lambda value: low < value < high, f"above {low} and below {high}{why}")


def each(bound: Bound) -> Bound:
    """Return a bound for a list, which is not empty, and holds what `bound` allows."""

    def allows(values: Any) -> bool:
        return isinstance(values, list) and len(values) > 0 and all(map(bound.allows, values))

    return Bound(allows, f"a list of numbers, each {bound.must}")


def one_of(*choices: Any) -> Bound:
    """Return a bound to a few values; true is not 1 there."""

    def allows(value: Any) -> bool:
        return any(value == choice and type(value) is type(choice) for choice in choices)

    return Bound(allows, ", ".join(str(choice).lower() for choice in choices), choices=True)


def extras(schema: type) -> dict[str, tuple[Any, ...]]:
    """Return what stands beside the type of each field of a schema."""
    hints = get_type_hints(schema, include_extras=True)
    return {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}


def check_values(settings: Any, prefix: str = "") -> None:
    """Raise ConfigError for the first value of a schema's object, at any depth, that its bound does not allow.

    prefix: what stands before the names of its fields, as in `train.`.
    """
    hints = get_type_hints(type(settings))
    for name, beside in extras(type(settings)).items():
        key, value, hint = f"{prefix}{name}", getattr(settings, name), hints[name]
        if is_dataclass(value):
            check_values(value, f"{key}.")
        elif isinstance(value, dict) and hint is Any:
            raise ConfigError(f"{key} takes one value, and has no settings of its own")
        elif value is not None or hint is Any:
            for bound in beside:
                if isinstance(bound, Bound):
                    bound.check(key, value)
