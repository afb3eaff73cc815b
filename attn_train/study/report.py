"""What a study says: lines while it runs, the table of verdicts at its end."""

import statistics
import sys
from collections.abc import Mapping

from attn_train.comparison.studied import words_of
from attn_train.runs.ledger import Row
from attn_train.statistics.intervals import ALPHA, Difference, unseen
from attn_train.statistics.sequential import Rule, foresee
from attn_train.study.arms import Arm
from attn_train.study.rounds import Study
from attn_train.writing.text import aligned


def duration(seconds: float) -> str:
    """Write a time as a person says it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def interval(difference: Difference) -> str:
    return f"{difference.mean:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"


def table(study: Study, doubted: Mapping[str, str]) -> str:
    """Return the table of verdicts, the baseline first; an arm's accuracy is over the seeds of its difference.

    doubted: by arm, what takes the place of a verdict that cannot be given, as where runs failed.
    """
    title = "validation accuracy" if study.ledger.split == "val" else "accuracy"
    rows = [("arm", "seeds", title, "difference [interval]", "verdict")]
    looks = study.looks()
    for name in study.labels:
        finished = study.ledger.finished(name)
        shown = study.looked_at(name, looks[name])[0] if name in looks else finished
        accuracies = [study.ledger.accuracy(name, seed) for seed in shown]
        accuracy = f"{statistics.mean(accuracies):.2f} %" if accuracies else "-"
        count = f"{len(shown)}" if len(shown) == len(finished) else f"{len(shown)} of {len(finished)}"
        if name not in looks:
            rows.append((name, count, accuracy, "", "the baseline"))
            continue
        difference = looks[name].difference
        word = doubted.get(name, words_of(looks[name], study.rule)) + ("; dropped" if name in study.dropped else "")
        rows.append((name, count, accuracy, interval(difference) if difference else "-", word))
    return aligned(rows, left=(0, 3))


def note(arms: int, margin: float, runs: int) -> str:
    """Say what the table's intervals and verdicts promise, and what they cannot; `runs`: the fewest of an arm."""
    together = "its interval holds and its verdict is right"
    if arms > 1:
        together = f"all {arms} intervals hold; with the same confidence all verdicts are right"
    return (
        "Difference: of the mean accuracies over all runs, in percentage points. With "
        f"{100 * (1 - ALPHA):g} % confidence {together},\n"
        "although the runs were looked at after every seed.\n"
        "Helps, hurts: the interval is above, below 0. Equivalent: the difference surely lies within the margin of "
        f"{margin:g} points; gains less: surely below it\n"
        "(one-sided bounds, which are narrower than the interval and stand beside the verdict)."
        + (
            f"\nWhere none of {runs} runs went wrong, up to {100 * unseen(runs):.0f} % of such runs may."
            if runs
            else ""
        )
    )


def foresight(rule: Rule) -> str:
    """Say, before the first run, how often such a study ends with verdicts."""
    foreseen = foresee(rule)
    shares = ", ".join(f"{100 * each.decided:.0f} % (about {each.runs:.0f} runs)" for each in foreseen)
    stds = ", ".join(f"{each.std:g}" for each in foreseen)
    return (
        f"where a run's accuracy varies by {stds} points from seed to seed, an arm that changes nothing gets its "
        f"verdict in {shares} of such studies"
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
    ended = f"{study.ledger.accuracy(row.arm, row.seed):.2f} %" if finished else f"failed ({row.exit_code})"
    print(f" {row.arm} {ended}", end="", flush=True)


def print_round(study: Study, runs: list[tuple[Arm, int]], rounds_done: int) -> None:
    """Say what is known after a round: of each of its arms, and of the time that is left."""
    left = study.time_left(rounds_done)
    print(f"; {time_left(left)} to go" if left is not None and left[1] > 0 else "")
    for name, look in study.looks().items():
        if look.difference is not None and name in [arm.label for arm, _ in runs]:
            print(f"  {name}: {interval(look.difference)} {words_of(look, study.rule)}")
    sys.stdout.flush()
