"""The widths of a control: what its settings may be, and the search for the widths whose cost comes nearest to another
network's. Nothing here knows torch."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from attn_train.errors import ConfigError

CONTROLS = ("none", "parameters", "macs", "time")

# By how much the last stage's width may leave the others' proportion.
LAST_STAGE = 0.1
# A network that many times as wide as its plain form is no sensible control of anything.
WIDEST = 64.0

# Where a cost is measured: at most so many networks, until one comes so near.
PROBES = 6
NEAR_ENOUGH = 0.005
# How a step's time may grow with its multiply-adds, in logarithms: nearly in proportion, less where much of it is other
# work. Noise can suggest anything.
SLOPES = (0.3, 1.5)


Number = TypeVar("Number", int, float)


def label(model: str, control: str) -> str:
    """Name a run's network in a few letters, for a folder or a line; a control is told from what it is a control of."""
    return model if control == "none" else f"{model}-control-{control}"


def check(control: str, control_width: Any, model: str) -> None:
    """Raise ConfigError for settings of a control that make no sense, whatever the backbone."""
    if control != "none" and model == "none":
        raise ConfigError(
            f"control={control} with model=none: there is nothing to match; choose the mechanism whose cost the plain "
            f"network is to have, like model=gated control={control}"
        )
    if control_width is None:
        return
    numbers = control_width if isinstance(control_width, list) else [control_width]
    kinds = (int,) if isinstance(control_width, list) else (int, float)
    fits = numbers and all(type(number) in kinds and 0 < number < math.inf for number in numbers)
    if not fits or (not isinstance(control_width, list) and control_width > WIDEST):
        raise ConfigError(
            f"control_width={control_width} does not fit; it takes null (solve it), a factor on all widths above 0 and "
            f"at most {WIDEST:g}, or a list with the channels of each stage"
        )
    if control == "none":
        raise ConfigError(
            f"control_width={control_width} is for a control; choose control=parameters, macs or time, or leave it out"
        )


def rounded(base: list[int], factor: float) -> list[int]:
    """Return `base` times `factor` in whole channels, each stage rounded by itself."""
    return [max(1, math.floor(factor * width + 0.5)) for width in base]


def resolve(base: list[int], control_width: float | list[int] | None) -> list[int]:
    """Return the widths that `control_width` stands for, in a backbone whose own are `base`.

    Raises ConfigError for a list of another length, and where nothing is decided yet.
    """
    if control_width is None:
        raise ConfigError("the control has no control_width here; take it from the config.yaml of a run of it")
    if not isinstance(control_width, list):
        return rounded(base, control_width)
    if len(control_width) != len(base):
        raise ConfigError(
            f"control_width={control_width} has {len(control_width)} widths; this backbone has {len(base)} stages, "
            f"by itself of {', '.join(map(str, base))} channels"
        )
    return control_width


def nearest(base: list[int], cost: Callable[[list[int]], float], target: float) -> list[int]:
    """Return the widths, none below `base`, at which `cost` comes nearest to `target`.

    `cost` must grow with each width. All stages are multiplied by one factor and rounded. Whole channels can leave a
    step between two such networks; where it is too coarse to meet the target, the last stage's width alone may move by
    a tenth at most. Raises ValueError where `target` is out of reach.
    """
    known = cache(lambda widths: cost(list(widths)))

    def at(widths: list[int]) -> float:
        return known(tuple(widths))

    if at(base) >= target:
        return base
    low, high = 1.0, 2.0
    while at(rounded(base, high)) < target:
        low, high = high, 2 * high
        if high > WIDEST:
            raise ValueError(f"not even {WIDEST:g} times the width costs as much")
    low, high = bisected(low, high, 1e-3 / max(base), lambda ends: ends / 2, lambda x: at(rounded(base, x)) < target)
    candidates = [rounded(base, low), rounded(base, high)]
    for widths in candidates[:2]:
        candidates += around(widths, base[-1], at, target)
    return min(candidates, key=lambda widths: abs(at(widths) - target))


def matched(
    base: list[int], cost: Callable[[list[int]], float], start: float, measure: Callable[[list[int]], float]
) -> list[int]:
    """Return the widths at which `measure`, a noisy ratio that grows with `cost`, came nearest to 1.

    The search begins where `cost` is `start`, and goes on where the line through what was measured so far, both in
    logarithms, crosses zero: a bisection would spend most of its measurements far away. The ratio at these widths
    is nearer to 1 than the truth, for its error helped to choose them: measure it again.
    """
    points: list[tuple[float, float]] = []
    tried: list[list[int]] = []
    while len(tried) < PROBES:
        widths = nearest(base, cost, max(start, cost(base)))
        if widths in tried:
            break
        ratio = measure(widths)
        tried.append(widths)
        points.append((math.log(cost(widths)), math.log(ratio)))
        if abs(ratio - 1) <= NEAR_ENOUGH:
            break
        start = math.exp(crossing(points))
    return min(zip(tried, points, strict=True), key=lambda pair: abs(pair[1][1]))[0]


def crossing(points: list[tuple[float, float]]) -> float:
    """Return where the line of least squares through `points` (x, y) is zero, its slope held to what time can have."""
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 1.0
    return mean_x - mean_y / min(max(slope, SLOPES[0]), SLOPES[1])


def bisected(
    low: Number, high: Number, apart: Number, half: Callable[[Number], Number], below: Callable[[Number], bool]
) -> tuple[Number, Number]:
    """Return `low` and `high`, between which `below` turns from true to false, brought to at most `apart`.

    `half` halves their sum: to a whole number where they are such.
    """
    while high - low > apart:
        middle = half(low + high)
        low, high = (middle, high) if below(middle) else (low, middle)
    return low, high


def around(widths: list[int], least: int, at: Callable[[list[int]], float], target: float) -> list[list[int]]:
    """Return `widths` with the two last stages, as far as they are allowed, between which the cost passes `target`."""
    reach = max(1, math.floor(LAST_STAGE * widths[-1]))
    low, high = max(least, widths[-1] - reach), widths[-1] + reach
    low, high = bisected(low, high, 1, lambda ends: ends // 2, lambda x: at([*widths[:-1], x]) < target)
    return [[*widths[:-1], low], [*widths[:-1], high]]
