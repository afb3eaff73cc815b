"""What a study says: lines while it runs, the table of verdicts at its end."""

import statistics
import sys

from attn_train.comparison.statistics import Difference
from attn_train.settings.study import FIRST_LOOK
from attn_train.study.arms import Arm
from attn_train.study.ledger import Row
from attn_train.study.rounds import Study
from attn_train.study.sequential import ALPHA, Look, detectable, seeds_needed
from attn_train.writing.text import aligned


def duration(seconds: float) -> str:
    """Write a time as a person says it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def interval(difference: Difference) -> str:
    return f"{difference.mean:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"


def words_of(look: Look, study: Study) -> str:
    """Write a verdict out: what it says of the margin; of one that is not in, how many seeds more it takes."""
    margin, difference = study.config.margin, look.difference
    if look.verdict == "equivalent":
        return f"equivalent within {margin:g} points"
    if difference is None or look.verdict == "undecided":
        return f"undecided: {missing(difference, study)}"
    small = max(abs(difference.low), abs(difference.high)) < margin
    return f"{look.verdict}, but by less than {margin:g} points" if small else look.verdict


def missing(difference: Difference | None, study: Study) -> str:
    if difference is None or difference.n < FIRST_LOOK:
        return f"no verdict comes before {FIRST_LOOK} seeds"
    most = study.config.max_seeds
    needed = seeds_needed(difference, len(study.others), most, study.config.margin)
    if needed is None:
        return f"it takes more than {most} seeds"
    return f"about {needed - difference.n} more seed{'s' if needed - difference.n > 1 else ''}"


def table(study: Study) -> str:
    """Return the table of verdicts, the baseline first; an arm's accuracy is over the seeds of its difference."""
    title = "validation accuracy" if study.ledger.split == "val" else "accuracy"
    rows = [("arm", "seeds", title, "difference [interval]", "verdict")]
    looks = study.looks()
    for name in study.labels:
        finished = study.ledger.finished(name)
        shown = study.looked_at(name, looks[name]) if name in looks else finished
        accuracies = [study.ledger.accuracy(name, seed) for seed in shown]
        accuracy = f"{statistics.mean(accuracies):.2f} %" if accuracies else "-"
        count = f"{len(shown)}" if len(shown) == len(finished) else f"{len(shown)} of {len(finished)}"
        if name not in looks:
            rows.append((name, count, accuracy, "", "the baseline"))
            continue
        difference = looks[name].difference
        word = words_of(looks[name], study) + ("; dropped" if name in study.dropped else "")
        rows.append((name, count, accuracy, interval(difference) if difference else "-", word))
    return aligned(rows, left=(0, 3))


def note(arms: int) -> str:
    """Say what the table's intervals promise."""
    together = "its verdict is right and its interval holds"
    if arms > 1:
        together = f"all {arms} verdicts are right and all intervals hold"
    return (
        "Differences in percentage points, paired by seed; an arm's accuracy is over the same seeds.\n"
        f"With {100 * (1 - ALPHA):g} % confidence {together},\n"
        "although the runs were looked at after every seed."
    )


def foresight(arms: int, max_seeds: int, deviation: float | None) -> str:
    """Say what difference the study finds with 80 % power: in points where the deviation is known."""
    units = detectable(arms, max_seeds)
    if deviation is None:
        return f"{max_seeds} find a true difference of {units:.2f} deviations of the differences in 80 % of studies"
    return (
        f"{max_seeds} find a true difference of {units * deviation:.2f} points in 80 % of studies (the differences' "
        f"deviation is {deviation:.2f})"
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


def print_round(study: Study, arms: list[Arm], rounds_done: int) -> None:
    """Say what is known after a round: of each of its arms, and of the time that is left."""
    left = study.time_left(rounds_done)
    print(f"; {time_left(left)} to go" if left is not None and left[1] > 0 else "")
    for name, look in study.looks().items():
        if look.difference is not None and name in [arm.label for arm in arms]:
            print(f"  {name}: {interval(look.difference)} {words_of(look, study)}")
    sys.stdout.flush()
