"""The commands that train the runs of a comparison again."""

import yaml

from attn_train.comparison.arms import Arm, show
from attn_train.runs import finished as reading
from attn_train.writing.quoting import pasted


def training_command(arm: Arm) -> str:
    """Return the command that trains an arm's runs again, from the words that the first of them was started with."""
    try:
        words = reading.load_yaml(arm.first.folder / ".hydra" / "overrides.yaml") or []
    except (OSError, yaml.YAMLError, ValueError):
        return ""
    if not isinstance(words, list) or any(len(set(seeds)) > 1 for seeds in arm.runs):
        return ""
    kept = [str(word) for word in words if str(word).split("=")[0] not in ("seed", "sweep", "resume")]
    width = arm.first.arm.get("control_width")
    if width is not None:
        kept = [word for word in kept if not word.startswith("control_width=")]
        kept.append(f"control_width={show(width)}")
    seeds = ",".join(str(seeds[0]) for seeds in arm.runs)
    return pasted("attn-train", "-m", *kept, f"seed={seeds}", "sweep=again")
