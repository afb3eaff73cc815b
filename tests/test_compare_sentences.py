"""The sentences of a report against such as are written by hand, and what stands behind their figures."""

from pathlib import Path
from typing import Any

import pytest
from test_compare import compare, record, write_run

from attn_train.comparison.analysis import Comparison
from attn_train.comparison.arms import Arm
from attn_train.comparison.doubts import Doubt
from attn_train.comparison.measures import ACCURACY, MEASURES, Measure
from attn_train.comparison.report import terminal
from attn_train.comparison.sentences import MOST_SENTENCES, sentence
from attn_train.comparison.summary import summarize
from attn_train.settings import compose
from attn_train.statistics.intervals import Difference

SECONDS = "cost +15 % training time"


def compared(
    statistical: Any, mean: float, half: float, doubt: Doubt | None = None, told: str | None = None, **changes: Any
) -> Comparison:
    """A comparison of gated with none over 6 runs whose interval is `half` to either side, and whose bounds are half of
    that."""
    ends = (mean - half, mean + half, mean - half / 2, mean + half / 2)
    found = {
        "arm": Arm("gated"),
        "reference": Arm("none"),
        "seeds": [],
        "reference_seeds": [],
        "difference": Difference(6, mean, 0.1, 9.0, *ends, 0.95, 0.5),
        "statistical": statistical,
        "p_value": 0.5,
        "detectable": 0.3,
        "needed": None,
        "measure": ACCURACY,
        "margin": 0.2,
        "told": told,
        "doubts": () if doubt is None else (doubt,),
    }
    return Comparison(**(found | changes))


@pytest.mark.parametrize(
    ("comparison", "said"),
    [
        (
            compared("helps", 0.63, 0.17),
            "gated helps: +0.63 [+0.46, +0.80] points in test accuracy, cost +15 % training time",
        ),
        (
            compared("helps", 0.1, 0.05),
            "gated helps, but by less than 0.2 points: +0.10 [+0.05, +0.15] points in test accuracy, cost +15 % "
            "training time",
        ),
        (
            compared("hurts", -0.6, 0.3),
            "gated hurts: -0.60 [-0.90, -0.30] points in test accuracy, cost +15 % training time",
        ),
        (
            compared("equivalent", -0.1, 0.16),
            "gated neither helps nor hurts: -0.10 [-0.26, +0.06] points in test accuracy, cost +15 % training time; "
            "equivalent within 0.2 points (-0.18 to -0.02)",
        ),
        (
            compared("gains less", -0.1, 0.5),
            "gated gains less than 0.2 points (at most +0.15): -0.10 [-0.60, +0.40] points in test accuracy, cost "
            "+15 % training time",
        ),
        (
            compared("undecided", 0.1, 0.5, told="undecided: 30 % to be decided by seed 12"),
            "gated is undecided: +0.10 [-0.40, +0.60] points in test accuracy, cost +15 % training time; 30 % to be "
            "decided by seed 12",
        ),
        (
            compared("undecided", 0.1, float("inf"), told="undecided: no verdict comes before 5 seeds"),
            "gated is undecided: +0.10 [not known] points in test accuracy, cost +15 % training time; no verdict comes "
            "before 5 seeds",
        ),
        (
            compared("equivalent", 0, 0, Doubt("identical", "the accuracy of none in every run: why?", ())),
            "gated is identical to none: +0.00 [+0.00, +0.00] points in test accuracy, cost +15 % training time; the "
            "accuracy of none in every run: why?",
        ),
        (
            compared("helps", 0.63, 0.17, Doubt("confounded", "gated has device cuda, none cpu", ("undecided",))),
            "gated has no verdict (confounded): +0.63 [+0.46, +0.80] points in test accuracy, cost +15 % training "
            "time; gated has device cuda, none cpu (without that: helps)",
        ),
        (
            compared("helps", 0.63, 0.17, Doubt("failing", "5 of 8 runs failed", ("undecided", "hurts"))),
            "gated has no verdict (failing): +0.63 [+0.46, +0.80] points in test accuracy, cost +15 % training time; "
            "5 of 8 runs failed (without that: helps)",
        ),
        (
            compared("hurts", -0.6, 0.3, Doubt("failing", "5 of 8 runs failed", ("undecided", "hurts"))),
            "gated hurts: -0.60 [-0.90, -0.30] points in test accuracy, cost +15 % training time",
        ),
        (
            compared("hurts", -0.6, 0.3, Doubt("preliminary", "fewer than 5 seeds", ("undecided",)), told="hurts"),
            "gated has no verdict (preliminary): -0.60 [-0.90, -0.30] points in test accuracy, cost +15 % training "
            "time; fewer than 5 seeds (without that: hurts)",
        ),
    ],
)
def test_every_verdict_and_doubt_has_its_sentence(comparison: Comparison, said: str) -> None:
    assert str(sentence(comparison, SECONDS)) == said


@pytest.mark.parametrize(
    ("measure", "difference", "said"),
    [
        # On its scale of 100 log a loss differs by 100 log(0.9).
        (MEASURES["loss"], -10.5360516, "gated helps: -10.00 [-10.00, -10.00] % in test loss (less is better)"),
        (MEASURES["brier"], -0.01, "gated helps: -0.0100 [-0.0100, -0.0100] in Brier score (less is better)"),
    ],
)
def test_a_difference_has_the_unit_of_its_measure(measure: Measure, difference: float, said: str) -> None:
    assert str(sentence(compared("helps", difference, 0, measure=measure, margin=0.001), "")) == said


def test_a_report_begins_with_its_sentences(tmp_path: Path) -> None:
    """Times of 100 and 115 seconds: 15 % more."""
    for seed, (base, ours) in enumerate(((9310, 9371), (9325, 9380), (9301, 9362), (9333, 9399), (9318, 9377))):
        write_run(tmp_path / "sweep" / f"none{seed}", "none", seed, base, train_seconds=100)
        write_run(tmp_path / "sweep" / f"gated{seed}", "gated", seed, ours, train_seconds=115, test_loss=0.2)
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == 0, ended.err
    (found,) = record(tmp_path / "out")["comparisons"]
    figures = f"{found['mean']:+.2f} [{found['low']:+.2f}, {found['high']:+.2f}] points in test accuracy, cost +15 %"
    first, _, *lines = ended.out.splitlines()
    assert first == f"gated helps: {figures} training time"
    assert f"<strong>gated helps</strong>: {figures}" in (tmp_path / "out" / "report.html").read_text()
    markdown = (tmp_path / "out" / "report.md").read_text().replace("\\", "")
    assert f"**gated helps**: {figures}" in markdown
    for said in (
        "less that of none (n = 5); in brackets its 95 % confidence interval, by Student's t, for one look",
        "Margin: a difference that surely lies within 0.2 points counts as none.",
        "on 10,000 test images; whoever chooses by them flatters what is chosen",
    ):
        assert said in ended.out
        assert said in markdown
    assert lines[0].startswith("arm ")


def test_many_arms_do_not_swamp_the_report(tmp_path: Path) -> None:
    """Of 14 arms the decided ones come first, in the order of the table, and the others are counted."""
    for seed, more in enumerate((0, 4, -3, 2, -1)):
        write_run(tmp_path / "sweep" / f"none{seed}", "none", seed, 9300 + more)
        for number in range(14):
            away, noise = (-900 if number in (3, 12) else 0), (-1) ** seed * 40 * seed + number
            folder = tmp_path / "sweep" / f"m{number:02}_{seed}"
            write_run(folder, f"m{number:02}", seed, 9300 + away + noise, arm_digest=f"m{number}")
    said, _, _ = terminal(summarize(compose.compare([]), [str(tmp_path)], "")).partition("\n\n")
    lines = said.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["m03", "m12", "m00"]
    assert lines[MOST_SENTENCES:] == ["and 4 more in the table, 0 of them decided"]
