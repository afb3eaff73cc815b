"""What a study says: lines while it runs, the table of verdicts at its end."""

import statistics
import sys
from collections.abc import Mapping

from attn_train.comparison.analysis import towards
from attn_train.comparison.measures import ACCURACY, Measure
from attn_train.runs.ledger import Row
from attn_train.statistics.intervals import ALPHA, Difference, unseen
from attn_train.statistics.sequential import foresee
from attn_train.study.arms import Arm
from attn_train.study.rounds import Study
from attn_train.writing.text import aligned


def duration(seconds: float) -> str:
    """Write a time as a person says it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def in_unit(gain: Difference, measure: Measure) -> Difference:
    """Return what a look is of as a reader gets it: the difference in the measure's unit."""
    return measure.in_unit(towards(gain, measure))


def interval(gain: Difference, measure: Measure) -> str:
    """Write what a look is of."""
    difference, places = in_unit(gain, measure), measure.places
    return f"{difference.mean:+.{places}f} [{difference.low:+.{places}f}, {difference.high:+.{places}f}]"


def table(study: Study, doubted: Mapping[str, str]) -> str:
    """Return the table of verdicts, the baseline first; an arm's mean is over the seeds of its difference.

    doubted: by arm, what takes the place of a verdict that cannot be given, as where runs failed.
    """
    measure = study.measure
    title = "accuracy" if measure is ACCURACY else measure.words
    unit = " in %" if measure.logarithmic else ""
    rows = [("arm", "seeds", title, f"difference{unit} [interval]", "verdict")]
    looks = study.looks()
    for name in study.labels:
        finished = study.ledger.finished(name)
        shown = study.looked_at(name, looks[name])[0] if name in looks else finished
        numbers = [study.scores.number(name, seed) for seed in shown]
        mean = measure.written(statistics.mean(numbers)) if numbers else "-"
        count = f"{len(shown)}" if len(shown) == len(finished) else f"{len(shown)} of {len(finished)}"
        if name not in looks:
            rows.append((name, count, mean, "", "the baseline"))
            continue
        difference = looks[name].difference
        word = doubted.get(name, study.words_of(looks[name])) + ("; dropped" if name in study.dropped else "")
        rows.append((name, count, mean, interval(difference, measure) if difference else "-", word))
    return aligned(rows, left=(0, 3))


def note(study: Study) -> str:
    """Say what the table's intervals and verdicts promise, and what they cannot."""
    measure, arms, runs = study.measure, len(study.others), study.fewest_runs
    ratios = ", compared as ratios" if measure.logarithmic else ""
    fewer = "; less is better" if measure.better < 0 else ""
    together = "its interval holds and its verdict is right"
    if arms > 1:
        together = f"all {arms} intervals hold; with the same confidence all verdicts are right"
    sides = "above, below" if measure.better > 0 else "below, above"
    lines = [
        f"Difference: of the means over all runs, in {measure.differences}{ratios}{fewer}.",
        f"With {100 * (1 - ALPHA):g} % confidence {together},",
        "although the runs were looked at after every seed.",
        f"Helps, hurts: the interval is {sides} 0. Equivalent: the difference surely lies within the margin,",
        f"{measure.amount(study.plan.margin)}; gains less: it surely gains less than that (one-sided bounds, which are",
        "narrower than the interval and stand beside the verdict).",
    ]
    if runs:
        lines.append(f"Where none of {runs} runs went wrong, up to {100 * unseen(runs):.0f} % of such runs may.")
    return "\n".join(lines)


def foresight(study: Study) -> str:
    """Say, before the first run, how often such a study ends with verdicts."""
    foreseen, measure = foresee(study.rule), study.measure
    shares = ", ".join(f"{100 * each.decided:.0f} % (about {each.runs:.0f} runs)" for each in foreseen)
    stds = ", ".join(f"{each.margins * study.plan.margin:g}" for each in foreseen)
    name = "accuracy" if measure.is_accuracy else measure.words
    return (
        f"where a run's {name} varies by {f'{stds} {measure.unit}'.rstrip()} from seed to seed, an arm that changes "
        f"nothing gets its verdict in {shares} of such studies"
    )


def time_left(seconds: tuple[float, float] | None) -> str:
    """Say how long the rest takes; nothing where that is not known."""
    if seconds is None:
        return ""
    expected, most = map(duration, seconds)
    return f"at most {most}" if expected == most else f"{expected} expected, at most {most}"


def print_run(row: Row, study: Study) -> None:
    """Say within the line of a round how a run ended."""
    finished = (row.arm, row.seed) in study.ledger.results
    number = study.measure.written(study.scores.number(row.arm, row.seed)) if finished else ""
    ended = number or ("stopped" if study.stopped() else f"failed ({row.exit_code})")
    print(f" {row.arm} {ended}", end="", flush=True)


def print_round(study: Study, runs: list[tuple[Arm, int]], rounds_done: int) -> None:
    """Say what is known after a round: of each of its arms, and of the time that is left."""
    left = study.time_left(rounds_done)
    print(f"; {time_left(left)} to go" if left is not None and left[1] > 0 else "")
    for name, look in study.looks().items():
        if look.difference is not None and name in [arm.label for arm, _ in runs]:
            print(f"  {name}: {interval(look.difference, study.measure)} {study.words_of(look)}")
    sys.stdout.flush()
