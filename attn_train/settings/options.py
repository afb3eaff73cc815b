"""Check a configuration section against the signature of what it configures: names, types and choices."""

import dataclasses
import inspect
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from attn_train.errors import ConfigError
from attn_train.settings.bounds import Bound


def bind(section: str, target: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments for `target` from `values`, the settings of `section` (dotted, for the message).

    The keyword-only parameters of `target` are the settings it takes. Raises ConfigError for a setting that it does
    not take, that is missing, or whose value does not fit the annotation.
    """
    signature = inspect.signature(target)
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    known = {name: parameter for name, parameter in signature.parameters.items() if parameter.kind is keyword}
    for name in values:
        if name not in known:
            listed = ", ".join(sorted(known)) or "nothing"
            raise ConfigError(f"unknown setting {section}.{name}; {section} takes {listed}")
    bound = {}
    for name, parameter in known.items():
        if name in values:
            bound[name] = convert(f"{section}.{name}", values[name], hints[name])
        elif parameter.default is inspect.Parameter.empty:
            raise ConfigError(f"{section}.{name} is missing; its YAML file must give it a value")
    return bound


def convert(name: str, value: Any, hint: Any) -> Any:
    """Return `value` as the type that `hint` names; an integer passes for a float, nothing else for another type."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise ConfigError(
                f"{name}={value} must be a section with {', '.join(f.name for f in dataclasses.fields(hint))}"
            )
        return convert_dataclass(name, value, hint)
    origin = get_origin(hint)
    if origin is Annotated:
        converted = convert(name, value, hint.__origin__)
        for bound in hint.__metadata__:
            if isinstance(bound, Bound):
                bound.check(name, converted)
        return converted
    if origin in (Union, types.UnionType):
        for part in get_args(hint):
            try:
                return convert(name, value, part)
            except ConfigError:
                continue
    elif origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in get_args(hint)):
            return value
    elif origin is list:
        if isinstance(value, list):
            return [convert(name, item, get_args(hint)[0]) for item in value]
    elif origin is dict:
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return value
    elif hint is type(None):
        if value is None:
            return None
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise ConfigError(f"{name}={'null' if value is None else value} does not fit; it takes {describe(hint)}")


def convert_dataclass(name: str, value: dict[str, Any], hint: type[Any]) -> Any:
    hints = get_type_hints(hint)
    for key in [*value, *hints]:
        if key not in hints:
            raise ConfigError(f"unknown setting {name}.{key}; {name} takes {', '.join(sorted(hints))}")
        if key not in value:
            raise ConfigError(f"{name}.{key} is missing; its YAML file must give it a value")
    return hint(**{key: convert(f"{name}.{key}", value[key], hints[key]) for key in hints})


def describe(hint: Any) -> str:
    """Say in words what values `hint` allows."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(part) for part in get_args(hint))
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(hint))
    if origin is list:
        return f"a list of {describe(get_args(hint)[0])}"
    if origin is dict:
        return "settings in braces, as {reduction: 8}"
    words = {int: "an integer", float: "a number", bool: "true or false", str: "a text", type(None): "null"}
    return words.get(hint, str(hint))
