"""Several data sets or recipes compared at once: the whole against each part's own record, and what is said of it."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats
from test_compare import compare, record, write_run
from test_compare_scripts import write_list

from attn_train.comparison import expectation
from attn_train.comparison.combined import Combined, combine
from attn_train.comparison.combined_page import html
from attn_train.comparison.combined_records import to_line
from attn_train.comparison.combined_text import markdown, terminal
from attn_train.comparison.command import shown
from attn_train.comparison.summary import summarize
from attn_train.errors import ConfigError, ExpectationError
from attn_train.settings import compare as compare_settings, compose
from attn_train.settings.study import RULE

# By data set and arm the images that are right.
COUNTS = {
    "digits": {"none": [9310, 9325, 9301, 9333, 9318], "gated": [9371, 9380, 9362, 9399, 9377]},
    "letters": {"none": [8110, 8125, 8101, 8133, 8118, 8120], "gated": [8141, 8150, 8142, 8169, 8147, 8139]},
    "scenes": {"none": [7010, 7095, 6991, 7033, 7018], "gated": [7001, 7105, 7002, 7069, 7047]},
}


def write_family(folder: Path, **changes: Any) -> Path:
    """Write the runs of COUNTS; return their folder."""
    for dataset, by_arm in COUNTS.items():
        for model, counts in by_arm.items():
            for seed, correct in enumerate(counts):
                of = {"dataset": dataset, "data_digest": dataset, "recipe_digest": f"recipe of {dataset}"}
                write_run(folder / f"{dataset}_{model}_{seed}", model, seed, correct, **(of | changes))
    return folder


@pytest.fixture
def family(tmp_path: Path) -> Path:
    return write_family(tmp_path / "family")


def combined(*paths: Path, **settings: str) -> tuple[dict[str, dict[str, Any]], Combined]:
    """What is found of runs without the pictures of a report, which take seconds: by arm, and whole."""
    words = [f"{name}={value}" for name, value in {"combine": "recipes", **settings}.items()]
    found = combine(compose.compare(words), list(map(str, paths)), "attn-compare")
    return {one["arm"]: one for one in json.loads(to_line(found, Path("out")))["comparisons"]}, found


def test_without_the_word_runs_of_several_recipes_are_refused_and_the_word_is_named(
    tmp_path: Path, family: Path
) -> None:
    ended = compare(tmp_path, "family")
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert "combine=recipes" in line


def test_the_whole_is_the_mean_of_the_parts_by_welch(tmp_path: Path, family: Path) -> None:
    for seed, correct in enumerate([9312, 9324, 9303, 9331, 9320]):  # an arm that only one data set has
        of = {"dataset": "digits", "data_digest": "digits", "recipe_digest": "recipe of digits"}
        write_run(family / f"digits_se_{seed}", "se", seed, correct, **of)
    found, whole = combined(family)
    assert list(found) == ["gated"]
    assert "se against none is not combined: no such runs in dataset=letters; dataset=scenes" in terminal(whole)
    gated = found["gated"]
    parts = gated["parts"]
    assert list(parts) == ["dataset=digits", "dataset=letters", "dataset=scenes"]
    means = [np.mean(each["gated"]) / 100 - np.mean(each["none"]) / 100 for each in COUNTS.values()]
    assert [part["mean"] for part in parts.values()] == pytest.approx(means)
    assert gated["mean"] == pytest.approx(np.mean(means))
    variances = np.square([part["error"] for part in parts.values()])
    freedom = variances.sum() ** 2 / (variances**2 / [part["freedom"] for part in parts.values()]).sum()
    for ends, level in ((("low", "high"), 0.95), (("least", "most"), 0.92)):
        expected = stats.t.interval(level, freedom, np.mean(means), np.sqrt(variances.sum()) / 3)
        assert [gated[end] for end in ends] == pytest.approx(expected)
    assert (gated["verdict"], gated["in_each"], gated["n"]) == ("helps", "", 16)
    # Each part is what the data set's own comparison says.
    for name, summary in whole.groups.items():
        difference = next(one.difference for one in summary.comparisons if one.arm.label == "gated")
        assert (difference.mean, difference.low) == pytest.approx((parts[name]["mean"], parts[name]["low"]))


def test_the_levels_are_shared_by_the_arms_that_are_combined(tmp_path: Path, family: Path) -> None:
    for dataset in COUNTS:
        for seed in range(5):
            of = {"dataset": dataset, "data_digest": dataset, "recipe_digest": f"recipe of {dataset}"}
            write_run(family / f"{dataset}_se_{seed}", "se", seed, 8000 + 3 * seed, **of)
    for one in combined(family)[0].values():
        error, freedom = one["error"], one["freedom"]
        assert one["level"] == pytest.approx(1 - 0.05 / 2)
        assert one["high"] - one["mean"] == pytest.approx(error * stats.t.ppf(1 - 0.05 / 4, freedom))
        assert one["most"] - one["mean"] == pytest.approx(error * stats.t.ppf(1 - 0.04 / 2, freedom))


def test_every_form_says_it_and_what_it_is_about(tmp_path: Path, family: Path) -> None:
    ended = compare(tmp_path, "family", "combine=recipes", "output=out", pictures=True)
    assert ended.code == 0, ended.err
    for text in (ended.out, *((tmp_path / "out" / name).read_text() for name in ("report.md", "report.html"))):
        text = text.replace("\\", "")
        assert "gated helps on average over these 3" in text
        assert "not about new ones" in text
        assert "dataset=letters" in text
        assert "dataset=scenes" in text
    assert (tmp_path / "out" / "report.html").read_text().count("<svg") == 1
    rows = list(csv.DictReader((tmp_path / "out" / "compare.csv").read_text().splitlines()))
    assert [row["in"] for row in rows] == ["all 3", "dataset=digits", "dataset=letters", "dataset=scenes"]
    found = record(tmp_path / "out")
    for folder in found["groups"].values():
        assert (tmp_path / "out" / folder / "report.html").exists()
    _, whole = combined(family)
    assert json.loads(shown(whole, "json", tmp_path))["comparisons"] == found["comparisons"]
    assert list(csv.DictReader(io.StringIO(shown(whole, "csv", tmp_path)))) == rows
    assert "| gated | all 3 | 16 |" in shown(whole, "markdown", tmp_path)
    assert "gated & all 3 & 16 &" in shown(whole, "latex", tmp_path)


def test_names_of_data_sets_are_shown_letter_by_letter(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>{{7*7}}\x1b[2J"
    for place, dataset in enumerate((evil, "letters")):
        for model in ("none", "gated"):
            for seed in range(2):
                of = {"dataset": dataset, "data_digest": dataset, "recipe_digest": dataset}
                write_run(tmp_path / f"{place}_{model}_{seed}", model, seed, 9000 + seed, **of)
    _, whole = combined(tmp_path)
    for text in (html(whole), markdown(whole), terminal(whole)):
        assert "\\x1b" in text
        assert "\x1b" not in text
    assert "<script" not in html(whole) + markdown(whole)
    assert "&lt;script&gt;" in html(whole)


def test_a_script_expects_the_verdict_over_all(family: Path) -> None:
    _, whole = combined(family)
    expectation.check(expectation.wanted(whole.comparisons, "helps"))
    with pytest.raises(ExpectationError, match="expect=not_helps, but gated: helps"):
        expectation.check(expectation.wanted(whole.comparisons, "gated:not_helps"))
    with pytest.raises(ConfigError, match="names se, which is not compared"):
        expectation.wanted(whole.comparisons, "se:helps")


def test_what_holds_in_each_holds_in_all(tmp_path: Path) -> None:
    for dataset, base in (("digits", 9300), ("letters", 8100)):
        for model, gain in (("none", 0), ("gated", 60)):
            for seed in range(5):
                of = {"dataset": dataset, "data_digest": dataset, "recipe_digest": f"recipe of {dataset}"}
                folder = tmp_path / "family" / f"{dataset}_{model}_{seed}"
                write_run(folder, model, seed, base + gain + 5 * seed, **of)
    found, whole = combined(tmp_path)
    assert found["gated"]["in_each"] == "helps"
    assert "helps in each of the 2" in terminal(whole)


def test_a_doubt_of_one_is_a_doubt_of_all_but_seeds_add_up(tmp_path: Path) -> None:
    for dataset in ("digits", "letters"):
        for model, gain in (("none", 0), ("gated", 60)):
            for seed in range(3):
                of = {"dataset": dataset, "data_digest": dataset, "recipe_digest": f"recipe of {dataset}"}
                device = "cuda" if (model, dataset) == ("gated", "letters") else "cpu"
                folder = tmp_path / dataset / f"{model}_{seed}"
                write_run(folder, model, seed, 9000 + gain + 5 * seed, device=device, **of)
    gated = combined(tmp_path)[0]["gated"]
    assert {part["verdict"] for part in gated["parts"].values()} == {"preliminary", "confounded"}
    assert gated["verdict"] == "confounded"
    assert "in dataset=letters gated has device cuda" in gated["words"]
    for path in (tmp_path / "letters").glob("gated*/result.json"):
        path.write_text(path.read_text().replace('"device": "cuda"', '"device": "cpu"'))
    assert combined(tmp_path)[0]["gated"]["verdict"] == "helps"


def test_loss_is_combined_as_ratios(family: Path) -> None:
    for number, path in enumerate(sorted(family.glob("*/result.json"))):
        loss = (0.19 if "gated" in path.parent.name else 0.2) * (1 + number % 5 / 100)
        path.write_text(path.read_text().replace('"test_loss": 0.25', f'"test_loss": {loss}'))
    gated = combined(family, metric="loss")[0]["gated"]
    ratios = [1 + part["mean"] / 100 for part in gated["parts"].values()]
    assert 1 + gated["mean"] / 100 == pytest.approx(stats.gmean(ratios))
    assert gated["verdict"] == "helps"


# How groups and arms are named and told apart


def write_recipes(folder: Path, *recipes: dict[str, Any], arms: dict[str, dict[str, Any]]) -> None:
    """Write runs of recipes, given as settings of config.yaml, and of arms by their own settings."""
    for place, recipe in enumerate(recipes):
        for label, arm in arms.items():
            for seed in range(5):
                changes = {"arm": {"control": "none", **arm}, "arm_digest": label, "recipe_digest": repr(recipe)}
                run = write_run(folder / f"{place}_{label}_{seed}", "x", seed, 9000 + 10 * len(label) + seed, **changes)
                (run / "config.yaml").write_text(yaml.safe_dump(recipe))


PLAIN = {"none": {"model.name": "none"}, "gated": {"model.name": "gated"}}


@pytest.mark.parametrize(
    ("recipes", "names"),
    [
        (
            [
                {"dataset": {"name": "digits"}, "train": {"epochs": 2}},
                {"dataset": {"name": "a"}, "train": {"epochs": 3}},
            ],
            ["dataset=a", "dataset=digits"],
        ),
        (
            [{"train": {"epochs": 2, "clip_norm": 1}}, {"train": {"epochs": 3, "clip_norm": 1}}],
            ["train.epochs=2", "train.epochs=3"],
        ),
        (
            [
                {"dataset": {"name": "a"}, "train": {"epochs": 2}},
                {"dataset": {"name": "a"}, "train": {"epochs": 3}},
                {"dataset": {"name": "b"}, "train": {"epochs": 2}},
            ],
            ["dataset=a train.epochs=2", "dataset=a train.epochs=3", "dataset=b train.epochs=2"],
        ),
    ],
)
def test_groups_are_named_by_what_differs(tmp_path: Path, recipes: list[dict[str, Any]], names: list[str]) -> None:
    write_recipes(tmp_path / "runs", *recipes, arms=PLAIN)
    assert list(combined(tmp_path / "runs")[1].groups) == names


def test_another_version_of_a_recipe_is_no_recipe_of_its_own(tmp_path: Path) -> None:
    recipes = [{"train": {"epochs": 2}}, {"train": {"epochs": 3}}, {"train": {"epochs": 2, "mixup": 0}}]
    write_recipes(tmp_path / "runs", *recipes, arms=PLAIN)
    for path in (tmp_path / "runs").glob("2_*/result.json"):
        path.write_text(path.read_text().replace('"seeds": [', '"seeds": [1').replace('"seed": ', '"seed": 1'))
    _, whole = combined(tmp_path / "runs")
    assert list(whole.groups) == ["train.epochs=2", "train.epochs=3"]
    assert "come from another version" in terminal(whole)


def test_arms_have_the_same_names_in_all_groups(tmp_path: Path) -> None:
    """One that is alone of its mechanism in a group is named as where it is not; its place may follow the network."""
    arms: dict[str, dict[str, Any]] = {
        "none": {"model.name": "none"},
        "gated1": {"model.name": "gated", "model.branches": 1, "backbone.placement.stages": [1]},
        "gated22": {"model.name": "gated", "model.branches": 2, "backbone.placement.stages": [1]},
    }
    first, second = {"train": {"epochs": 2}}, {"train": {"epochs": 3}}
    write_recipes(tmp_path / "first", first, arms=arms)
    arms["gated22"]["backbone.placement.stages"] = [2]
    write_recipes(tmp_path / "second", second, arms={name: arms[name] for name in ("none", "gated22")})
    found, whole = combined(tmp_path / "first", tmp_path / "second")
    assert list(found) == ["gated branches=2"]
    assert "gated branches=1 against none is not combined" in terminal(whole)
    assert "gated has not the same backbone.placement.stages everywhere" in terminal(whole)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["one"], "all runs are of one recipe and data set"),
        (["family", "max_seeds=9"], "max_seeds= plans the looks"),
        (["family/digits_none_0", "family/letters_none_0"], "dataset=digits: all runs found are of one arm"),
        (["family", "baseline=eca"], "dataset=digits: baseline=eca is none of the arms"),
    ],
)
def test_what_cannot_be_combined_is_one_line(tmp_path: Path, family: Path, words: list[str], named: str) -> None:
    for model in ("none", "gated"):
        write_run(tmp_path / "one" / model, model, 0, 9000)
    paths, settings = compare_settings.split([*words, "combine=recipes"])
    with pytest.raises(ConfigError, match=re.escape(named)):
        combine(compose.compare(settings), [str(tmp_path / path) for path in paths], "attn-compare")


def test_each_file_of_elsewhere_is_a_recipe(tmp_path: Path, family: Path) -> None:
    write_list(tmp_path / "theirs.csv")
    found, whole = combined(tmp_path / "theirs.csv", family)
    *_, last = whole.groups
    assert last == str(tmp_path / "theirs.csv")
    assert found["gated"]["parts"][last]["mean"] == pytest.approx(0.52)


# Studies that add up

STUDIES = {
    "first": ({"none": [9310, 9325, 9301, 9333, 9318], "gated": [9331, 9350, 9322, 9359, 9347]}, 0),
    "second": ({"none": [9315, 9305, 9331, 9323, 9308, 9320, 9311], "gated": [9329, 9335, 9346, 9350, 9331]}, 10),
}


def write_studies(folder: Path, **changes: Any) -> list[Path]:
    """Write the runs of STUDIES, each with seeds of its own; return their folders."""
    for study, (by_arm, first) in STUDIES.items():
        for model, counts in by_arm.items():
            for seed, correct in enumerate(counts, first):
                write_run(folder / study / f"{model}_{seed}", model, seed, correct, **changes)
    return [folder / study for study in STUDIES]


def as_study(folder: Path, margin: float = 0.2) -> None:
    """Make a folder of runs that of attn-study, which looked at them after every seed."""
    by_arm, first = STUDIES[folder.name]
    rule = {"number": RULE, "arms": ["none", "gated"], "max_seeds": 12, "baseline_seeds": 12, "margin": margin}
    (folder / "study.json").write_text(json.dumps({"rule": rule | {"first_seed": first}}))
    rows = [
        {"arm": arm, "seed": seed, "job": f"{arm}_{seed}", "seconds": 1.0, "exit_code": 0, "reason": ""}
        for seed in range(first, first + 12)
        for arm in by_arm
        if (folder / f"{arm}_{seed}").exists()
    ]
    (folder / "runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_studies_are_weighted_by_their_seeds(tmp_path: Path) -> None:
    found, whole = combined(*write_studies(tmp_path), combine="studies")
    gated = found["gated"]
    first, second = gated["parts"].values()
    weights = np.array([5 * 5 / 10, 5 * 7 / 12])  # by the inverse of 1 / n + 1 / m
    weights /= weights.sum()
    assert gated["mean"] == pytest.approx(weights @ [first["mean"], second["mean"]])
    assert gated["error"] == pytest.approx(np.linalg.norm(weights * [first["error"], second["error"]]))
    assert gated["n"] == 10
    assert "for studies of one comparison" in terminal(whole)
    assert "about these" not in terminal(whole)
    # As runs of one folder they are one comparison, with nearly the same answer.
    (together,) = summarize(compose.compare([]), [str(tmp_path)], "").comparisons
    assert together.difference.mean == pytest.approx(gated["mean"], abs=0.02)
    assert together.difference.error == pytest.approx(gated["error"], rel=0.2)


def test_a_run_that_is_in_two_studies_counts_once(tmp_path: Path) -> None:
    first, second = write_studies(tmp_path)
    shutil.copytree(first / "gated_0", second / "gated_0")
    found, whole = combined(first, second, combine="studies")
    assert found["gated"]["n"] == 10
    (left_out,) = whole.left_out
    assert left_out.folder == second / "gated_0"
    assert f"repeats the arm and the seed of {first / 'gated_0'}" in left_out.reason
    shutil.copytree(first, tmp_path / "copy")
    with pytest.raises(ConfigError, match=r"copy has no run of its own: studies add up where their seeds differ"):
        combined(first, tmp_path / "copy", combine="studies")


def test_run_folders_are_of_the_folder_they_lie_in(tmp_path: Path) -> None:
    _, whole = combined(*(run for folder in write_studies(tmp_path) for run in folder.iterdir()), combine="studies")
    assert list(whole.groups) == [str(tmp_path / "first"), str(tmp_path / "second")]


def test_studies_that_stopped_by_their_looks_flatter_what_is_combined(tmp_path: Path) -> None:
    folders = write_studies(tmp_path)
    assert "stop by their looks" not in terminal(combined(*folders, combine="studies")[1])
    for folder in folders:
        as_study(folder)
    found, whole = combined(*folders, combine="studies")
    assert "stop by their looks" in terminal(whole)
    for name, summary in whole.groups.items():
        assert summary.study is not None
        assert found["gated"]["parts"][name]["low"] == summary.comparisons[0].difference.low
    # Those of other recipes, too.
    for path in folders[1].glob("*/result.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"recipe_digest": "other"}))
    assert "stop by their looks" in terminal(combined(*folders)[1])
    as_study(folders[1], margin=1.0)
    with pytest.raises(ConfigError, match=r"the margins differ: 0\.2 in .*first, 1 in .*second"):
        combined(*folders, combine="studies")


def test_recipes_of_one_family_add_up_with_a_warning_and_other_data_not(tmp_path: Path) -> None:
    first, second = write_studies(tmp_path)
    for run in second.iterdir():
        result = json.loads((run / "result.json").read_text())
        (run / "result.json").write_text(json.dumps(result | {"epochs": 30, "recipe_digest": "longer"}))
    assert "not of one recipe: train.epochs=2 and 30" in terminal(combined(first, second, combine="studies")[1])
    for run in second.iterdir():
        result = json.loads((run / "result.json").read_text())
        (run / "result.json").write_text(json.dumps(result | {"data_digest": "e" * 64}))
    with pytest.raises(ConfigError, match="over data sets say combine=recipes"):
        combined(first, second, combine="studies")


def test_files_of_elsewhere_are_studies_too(tmp_path: Path) -> None:
    write_list(tmp_path / "theirs.csv")
    found, _ = combined(*write_studies(tmp_path), tmp_path / "theirs.csv", combine="studies")
    assert found["gated"]["n"] == 15
    with pytest.raises(ConfigError, match=r"adds up several folders, and .*theirs\.csv is one"):
        combined(tmp_path / "theirs.csv", combine="studies")
