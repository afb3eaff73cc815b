"""What Hydra and OmegaConf find wrong with a command line, in one line for the person who typed it."""

import difflib
import re
from collections.abc import Callable, Sequence

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

TYPE_WORDS = {"Integer": "an integer", "Float": "a number", "Boolean": "true or false", "String": "a text"}


def explain(error: Exception, groups: Sequence[str], settings: Callable[[], list[str]]) -> str:
    """Say in one line what Hydra or OmegaConf found wrong, with the choices among `groups` and `settings`."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        return f"unknown {group} '{choice}'; choose from {', '.join(error.options)}"
    text = " ".join(line.strip() for line in str(error).splitlines())
    cause: BaseException = error
    while isinstance(cause.__cause__, HydraException | OmegaConfBaseException):
        cause = cause.__cause__
    key = getattr(cause, "full_key", None) or getattr(error, "full_key", None)
    if not key and (match := re.search(r"full_key: *(\S+)", str(error))):  # of a value in a file
        key = match.group(1)
    reason = " ".join(
        line.strip()
        for line in str(cause).splitlines()
        if not re.match(r"\s*(full_key|object_type|reference_type)\b", line)
    )
    if match := re.search(r"Key '([^']+)' (?:is not in struct|not in )", f"{text} {reason}"):
        return unknown_setting(str(key or match.group(1)), groups, settings())
    if match := re.search(r"Could not override '([^']+)'\. No match in the defaults list", text):
        name = match.group(1)
        return (
            f"{name} is added with a plus: +{name}=..." if name in groups else unknown_setting(name, groups, settings())
        )
    if match := re.search(r"Value '(.*)' of type '.*' could not be converted to (\w+)", reason):
        kind = TYPE_WORDS.get(match.group(2), match.group(2))
        hint = ", and the values of a sweep stand without brackets: 0,1" if match.group(1).startswith("[") else ""
        return f"{key}={match.group(1)} does not fit; it takes {kind}{hint}"
    if match := re.search(r"Value '(.*)' is not a valid (\w+)", reason):
        kind = {"bool": "Boolean"}.get(match.group(2), match.group(2))
        return f"{key}={match.group(1)} does not fit; it takes {TYPE_WORDS.get(kind, kind)}"
    if "is not Optional" in reason:
        return f"{key}=null does not fit; it needs a value"
    if key and "is not a subclass of" in reason:
        return f"{key} is a section of settings, and takes no value itself; name one of them: {key}.NAME=VALUE"
    if "is not a ListConfig" in reason:
        return f"{key} takes a list, like [0.5]"
    if match := re.search(r"Ambiguous value for argument '([^']+)'", text):
        return f"{match.group(1)} names several values; add -m to sweep over them, or write [..] for a list"
    if match := re.search(r"missing mandatory value: (\S+)", reason):
        return f"{match.group(1)} is missing; it cannot be deleted"
    reason = re.sub(r" See https://hydra\.cc/\S+ for details", "", reason)
    return f"{key}: {reason}" if key and str(key) not in reason else reason


def unknown_setting(name: str, groups: Sequence[str], known: list[str]) -> str:
    """Say that there is no setting `name`, with the nearest ones and the names beside it."""
    if name.startswith("hydra."):
        return f"unknown setting '{name}'; --cfg hydra shows those of Hydra; a new one takes a plus: +{name}=..."
    section, _, last = name.rpartition(".")
    beside = [one.rpartition(".")[2] for one in known if one.rpartition(".")[0] == section] if section else []
    if section in groups and beside == ["name"]:
        return f"unknown setting '{name}'; the chosen {section} has no settings of its own"
    named = [one for one in known if one.rpartition(".")[2] == last]
    near = named or difflib.get_close_matches(name, [*known, *groups], n=1, cutoff=0.6)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    place = section if beside else "the top level"
    if not beside:
        beside = sorted({*groups, *(one.partition(".")[0] for one in known)})
    return f"unknown setting '{name}'{hint}; {place} has {', '.join(beside)}"
