"""What a study compares: arms, each a few words of attn-train, and the recipe that all share.

On a command line and in a YAML file an arm is the name of a mechanism, or a section of attn-train's settings:
`none`, `{model: se, model.reduction: 8}`, `{model: {name: se, reduction: 8}, control: parameters}`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attn_train.errors import ConfigError
from attn_train.settings.identity import role
from attn_train.settings.roles import MECHANISM, NAME, SEED
from attn_train.settings.widths import label
from attn_train.settings.words import read_file
from attn_train.writing.quoting import is_plain, quoted
from attn_train.writing.text import printable

# What a recipe may not set: the study decides it.
DECIDED = (MECHANISM, SEED, NAME)


@dataclass(frozen=True)
class Arm:
    """An arm: what it is called, and its words for attn-train."""

    label: str
    words: tuple[str, ...]


def make_arms(value: Any, baseline: str) -> list[Arm]:
    """Return the arms that the setting `arms` names, the baseline first; raise ConfigError for anything wrong."""
    sections = value if isinstance(value, list) else [value]
    arms = [make_arm(section) for section in sections]
    labels = [arm.label for arm in arms]
    for name in labels:
        if labels.count(name) > 1:
            raise ConfigError(f"arms names '{name}' twice; leave one out")
    if baseline not in labels:
        raise ConfigError(f"baseline={baseline} is none of the arms; choose from {', '.join(labels) or 'nothing'}")
    if len(arms) < 2:
        raise ConfigError(f"arms names only {baseline}, the baseline; name at least one more, like 'arms=[none,gated]'")
    return sorted(arms, key=lambda arm: arm.label != baseline)


def make_arm(section: Any) -> Arm:
    """Return the arm of one name or section."""
    if isinstance(section, str):
        section = {"model": section}
    if not isinstance(section, dict) or not section:
        raise ConfigError(
            f"arms holds {section}, neither a name, like gated, nor a section, like {{model:se,control:parameters}}"
        )
    flat = flat_section(section)
    for key in flat:
        if not role(key).arm:
            raise ConfigError(
                f"arms sets {key}, which belongs to the recipe, the same for all arms; an arm may set model, its "
                "settings (model.NAME), backbone.placement.NAME and control"
            )
    if not isinstance(flat.get("model"), str):
        raise ConfigError(f"arms holds {word_of(section)} without a model; give it one, like {{model:gated}}")
    words = tuple(f"{key}={text(value)}" for key, value in flat.items())
    short = {key: value for key, value in flat.items() if key not in ("model", "control")}
    name = label(flat["model"], str(flat.get("control", "none")))
    return Arm(printable(" ".join([name, *(f"{key}={word_of(value)}" for key, value in short.items())])), words)


def flat_section(section: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings with dotted names, the model first; the `name` in a group's section chooses the group."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        if not isinstance(value, dict):
            flat[prefix + str(key)] = value
        elif f"{prefix}{key}" == "model" and "name" in value:
            flat["model"] = value["name"]
            flat |= flat_section({name: option for name, option in value.items() if name != "name"}, "model.")
        else:
            flat |= flat_section(value, f"{prefix}{key}.")
    return dict(sorted(flat.items(), key=lambda item: item[0] != "model"))


def check_recipe(value: Any) -> list[str]:
    """Return the words of the recipe; raise ConfigError for what is no list of words, or sets what the study sets."""
    words = value if isinstance(value, list) else [value] if value is not None else []
    for word in words:
        if not isinstance(word, str) or "=" not in word:
            raise ConfigError(
                f"recipe holds {word_of(word)}, which is no word of attn-train; write NAME=VALUE, like "
                "'recipe=[+experiment=quick,train.epochs=4]'"
            )
        key = word.lstrip("+~").partition("=")[0]
        if re.match(r"hydra\b", key) or role(key.replace("/", ".")) in DECIDED:
            raise ConfigError(f"recipe sets {key}, which the study decides; name models in arms, seeds by first_seed")
    return list(words)


def text(value: Any) -> str:
    """Write a value so that a command line gives it back."""
    if isinstance(value, list):
        return f"[{','.join(map(text, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{text(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, str):
        return value if is_plain(value) else quoted(value, "'")
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def word_of(value: Any) -> str:
    """Write a value for a person: lists and sections as on a command line, texts bare."""
    return value if isinstance(value, str) else text(value)


def words_of(arguments: list[str]) -> list[str]:
    """Return a command line with each YAML file that it names replaced by that file's settings."""
    words = []
    for word in arguments:
        if "=" in word or not word.endswith((".yaml", ".yml")):
            words.append(word)
            continue
        words += [f"{key}={text(value)}" for key, value in read_file(Path(word)).items()]
    return words
