"""The learning-rate schedules, by the names that `schedule=` takes.

Each maps progress after the warm-up, from 0 to 1, to the factor that multiplies the learning rate. The factor follows
from the step alone, so a resumed run needs nothing but its step.
"""

import math
from collections.abc import Callable
from typing import Annotated, Any

from attn_train.settings.bounds import between, from_to_below, within

SHARE = within(0, 1, " (a share of the full rate)")
PEAK = between(0, 1, " (a share of the run)")
WARMUP = from_to_below(0, 1, " (a share of the whole run)")


def constant(progress: float) -> float:
    """Stay at the full rate."""
    return 1.0


def linear(progress: float, *, final: Annotated[float, SHARE]) -> float:
    """Fall in a straight line from one to `final`."""
    return 1 - progress * (1 - final)


def cosine(progress: float, *, final: Annotated[float, SHARE]) -> float:
    """Fall along half a cosine from one to `final` (Loshchilov and Hutter, 2017, arXiv 1608.03983)."""
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def one_cycle(
    progress: float, *, peak: Annotated[float, PEAK], initial: Annotated[float, SHARE], final: Annotated[float, SHARE]
) -> float:
    """Rise along half a cosine from `initial` to one at progress `peak`, then fall likewise to `final`
    (Smith and Topin, 2018, arXiv 1708.07120)."""
    if progress < peak:
        return initial + (1 - initial) * (1 - math.cos(math.pi * progress / peak)) / 2
    return cosine((progress - peak) / (1 - peak), final=final)


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "cosine": cosine,
    "linear": linear,
    "one_cycle": one_cycle,
}


def lr_factor(name: str, step: int, total_steps: int, warmup: float, options: dict[str, Any]) -> float:
    """Return the factor that multiplies the learning rate at `step` (from 0) of `total_steps`.

    Args:
        name: a key of SCHEDULES.
        warmup: the share of the steps in which the rate rises linearly.
        options: keyword arguments of the schedule.
    """
    warmup_steps = round(warmup * total_steps)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return SCHEDULES[name](progress, **options)
