"""Runs far from the others of their arm, against SciPy's robust deviation."""

from pathlib import Path

import pytest
from scipy import stats
from test_compare import compare, record, write_run

from attn_train.comparison.arms import Arm, sort
from attn_train.comparison.measures import ACCURACY, MEASURES, measured
from attn_train.comparison.strays import warnings
from attn_train.runs.finished import find, read_all

STEADY = [9310, 9325, 9301, 9333, 9318]


def arms_of(folder: Path, counts: list[int], metric: str = "accuracy") -> list[Arm]:
    for seed, correct in enumerate(counts):
        write_run(folder / f"none{seed}", "none", seed, correct, test_loss=1 / correct)
    return sort(measured(read_all(find([str(folder)]))[0], MEASURES[metric])[0])[0]


@pytest.mark.parametrize("last", [9460, 9470, 9480, 9500])
def test_the_bound_is_ten_robust_deviations(tmp_path: Path, last: int) -> None:
    counts = [*STEADY, last]
    deviation = stats.median_abs_deviation(counts, scale="normal")
    said = warnings(arms_of(tmp_path, counts), ACCURACY)
    assert len(said) == (max(counts) - min(counts) > 10 * deviation)
    if said:
        assert f"{(max(counts) - min(counts)) / deviation:.1f} robust deviations" in said[0]


@pytest.mark.parametrize(
    ("counts", "warned"),
    [
        ([9310, 9325, 9301, 8000], False),  # four runs say nothing of the deviation
        ([9310, 9310, 9310, 9310, 8000], False),  # nor do such as are equal
        ([9310, 9325, 9301, 9333, 8000], True),
        (STEADY, False),
    ],
)
@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_which_arms_are_warned_of(tmp_path: Path, counts: list[int], warned: bool, metric: str) -> None:
    said = warnings(arms_of(tmp_path, counts, metric), MEASURES[metric])
    assert len(said) == warned
    assert not said or f"{tmp_path / 'none4'} with" in said[0]


def test_the_report_says_so(tmp_path: Path) -> None:
    arms_of(tmp_path / "sweep", STEADY)
    for seed, correct in enumerate([9310, 9325, 9301, 9333, 8318]):
        write_run(tmp_path / "sweep" / f"gated{seed}", "gated", seed, correct)
    ended = compare(tmp_path, "sweep", "output=out")
    (said,) = [line for line in record(tmp_path / "out")["warnings"] if "robust" in line]
    assert said.startswith("the runs of gated range over")
    assert "sweep/gated4 with 83.18" in said
    assert said in ended.out
