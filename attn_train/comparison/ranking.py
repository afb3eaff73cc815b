"""Many arms at once: which may be the best, which places each may have, a league table, and a screen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attn_train.comparison.analysis import Comparison, step, table
from attn_train.comparison.arms import Arm
from attn_train.comparison.doubts import doubts
from attn_train.comparison.measures import Measure
from attn_train.settings.compare import FIRST_LOOK
from attn_train.statistics.estimate import means
from attn_train.statistics.intervals import ALPHA
from attn_train.statistics.ranks import false_discovery, places, shrunken

# From so many arms on, the baseline among them.
LEAST_RANKED, LEAST_LEAGUE, LEAST_SCREENED = 3, 5, 10
# What of the arms that a screen lists may be false alarms.
FALSE_ALARMS = 0.05


@dataclass(frozen=True)
class Ranking:
    """What is known of many arms together, by label.

    places: the best and the worst that each may have, 1 the best; with 95 % confidence all hold at once.
    league: numbers of arms that were drawn together; none where the arms are few.
    screened: the arms that stand out from the baseline; None where nothing is screened.
    """

    places: dict[str, tuple[int, int]]
    league: dict[str, float]
    screened: list[str] | None

    @property
    def best(self) -> list[str]:
        """Which arms may be the best."""
        return [label for label, (first, _) in self.places.items() if first == 1]


def rank(
    arms: Sequence[Arm], comparisons: Sequence[Comparison], measure: Measure, *, is_screened: bool
) -> Ranking | None:
    """Rank arms, the baseline first; None for fewer than LEAST_RANKED, or where nothing is known of any.

    `is_screened`: whether to screen from LEAST_SCREENED on, for which p-values have to be of a single look.
    """
    known = [is_known(arm, arms[0]) for arm in arms]
    if len(arms) < LEAST_RANKED or not any(known):
        return None
    values = table(arms, measure)
    values[np.logical_not(known)] = np.nan
    sets = zip((arm.label for arm in arms), places(values, step(arms), 1 - ALPHA), strict=True)
    ranked = sorted(sets, key=lambda entry: entry[1])
    league = {}
    if len(arms) >= LEAST_LEAGUE:
        found = means(values, step(arms))
        drawn = shrunken(found.mean[known].tolist(), found.error[known].tolist())
        labels = [arm.label for arm, is_there in zip(arms, known, strict=True) if is_there]
        league = {label: measure.unscaled(measure.better * value) for label, value in zip(labels, drawn, strict=True)}
    is_screened = is_screened and len(arms) >= LEAST_SCREENED
    return Ranking(dict(ranked), league, screen(comparisons) if is_screened else None)


def is_known(arm: Arm, baseline: Arm) -> bool:
    """Say whether an arm's mean tells of it: not that of few runs, of those that did not fail, or confounded."""
    if len(arm.runs) < FIRST_LOOK:
        return False
    return arm is baseline or not {doubt.kind for doubt in doubts(arm, baseline)} & {"failing", "confounded"}


def screen(comparisons: Sequence[Comparison]) -> list[str]:
    """Return the arms that stand out, so that of such lists FALSE_ALARMS are false on average; few runs are enough."""
    usable = [
        comparison
        for comparison in comparisons
        if not {doubt.kind for doubt in comparison.doubts} & {"identical", "failing", "confounded"}
        and np.isfinite(comparison.difference.error)
    ]
    adjusted = false_discovery([comparison.difference.p_value for comparison in usable]) if usable else []
    return [comparison.arm.label for comparison, value in zip(usable, adjusted, strict=True) if value <= FALSE_ALARMS]
