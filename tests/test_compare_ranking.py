"""What attn-compare says of many arms together: places, a league table and a screen, of made up runs."""

import re
from pathlib import Path

import numpy as np
import pytest
from test_compare import compare, record, write_run
from test_compare_page import summary_of

# Three are much worse than the others.
EFFECTS = {"none": 0, "a": 0, "b": 5, "c": -400, "d": -400, "e": -400, **{f"m{number}": 0 for number in range(6)}}


def write_arms(folder: Path, *arms: str, seeds: int = 5) -> None:
    """Write runs whose accuracies deviate by 0.15 points."""
    for arm in arms:
        generator = np.random.default_rng([ord(letter) for letter in arm])
        for seed in range(seeds):
            correct = round(9300 + EFFECTS[arm] + 15 * generator.standard_normal())
            write_run(folder / f"{arm}_{seed}", arm, seed, correct, test_loss=0.2 + correct / 1e5)


def test_many_arms_have_places_a_league_and_a_screen(tmp_path: Path) -> None:
    write_arms(tmp_path / "sweep", *EFFECTS)
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == 0, ended.err
    found = record(tmp_path / "out")["ranking"]
    behind = {arm for arm, effect in EFFECTS.items() if effect < -100}
    assert {arm: tuple(place) for arm, place in found["places"].items()} == {
        arm: (10, 12) if arm in behind else (1, 9) for arm in EFFECTS
    }
    assert set(found["screened"]) == behind
    # Drawn together: nearer to each other than the means are, of which no order changes.
    means = {arm["arm"]: arm["accuracy"] for arm in record(tmp_path / "out")["arms"]}
    assert sorted(found["league"], key=found["league"].__getitem__) == sorted(means, key=means.__getitem__)
    assert np.std(list(found["league"].values())) < np.std(list(means.values()))
    for text in (ended.out, *((tmp_path / "out" / name).read_text() for name in ("report.md", "report.html"))):
        assert "May be the best: none, a, b, m0, m1, m2, m3, m4, m5." in text
        assert "10 to 12 of 12" in text
        assert "drawn together" in text
        assert re.search(r"from none stand out c \(-4.\d\d\), d .*, e .*\. Of those listed about 5 % are false", text)


@pytest.mark.parametrize(("arms", "is_ranked", "has_league"), [(2, False, False), (3, True, False), (5, True, True)])
def test_how_many_arms_it_takes(tmp_path: Path, arms: int, is_ranked: bool, has_league: bool) -> None:
    write_arms(tmp_path / "sweep", *list(EFFECTS)[:arms])
    ranking = summary_of(tmp_path / "sweep").ranking
    assert (ranking is not None) == is_ranked
    assert ranking is None or (bool(ranking.league), ranking.screened) == (has_league, None)


def test_less_is_better_of_a_loss(tmp_path: Path) -> None:
    """The runs that are right less often have the smaller loss here."""
    write_arms(tmp_path / "sweep", "none", "a", "b", "c", "d")
    summary = summary_of(tmp_path / "sweep", "metric=loss")
    assert summary.ranking is not None
    assert summary.ranking.best == ["c", "d"]
    assert summary.ranking.league["c"] == pytest.approx(np.mean([*summary.arms[3].values]), abs=1e-4)


def test_of_few_runs_no_place_is_known(tmp_path: Path) -> None:
    write_arms(tmp_path / "sweep", "none", "a", "c", seeds=5)
    write_arms(tmp_path / "sweep", "d", seeds=4)
    ranking = summary_of(tmp_path / "sweep").ranking
    assert ranking is not None
    assert ranking.places == {"none": (1, 3), "a": (1, 3), "d": (1, 4), "c": (3, 4)}
    for path in (tmp_path / "sweep").glob("*_4"):
        (path / "result.json").unlink()
    assert summary_of(tmp_path / "sweep").ranking is None


def test_what_a_machine_may_have_caused_has_no_place(tmp_path: Path) -> None:
    write_arms(tmp_path / "sweep", "none", "a")
    for seed in range(5):
        write_run(tmp_path / "sweep" / f"c_{seed}", "c", seed, 8000 + seed, device="cuda")
    ranking = summary_of(tmp_path / "sweep").ranking
    assert ranking is not None
    assert ranking.places["c"] == (1, 3)
