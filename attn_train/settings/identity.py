"""What a run is: its identity, in two halves its arm, which is compared, and its recipe, which a fair comparison keeps
the same.

The arm is the mechanism, where it stands, and what it is a control of; the recipe is everything else but the seeds.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from attn_train.settings.roles import PRECISION, Role, flatten, formers, formers_of_choices, role_of
from attn_train.settings.schema import Settings

SEEDS = ("init", "order", "augment")
# What the arm of a run of before a setting existed is.
BEFORE = {"control": "none", "control_width": None}
FORMER = formers(Settings)
FORMER_OF_CHOICES = formers_of_choices(Settings)
NO_NOISE = {"name": "none"}


def role(key: str) -> Role:
    """Return the role of a run's setting, by its dotted name."""
    return role_of(Settings, key)


def identity(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that make a run what it is, flat, without those that only say where things lie."""
    return {key: value for key, value in flatten(values).items() if role(key).identity}


def digest(values: dict[str, Any]) -> str:
    """Return the SHA-256 of the identity of a configuration, given as nested dicts."""
    return hashlib.sha256(json.dumps(counted(identity(values)), sort_keys=True).encode()).hexdigest()


def counted(settings: dict[str, Any]) -> dict[str, Any]:
    """Return flat settings without those that are as they were before they could be chosen."""
    former = FORMER | former_of_choices(settings)
    return {key: value for key, value in settings.items() if key not in former or value != former[key]}


def former_of_choices(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return, flat, what the runs of before did with later settings of what the flat `settings` choose by name."""
    return {
        key: value
        for name, choice, values in FORMER_OF_CHOICES
        if settings.get(name) == choice
        for key, value in values.items()
    }


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return flat settings with those that what they choose by name has got since."""
    return {**former_of_choices(settings), **settings}


def arm(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a configuration's arm, flat; without a mechanism it makes no difference where none is."""
    given = completed(flatten({**BEFORE, **values}))
    settings = {key: value for key, value in given.items() if role(key).arm}
    if settings["model.name"] == "none" and settings["control"] == "none":
        return {key: value for key, value in settings.items() if not key.startswith("backbone.")}
    return settings


def recipe(values: dict[str, Any], precision: str) -> dict[str, Any]:
    """Return the settings of a configuration that all runs of a comparison share, flat, with the precision used."""
    return {
        key: precision if role(key) is PRECISION else value
        for key, value in {**FORMER, **flatten(values)}.items()
        if role(key).recipe
    }


def seeds(values: dict[str, Any]) -> list[int]:
    """Return the seeds that a configuration stands for: of initialisation, data order, augmentation and, where there
    are some, wrong labels."""
    given = values.get("seeds") or {}
    names = SEEDS if values.get("noise", NO_NOISE) == NO_NOISE else (*SEEDS, "noise")
    return [values["seed"] if given.get(name) is None else given[name] for name in names]


def short_digest(settings: dict[str, Any]) -> str:
    """Return 16 hexadecimal digits that stand for flat settings."""
    return hashlib.sha256(json.dumps(counted(settings), sort_keys=True, default=str).encode()).hexdigest()[:16]


def summary(values: dict[str, Any], precision: str) -> dict[str, Any]:
    """Return what a result says of the run's identity, so that runs can be grouped without their configuration."""
    settings = arm(values)
    return {
        "arm": settings,
        "arm_digest": short_digest(settings),
        "recipe_digest": short_digest(recipe(values, precision)),
        "seeds": seeds(values),
    }
