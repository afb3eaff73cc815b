"""The page of attn-compare: what its pictures are of, against the record of the same comparison."""

from pathlib import Path

import numpy as np
import pytest
from test_compare import compare, record, write_sweep

from attn_train.comparison.analysis import Comparison
from attn_train.comparison.page import baseline_row, effect
from attn_train.comparison.summary import Summary, summarize
from attn_train.settings import compose


def summary_of(folder: Path, *words: str) -> Summary:
    return summarize(compose.compare([*words]), [str(folder)], "attn-compare")


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_the_dots_are_the_runs_of_the_record(tmp_path: Path, metric: str) -> None:
    """A loss differs in per cent of the geometric mean."""
    for number, path in enumerate(sorted(write_sweep(tmp_path / "sweep").glob("*/result.json"))):
        path.write_text(path.read_text().replace('"test_loss": 0.25', f'"test_loss": {0.2 + number / 100}'))
    assert compare(tmp_path, "sweep", "output=out", f"metric={metric}").code == 0
    found = record(tmp_path / "out")
    values = {arm["arm"]: np.array([run[metric] for run in arm["runs"]]) for arm in found["arms"]}
    summary = summary_of(tmp_path / "sweep", f"metric={metric}")
    rows = [baseline_row(summary), *map(effect, summary.comparisons)]
    assert [row.label for row in rows] == ["none", "gated", "se"]
    for row in rows:
        base = values["none"]
        if metric == "accuracy":
            expected = values[row.label] - base.mean()
        else:
            expected = 100 * (values[row.label] / np.exp(np.log(base).mean()) - 1)
        assert row.runs == pytest.approx(expected)
        assert not row.uncounted
    for row, comparison in zip(rows[1:], found["comparisons"], strict=True):
        assert (row.mean, row.low, row.high) == pytest.approx([comparison[key] for key in ("mean", "low", "high")])


def test_a_run_that_does_not_count_is_a_ring(tmp_path: Path) -> None:
    """As in a study, where an arm's verdict is of its first seeds, and of the baseline's same."""
    (comparison, _) = summary_of(write_sweep(tmp_path / "sweep")).comparisons
    early = [(seed,) * 3 for seed in range(3)]
    row = effect(Comparison(**(vars(comparison) | {"seeds": early, "reference_seeds": early})))
    base = np.mean([93.10, 93.25, 93.01])
    assert row.runs == pytest.approx([93.71 - base, 93.80 - base, 93.62 - base])
    assert row.uncounted == pytest.approx([93.99 - base, 93.77 - base])


def test_the_page_goes_from_the_answer_to_its_details(tmp_path: Path) -> None:
    assert compare(write_sweep(tmp_path / "sweep").parent, "sweep", "output=out", pictures=True).code == 0
    page = (tmp_path / "out" / "report.html").read_text()
    parts = [
        "<strong>gated helps</strong>",
        "Difference from none, with its 95 % interval",
        "by Student's t for all 2 differences at once (Bonferroni)".replace("'", "&#39;"),
        "Cost against gain",
        "Learning curves",
        "p (adjusted)",
        "the smallest true difference that so many runs find",
        "A Pareto front is of means",
        "All runs",
        "attn-compare sweep",
    ]
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
