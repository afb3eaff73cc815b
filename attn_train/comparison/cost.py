"""What the arms cost: parameters and multiply-adds as counted, time and memory as measured; and who is on the front."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attn_train.comparison.arms import Arm

DRIFT = (
    "time and memory are those that the runs themselves noted, on a machine whose speed may have drifted between them: "
    "take them as rough, or give bench=FOLDER, what attn-bench measured in turn"
)


@dataclass(frozen=True)
class Cost:
    """The cost of an arm; None for what is not known. `seconds` and `bytes` are of training, or of attention alone
    where they come from attn-bench."""

    parameters: int | None
    macs: int | None
    seconds: float | None
    bytes: float | None


def noted(arm: Arm, key: str) -> float | None:
    """Return the median of what an arm's runs noted."""
    values = [run.result[key] for run in arm.runs.values() if run.result.get(key) is not None]
    return statistics.median(values) if values else None


def of_runs(arm: Arm) -> Cost:
    parameters, macs = noted(arm, "parameters"), noted(arm, "macs")
    return Cost(
        None if parameters is None else round(parameters),
        None if macs is None else round(macs),
        noted(arm, "train_seconds"),
        noted(arm, "peak_memory_bytes"),
    )


def front(costs: Mapping[str, float | None], accuracies: Mapping[str, float]) -> list[str]:
    """Return who is on the Pareto front: nobody else is at least as accurate and at least as cheap, and better in
    one."""
    known = {label: cost for label, cost in costs.items() if cost is not None}
    return [
        label
        for label, cost in known.items()
        if not any(
            known[other] <= cost
            and accuracies[other] >= accuracies[label]
            and (known[other] < cost or accuracies[other] > accuracies[label])
            for other in known
        )
    ]


def not_shown(
    front: Sequence[str], costs: Mapping[str, float | None], gains: Mapping[str, tuple[float, float]]
) -> list[str]:
    """Return who is on a Pareto front by what may be chance: not surely better than another on it that is cheaper, as
    their intervals overlap; `gains` are the intervals."""
    known = {label: cost for label in front if (cost := costs[label]) is not None}
    return [
        label
        for label, cost in known.items()
        if any(known[other] < cost and gains[label][0] <= gains[other][1] for other in known)
    ]
