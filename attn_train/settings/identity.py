"""What a run is, in two halves: its arm, which is compared, and its recipe, which a fair comparison keeps the same.

The arm is the mechanism, where it stands, and what it is a control of; the recipe is everything else but the seeds.
"""

import hashlib
import json
from typing import Any

from attn_train.settings.config import NOT_IDENTITY, flatten

# Settings that change neither what is trained nor what is tested, but how it is written down or computed. On another
# kind of device, on more threads or compiled a run is the same but for rounding; in another precision it is another.
NOT_RECIPE = (
    "train.checkpoint_every",
    "train.log_every",
    "train.eval_every",
    "device.kind",
    "device.channels_last",
    "device.compile",
    "device.cuda_graphs",
    "device.threads",
)
# Of these the sections train and eval have the values that count; here they are only where those come from.
DEFAULTS = ("epochs", "batch_size", "views", "resolution", "prune", "prune_from", "prune_until", "eval_every")
SEEDS = ("init", "order", "augment")


def arm(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a configuration's arm, flat; without a mechanism it makes no difference where none is."""
    found = flatten({"model": values["model"]})
    found |= {key: values.get(key, default) for key, default in (("control", "none"), ("control_width", None))}
    if found["model.name"] == "none" and found["control"] == "none":
        return found
    return found | flatten({"backbone": {"placement": values["backbone"].get("placement", {})}})


def recipe(values: dict[str, Any], precision: str) -> dict[str, Any]:
    """Return the settings of a configuration that all runs of a comparison share, flat, with the precision used."""
    left_out = {*NOT_IDENTITY, *NOT_RECIPE, *(f"dataset.{name}" for name in DEFAULTS)}
    left_out |= {"seed", "control", "control_width"}
    sections = ("model.", "backbone.placement.", "seeds.")
    flat = flatten(values)
    found = {key: flat[key] for key in flat if key not in left_out and not key.startswith(sections)}
    return found | {"device.precision": precision}


def seeds(values: dict[str, Any]) -> list[int]:
    """Return the seeds that a configuration stands for: of initialisation, data order and augmentation."""
    given = values.get("seeds") or {}
    return [values["seed"] if given.get(name) is None else given[name] for name in SEEDS]


def digest(settings: dict[str, Any]) -> str:
    """Return 16 hexadecimal digits that stand for flat settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]


def summary(values: dict[str, Any], precision: str) -> dict[str, Any]:
    """Return what a result says of the run's identity, so that runs can be grouped without their configuration."""
    settings = arm(values)
    return {
        "arm": settings,
        "arm_digest": digest(settings),
        "recipe_digest": digest(recipe(values, precision)),
        "seeds": seeds(values),
    }
