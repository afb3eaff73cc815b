"""Runs held against stored ones: which arm against which, what a CI job gets, and what stands beside the verdict."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_compare import ACCURACIES, compare, record, write_run, write_sweep
from test_compare_scripts import write_list

from attn_train.comparison.against import summarize_against
from attn_train.comparison.analysis import Comparison
from attn_train.comparison.report import terminal
from attn_train.comparison.summary import Summary
from attn_train.errors import ConfigError
from attn_train.settings import compose


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "old" / "stored")


def write_today(folder: Path, change: int, *models: str, first: int = 20, **changes: Any) -> Path:
    """Write runs with the accuracies of the stored ones and so many images more, of other seeds; return their
    folder."""
    for model in models:
        for seed, correct in enumerate(ACCURACIES[model], first):
            write_run(folder / f"{model}_{seed}", model, seed, correct + change, **changes)
    return folder


def against(stored: Path, *paths: Path, **settings: str) -> Summary:
    config = compose.compare([f"{name}={value}" for name, value in {"against": str(stored), **settings}.items()])
    return summarize_against(config, list(map(str, paths)), "attn-compare")


def by_arm(summary: Summary) -> dict[str, Comparison]:
    return {comparison.arm.label: comparison for comparison in summary.comparisons}


@pytest.mark.parametrize(
    ("change", "expected", "code"),
    [(0, "no_loss", 0), (0, "equivalent", 0), (-60, "no_loss", 7), (-60, "none:not_hurts;gated:hurts", 7)],
)
def test_a_ci_job_learns_whether_an_arm_is_still_as_good(
    tmp_path: Path, stored: Path, change: int, expected: str, code: int
) -> None:
    write_today(tmp_path / "today", change, "none", "gated", "se")
    words = ("against=old/stored", f"expect={expected}", "curves=0", "output=out", "margin=0.4")
    ended = compare(tmp_path, "today", *words, pictures=True)
    assert ended.code == code, ended.err
    found = record(tmp_path / "out")
    assert [(one["arm"], one["reference"]) for one in found["comparisons"]] == [
        (arm, f"{arm} (old/stored)") for arm in ("none", "gated", "se")
    ]
    assert [one["mean"] for one in found["comparisons"]] == pytest.approx([change / 100] * 3)
    assert "less that of the same arm in old/stored (n = 5)" in ended.out
    assert "Difference from the same arm in old/stored" in (tmp_path / "out" / "report.html").read_text()


def test_a_stored_baseline_serves_all_arms(tmp_path: Path, stored: Path) -> None:
    today = write_today(tmp_path / "today", 0, "none", "gated")
    for run in [*stored.glob("gated_*"), *stored.glob("se_*")]:
        shutil.move(run, tmp_path / run.name)
    found = against(stored, today)
    references = {arm: one.reference.label for arm, one in by_arm(found).items()}
    assert references == {"none": f"none ({stored})", "gated": f"none ({stored})"}
    gain = np.mean(ACCURACIES["gated"]) - np.mean(ACCURACIES["none"])
    assert by_arm(found)["gated"].difference.mean == pytest.approx(gain / 100)
    # The same where it is named among others.
    for run in tmp_path.glob("gated_*"):
        shutil.move(run, stored / run.name)
    named = against(stored, today, baseline="none")
    assert by_arm(named)["gated"].difference == by_arm(found)["gated"].difference


def test_another_commit_and_machine_stand_beside_the_verdict(tmp_path: Path, stored: Path) -> None:
    found = against(stored, write_today(tmp_path / "today", -60, "gated", commit="abc", device="cuda"))
    gated = by_arm(found)["gated"]
    assert (gated.verdict, gated.words) == ("hurts", "hurts")
    (sentence, *_) = terminal(found).splitlines()
    assert f"against gated ({stored}); gated has device cuda, gated ({stored}) cpu; gated has commit abc" in sentence
    assert any(warning.startswith("the runs come from different commits") for warning in found.warnings)


def test_runs_that_are_the_same_are_as_good(tmp_path: Path, stored: Path) -> None:
    """Of two arms that would be a doubt: the mechanism is not connected. Three seeds are enough to see it."""
    for run in stored.glob("*_[34]"):
        shutil.rmtree(run)
    shutil.copytree(stored, tmp_path / "today")
    found = against(stored, tmp_path / "today")
    assert {one.verdict for one in found.comparisons} == {"equivalent"}
    assert "equivalent: the accuracy and loss of se" in by_arm(found)["se"].words
    for path in (tmp_path / "today").glob("gated*/result.json"):
        result = json.loads(path.read_text())
        path.write_text(json.dumps(result | {"correct": 9000, "test_accuracy": 0.9}))
    assert by_arm(against(stored, tmp_path / "today"))["gated"].verdict == "preliminary"


def test_an_arm_that_is_not_stored_is_said(tmp_path: Path, stored: Path) -> None:
    today = write_today(tmp_path / "today", 0, "gated")
    write_run(today / "eca", "eca", 0, 9300)
    found = against(stored, today)
    assert list(by_arm(found)) == ["gated"]
    assert f"eca is not in {stored}, and is not compared" in found.warnings


def test_a_single_stored_run_says_nothing(tmp_path: Path, stored: Path) -> None:
    found = against(stored / "gated_0", write_today(tmp_path / "today", 0, "gated"))
    assert by_arm(found)["gated"].words == "undecided: one seed says nothing of the deviation; 5 are a start"


def test_stored_runs_below_the_folder_of_today_are_not_of_today(tmp_path: Path, stored: Path) -> None:
    write_today(tmp_path / "old" / "today", 0, "gated")
    assert by_arm(against(stored, tmp_path / "old"))["gated"].difference.n == 5


def test_an_arm_that_another_version_made_is_the_same(tmp_path: Path, stored: Path) -> None:
    """Which has a setting that did not exist, so that the digests differ."""
    today = tmp_path / "today"
    for branches in (1, 2):
        arm = {"model.name": "gated", "control": "none", "model.new": 7}
        write_today(today / str(branches), branches, "gated", first=10 * branches, arm=arm, arm_digest="newer")
    assert by_arm(against(stored, today))["gated"].difference.n == 10


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"combine": "recipes"}, "against= is a single look at runs of one recipe, and combine= is not"),
        ({"max_seeds": "9"}, "and max_seeds= is not"),
        ({"baseline": "eca"}, "baseline=eca is none of the arms; choose from none, gated, se"),
        ({"against": "{here}/today"}, "holds all the runs that are to be held against it"),
        ({"against": "{here}/theirs.csv"}, "theirs.csv lists runs of elsewhere, and"),
        ({"against": "{here}/nowhere"}, "nowhere is no folder"),
        ({"against": "{here}/other"}, "these runs differ in more than arm and seed"),
        ({"against": "{here}/unlike"}, "unlike has none of gated, but none, se"),
    ],
)
def test_what_cannot_be_held_against_it_is_one_line(
    tmp_path: Path, stored: Path, settings: dict[str, str], named: str
) -> None:
    write_today(tmp_path / "today", 0, "gated")
    write_today(tmp_path / "other", 0, "gated", recipe_digest="other")
    write_today(tmp_path / "unlike", 0, "none", "se")
    write_list(tmp_path / "theirs.csv")
    settings = {name: value.format(here=tmp_path) for name, value in settings.items()}
    with pytest.raises(ConfigError, match=re.escape(named)):
        against(stored, tmp_path / "today", **settings)


def test_a_file_is_held_against_a_file(tmp_path: Path) -> None:
    for name in ("now.csv", "then.csv"):
        write_list(tmp_path / name)
    found = against(tmp_path / "then.csv", tmp_path / "now.csv")
    assert [one.difference.mean for one in found.comparisons] == [0.0, 0.0]
