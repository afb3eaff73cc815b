"""What Hydra and OmegaConf find wrong with a command line, in one line for the person who typed it."""

import difflib
import re
from collections.abc import Callable, Sequence

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

TYPE_WORDS = {"Integer": "an integer", "Float": "a number", "Boolean": "true or false", "String": "a text"}


def explain(
    error: Exception, groups: Sequence[str], settings: Callable[[], list[str]], key: str = "", sweeps: bool = True
) -> str:
    """Say in one line what Hydra or OmegaConf found wrong, with the choices among `groups` and `settings`.

    `key` is the setting that it is about, where the error itself does not say; `sweeps`: whether the command has -m.
    """
    if isinstance(error, MissingConfigException) and error.options is not None:
        return unknown_choice(error, groups)
    text = " ".join(line.strip() for line in str(error).splitlines())
    cause: BaseException = error
    while isinstance(cause.__cause__, HydraException | OmegaConfBaseException):
        cause = cause.__cause__
    # An error in a file has its setting only in its text.
    named = re.search(r"^\s*full_key: (\S+)$", str(error), re.MULTILINE)
    key = key or getattr(cause, "full_key", None) or getattr(error, "full_key", None) or (named[1] if named else "")
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
    if unresolved := explain_reference(reason):
        return f"{key}: {unresolved}" if key else unresolved
    if match := re.search(r"Value '(.*)' of type '.*' could not be converted to (\w+)", reason):
        kind = TYPE_WORDS.get(match.group(2), match.group(2))
        hint = ", and the values of a sweep stand without brackets: 0,1" if match.group(1).startswith("[") else ""
        return f"{key}={match.group(1)} does not fit; it takes {kind}{hint}"
    if match := re.search(r"Value '(.*)' is not a valid (\w+)", reason):
        kind = {"bool": "Boolean"}.get(match.group(2), match.group(2))
        return f"{key}={match.group(1)} does not fit; it takes {TYPE_WORDS.get(kind, kind)}"
    if "is not Optional" in reason:
        return f"{key}=null does not fit; it needs a value"
    if "is not a subclass of" in reason or "Cannot assign str to" in reason:
        if not key or ("while composing config" in text and not str(key).startswith("hydra.")):
            return (
                f"{key or 'a section of settings'} takes no value itself in a file; choose one under 'defaults:', like "
                f"'- override /{key or 'model'}: NAME', or give its settings"
            )
        return f"{key} is a section of settings, and takes no value itself; name one of them: {key}.NAME=VALUE"
    if "Cannot merge DictConfig with ListConfig" in reason:
        return f"{key or 'a file'} is a list (lines that begin with -), where settings are expected: NAME: VALUE"
    if "Config group override must be a string or a list" in text:
        return "a group=null leaves nothing to choose; write GROUP=CHOICE, or leave it out"
    if "is not a ListConfig" in reason:
        return f"{key} takes a list, like [0.5]"
    several = re.search(r"Ambiguous value for argument '([^']+)'|Sweep parameters '([^']+)' requires", text)
    if several:
        sweep = "add -m to sweep over them, or " if sweeps else ""
        return f"{several[1] or several[2]} names several values; {sweep}write [..] for a list"
    if match := re.search(r"[Mm]issing mandatory value: (\S+)", reason):
        return f"{key or match.group(1)} is missing; it needs a value, and cannot be deleted"
    reason = re.sub(r" See https://hydra\.cc/\S+ for details", "", reason)
    return f"{key}: {reason}" if key and str(key) not in reason else reason


def unknown_choice(error: MissingConfigException, groups: Sequence[str]) -> str:
    """Say what a group has to choose from."""
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    group = group.rstrip("/")
    last = group.rpartition("/")[2]
    if not error.options and last in groups:
        return f"unknown {group} '{choice}'; a file names a group from the root: '- override /{last}: {choice}'"
    return f"unknown {group} '{choice}'; choose from {', '.join(error.options or ['nothing'])}"


def explain_reference(reason: str) -> str | None:
    """Say why a reference, ${...}, has no value; None where the error is about something else."""
    if match := re.search(r"Environment variable '(.+?)' not found", reason):
        return f"the environment variable {match[1]} is not set"
    if match := re.search(r"Interpolation key '(.+?)' not found", reason):
        return f"${{{match[1]}}} refers to no setting"
    if match := re.search(r"Unsupported interpolation type (\S+)", reason):
        return f"${{{match[1]}:...}} has no resolver; choose from ${{SETTING}}, ${{oc.env:NAME}}, ${{now:FORMAT}}"
    if "Recursive interpolation detected" in reason:
        return "it refers to itself"
    if match := re.search(r"while resolving interpolation: Missing mandatory value: (\S+)", reason):
        return f"${{{match[1]}}} has no value here; in a sweep (-m) hydra.sweep.subdir can refer to it"
    if match := re.search(r"Error resolving interpolation '(.+?)'", reason):
        return f"a group's choice refers to {match[1]}, which cannot be resolved there; write the choice itself"
    if match := re.search(r"raised while resolving interpolation: (.*)", reason):
        return f"its reference cannot be resolved: {match[1]}"
    return None


def unknown_setting(name: str, groups: Sequence[str], known: list[str]) -> str:
    """Say that there is no setting `name`, with the nearest ones and the names beside it.

    `known` is empty where the program's own files do not fit its schema.
    """
    if not known:
        return f"{name} has a value in conf/ and no line in settings/schema.py"
    first = name.partition(".")[0]
    sections = {key.partition(".")[0] for key in known}
    if first in groups and first not in sections:
        return (
            f"a file of +{first}=... sets nothing of the run's; it must begin with the line '# @package _global_', "
            "without a comment or a byte order mark before it"
        )
    if name in (*sections, *known):
        nested = name.replace(".", ": {") + ": ...}"
        hint = f"a file writes it as '{nested}', and " if "." in name else ""
        return f"{name} is not there: {hint}a configuration of your own begins with 'defaults: [config, _self_]'"
    if (match := re.fullmatch(r"\w+/(\w+)(@.*)?", name)) and match[1] in groups:
        return f"unknown group '{name}'; a file names a group from the root, like '- override /{match[1]}: NAME'"
    if name.startswith("hydra."):
        return f"unknown setting '{name}'; --cfg hydra shows those of Hydra; a new one takes a plus: +{name}=..."
    section, _, last = name.rpartition(".")
    beside = [key.rpartition(".")[2] for key in known if key.rpartition(".")[0] == section] if section else []
    if section in groups and beside == ["name"]:
        return f"unknown setting '{name}'; the chosen {section} has no settings of its own"
    named = [key for key in known if key.rpartition(".")[2] == last]
    near = named or difflib.get_close_matches(name, [*known, *groups, *sections], n=1, cutoff=0.6)
    if beside and not named:  # the section is right, and its name makes no two settings alike
        settable = [key for key in beside if (section, key) not in [(group, "name") for group in groups]]
        near = [f"{section}.{key}" for key in difflib.get_close_matches(last, settable, n=1)]
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    place = section if beside else "the top level"
    if not beside:
        beside = sorted({*groups, *sections})
    return f"unknown setting '{name}'{hint}; {place} has {', '.join(beside)}"
