"""Runs that lie far from the others of their arm: a mean and its interval hide them."""

from collections.abc import Sequence

import numpy as np

from attn_train.comparison.arms import Arm
from attn_train.comparison.measures import Measure

# With fewer runs the robust deviation is not known.
LEAST_RUNS = 5
# An arm's range in robust deviations that is not usual: of arms whose runs are normal 5 % exceed it with 5 runs, 1.5 %
# with 8 and 0.3 % with 20 (40,000 simulations).
MOST_DEVIATIONS = 10.0
# The median distance from the median, times this, is the standard deviation of a normal variable.
ROBUST = 1.4826


def warnings(arms: Sequence[Arm], measure: Measure) -> list[str]:
    """Return a warning for each arm that ranges over more than MOST_DEVIATIONS, naming its farthest run."""
    return [said for arm in arms if (said := warning(arm, measure))]


def warning(arm: Arm, measure: Measure) -> str:
    values = np.array([measure.scaled(value) for value in arm.values])
    if len(values) < LEAST_RUNS:
        return ""
    distances = np.abs(values - np.median(values))
    deviation = ROBUST * float(np.median(distances))
    # Differences below this are rounding errors of the numbers themselves.
    if deviation <= 1e-9 or np.ptp(values) <= MOST_DEVIATIONS * deviation:
        return ""
    farthest = list(arm.runs.values())[int(distances.argmax())]
    return (
        f"the runs of {arm.label} range over {np.ptp(values) / deviation:.1f} robust deviations; the farthest from "
        f"their median is {farthest.folder} with {farthest.value:,.{measure.digits}f}: look at its curve"
    )
