"""What pairs of step times say: the ratio of two networks' times, its interval, and the widths at which it is 1.

Nothing here knows torch.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attn_train.settings import widths as search

# The largest relative difference in cost of a control.
TOLERANCE = 0.02

# A machine's speed drifts, so that neighbouring pairs of timings err alike; medians of blocks of PAIRS hardly do. Pairs
# that last LONG seconds see less of the same drift, and SLOW_PAIRS of them do.
PAIRS = 8
SLOW_PAIRS = 4
LONG = 1.0
# A fixed number: to measure until the figures look certain is to stop where they agree by chance.
BLOCKS = 10
PROBE_BLOCKS = 2  # of a width that is only tried


@dataclass(frozen=True)
class Timing:
    """The time of another network's training step, compared with the arm's."""

    seconds: float  # of a step of the arm
    ratio: float  # of the other's time to the arm's
    uncertainty: float  # half the width of the ratio's 95 % interval; 92 % where neighbouring pairs correlate by 0.7


def block_size(seconds: float) -> int:
    """Return how many pairs that last so many seconds make a block."""
    return PAIRS if seconds < LONG else SLOW_PAIRS


def summarize(blocks: Sequence[Sequence[tuple[float, float]]]) -> Timing:
    """Return the median of the blocks' median ratios, and its uncertainty.

    The standard error of the median of n normal values is about sqrt(pi / 2) times their standard deviation over
    sqrt(n); their quartiles lie 1.35 standard deviations apart.

    Args:
        blocks: at least two, each of pairs of timings (of the arm, of the other) in seconds.
    """
    ratios = [statistics.median(other / arm for arm, other in block) for block in blocks]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    standard_error = math.sqrt(math.pi / 2) * (high - low) / 1.35 / math.sqrt(len(ratios))
    return Timing(statistics.median(arm for block in blocks for arm, _ in block), ratio, 1.96 * standard_error)


def match(
    base: list[int],
    cost: Callable[[list[int]], float],
    start: float,
    measure: Callable[[list[int], int], Timing],
) -> tuple[list[int], Timing]:
    """Return the widths whose step takes as long as the arm's, and their timing.

    Several widths are tried. The timing is a new one of the widths chosen: theirs was chosen for being near 1, and its
    error with it.

    Args:
        base: the backbone's own widths.
        cost: what a step's time grows with, at such widths.
        start: the cost where the search begins.
        measure: times widths against the arm, over so many blocks.
    """
    widths = search.matched(base, cost, start, lambda tried: measure(tried, PROBE_BLOCKS).ratio)
    return widths, measure(widths, BLOCKS)


def is_within(error: float, uncertainty: float) -> bool:
    """Say whether a control costs the same within TOLERANCE, even at the far end of its error's interval."""
    return abs(error) + uncertainty <= TOLERANCE
