"""attn-compare on run folders: made up ones whose figures are known, real ones, damaged ones and hostile ones."""

import csv
import json
import math
import shlex
import shutil
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import TINY, Outcome, run_here
from scipy import stats
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_compare_statistics import by_hand

from attn_train.comparison import arms, benched, cost
from attn_train.comparison.report import escaped
from attn_train.errors import ConfigError
from attn_train.runs import finished as runs
from attn_train.settings import compose, identity
from attn_train.writing.text import aligned

TOTAL = 10_000
ACCURACIES = {
    "none": [9310, 9325, 9301, 9333, 9318],
    "gated": [9371, 9380, 9362, 9399, 9377],
    "se": [9312, 9324, 9303, 9331, 9320],
}


def write_run(folder: Path, model: str, seed: int, correct: int, **changes: Any) -> Path:
    """Write what attn-compare reads of a run; `changes` are of its result."""
    folder.mkdir(parents=True)
    found = {
        "model": model,
        "backbone": "fast",
        "dataset": "cifar10",
        "seed": seed,
        "epochs": 2,
        "test_accuracy": correct / TOTAL,
        "correct": correct,
        "total": TOTAL,
        "test_loss": 0.25,
        "parameters": {"none": 1000, "gated": 1500, "se": 1100}.get(model, 1200),
        "macs": {"none": 10_000, "gated": 15_000, "se": 10_100}.get(model, 12_000),
        "train_seconds": 100.0 + seed,
        "peak_memory_bytes": 2_000_000_000,
        "device": "cpu",
        "precision": "bfloat16",
        "versions": {"torch": "2.14.1"},
        "commit": None,
        "data_digest": "d" * 64,
        "arm": {"model.name": model, "control": "none", "control_width": None},
        "arm_digest": identity.digest({"model": model}),
        "recipe_digest": "r" * 16,
        "seeds": [seed] * 3,
    }
    (folder / "result.json").write_text(json.dumps(found | changes))
    rows = [
        {"kind": "evaluation", "step": 10 * epoch, "split": "test", "epoch": epoch, "loss": 1.0 / epoch, "accuracy": at}
        for epoch, at in ((1, 0.5 + seed / 100), (2, correct / TOTAL))
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def write_sweep(folder: Path) -> Path:
    """Write the runs of ACCURACIES; return their folder."""
    for model, counts in ACCURACIES.items():
        for seed, correct in enumerate(counts):
            write_run(folder / f"{model}_{seed}", model, seed, correct)
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "sweep")


def compare(folder: Path, *words: str, pictures: bool = False) -> Outcome:
    return run_here(folder, *words, command="compare", pictures=pictures)


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "compare.json").read_text())
    return found


def test_answers_what_scipy_finds(tmp_path: Path, sweep: Path) -> None:
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == 0, ended.err
    found = {one["arm"]: one for one in record(tmp_path / "out")["comparisons"]}
    assert {arm: one["verdict"] for arm, one in found.items()} == {"gated": "helps", "se": "equivalent"}
    table = [dict(enumerate(count / 100 for count in counts)) for counts in ACCURACIES.values()]
    raw = {}
    for arm, one in found.items():
        mean, error, freedom = by_hand(table, list(ACCURACIES).index(arm), list(ACCURACIES).index("none"))
        half, bound = (error * stats.t.ppf(1 - level / 2, freedom) for level in (0.05 / 2, 2 * 0.04 / 2))
        ends = (one["low"], one["high"], one["least"], one["most"])
        assert ends == pytest.approx((mean - half, mean + half, mean - bound, mean + bound))
        raw[arm] = 2 * stats.t.sf(abs(mean) / error, freedom)
        assert one["p_value"] == pytest.approx(raw[arm])
        u = stats.mannwhitneyu(ACCURACIES[arm], ACCURACIES["none"]).statistic
        assert one["chance"] == pytest.approx(u / 25)
    assert found["gated"]["adjusted_p_value"] == pytest.approx(2 * raw["gated"])
    assert "gated" in ended.out
    assert "helps" in ended.out
    rows = list(csv.DictReader((tmp_path / "out" / "compare.csv").read_text().splitlines()))
    assert [row["arm"] for row in rows] == ["none", "gated", "se"]
    assert float(rows[1]["mean"]) == pytest.approx(found["gated"]["mean"])
    assert "helps" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("bench=a=b (1)", "bench=a=b (1) has no readable bench.json"),
        ("bench=~/none", "bench=/home/me/none has no"),
        ("baseline=it's, [x] #1", "it's, [x] #1"),
        ("output=file/it's (1)", "file/it's (1): Not a directory; name another with output="),
    ],
)
def test_a_text_needs_no_quotes_but_the_shells(
    tmp_path: Path, sweep: Path, monkeypatch: pytest.MonkeyPatch, word: str, named: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "file").touch()
    ended = compare(tmp_path, "sweep", word)
    assert ended.code == 2
    assert named in ended.err
    assert len(ended.err.splitlines()) == 1


def test_an_empty_word_is_refused(tmp_path: Path, sweep: Path) -> None:
    ended = compare(tmp_path, "sweep", "")
    assert ended.code == 2
    assert "empty" in ended.err


def test_only_the_front_is_marked(tmp_path: Path, sweep: Path) -> None:
    write_run(sweep / "eca_0", "eca", 0, 9000)  # costs more than se and is worse
    assert compare(tmp_path, "sweep", "output=out").code == 0
    assert sorted(record(tmp_path / "out")["pareto"]["macs"]) == ["gated", "none", "se"]


def test_front_by_its_definition() -> None:
    generator = np.random.default_rng(0)
    costs = {str(n): float(one) for n, one in enumerate(generator.integers(0, 9, 40))}
    accuracies = {str(n): float(one) for n, one in enumerate(generator.integers(0, 9, 40))}
    found = cost.front(costs, accuracies)
    best = -math.inf
    expected = []
    for price in sorted(set(costs.values())):
        top = max(accuracies[one] for one in costs if costs[one] == price)
        if top > best:
            expected += [one for one in costs if costs[one] == price and accuracies[one] == top]
            best = top
    assert sorted(found) == sorted(expected)


def test_on_the_front_by_what_may_be_chance(tmp_path: Path, sweep: Path) -> None:
    """gated surely gains on none and on se, which costs a little and is no better than none surely; srm, which costs
    least, surely loses."""
    for seed in range(5):
        write_run(sweep / f"srm_{seed}", "srm", seed, 9200 + 10 * (seed % 3), macs=5_000)
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == 0, ended.err
    found = record(tmp_path / "out")
    assert sorted(found["pareto"]["macs"]) == ["gated", "none", "se", "srm"]
    assert found["pareto_by_chance"]["macs"] == ["se"]
    assert "multiply-adds (may be chance)" in ended.out
    assert csv_rows(tmp_path / "out")["se"]["pareto_by_chance"].split()[:2] == ["parameters", "macs"]
    # With fewer seeds nothing is sure.
    for path in sweep.glob("*_4"):
        shutil.rmtree(path)
    assert compare(tmp_path, "sweep", "output=few").code == 0
    assert sorted(record(tmp_path / "few")["pareto_by_chance"]["macs"]) == ["gated", "none", "se"]


# A run of maps 64x15x15, 256x7x7 twice, in batches of 100 computed in two parts.
PLACES = [[64, 15, 15], [256, 7, 7], [256, 7, 7]]
DEVICE = {"kind": "cpu", "precision": "bfloat16", "channels_last": True, "compile": False, "threads": 2}


def write_benched(folder: Path, model: str, seed: int, correct: int, **settings: Any) -> Path:
    """Write a run that says where its network has attention; `settings` are the mechanism's."""
    settings = {f"model.{key}": value for key, value in settings.items()}
    changes = {"arm": {"model.name": model, **settings, "control": "none"}, "arm_digest": repr((model, settings))}
    run = write_run(folder, model, seed, correct, attention_places=[] if model == "none" else PLACES, **changes)
    values = {"train": {"batch_size": 100, "accumulate": 2}, "device": DEVICE, "control": "none"}
    (run / "config.yaml").write_text(yaml.safe_dump(values))
    return run


def bench_cell(model: str, channels: int, size: int, seconds: float, **changes: Any) -> dict[str, Any]:
    found = {"model": model, "name": model, "options": {}, "status": "ok", "channels": channels, "size": size}
    return found | {"batch": 50, "training_seconds": seconds, "training_bytes": 1e6 * size} | changes


def costs_by(cells: list[dict[str, Any]], folder: Path, *runs_of: Path) -> tuple[dict[str, cost.Cost], list[str]]:
    """What a bench of these cells says of runs."""
    (folder / "bench.json").write_text(json.dumps({"cells": cells, "device": DEVICE}))
    found, _ = arms.sort(runs.read_all(list(runs_of))[0])
    return benched.with_bench(found, benched.read_bench(folder, compose.CONF), compose.CONF)


def test_time_and_memory_of_a_bench(tmp_path: Path) -> None:
    """Of each option its own, over all places of the network and all parts of a step; other maps do not count."""
    for seed in range(2):
        write_benched(tmp_path / "sweep" / f"none{seed}", "none", seed, 9300 + seed)
        for reduction in (1, 16):
            write_benched(tmp_path / "sweep" / f"se{reduction}-{seed}", "se", seed, 9310 + seed, reduction=reduction)
    cells = [
        bench_cell("se", channels, size, factor * seconds, options={"reduction": reduction})
        for reduction, factor in ((1, 10), (16, 1), (8, 100))
        for channels, size, seconds in ((64, 15, 0.002), (256, 7, 0.001), (64, 7, 5.0), (256, 15, 5.0))
    ]
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "bench.json").write_text(json.dumps({"cells": cells, "device": DEVICE}))
    ended = compare(tmp_path, "sweep", "output=out", "bench=bench")
    assert ended.code == 0, ended.err
    found = {one["arm"]: one for one in record(tmp_path / "out")["arms"]}
    assert {arm: one["seconds"] for arm, one in found.items()} == pytest.approx(
        {"none": 0.0, "se reduction=1": 0.08, "se reduction=16": 0.008}
    )
    assert {arm: one["bytes"] for arm, one in found.items()} == {
        "none": 0.0,
        "se reduction=1": 15e6,
        "se reduction=16": 15e6,
    }
    assert not [one for one in record(tmp_path / "out")["warnings"] if "bench" in one]
    without = compare(tmp_path, "sweep", "output=out2")
    assert "drift" in without.out
    wrong = compare(tmp_path, "sweep", "bench=sweep")
    assert wrong.code == 2
    assert "bench.json" in wrong.err


GATED = {"per": "element", "branches": 2}


@pytest.mark.parametrize(
    ("cells", "lacking"),
    [
        ([bench_cell("gated", 256, 7, 1.0, options=GATED)], "at batch 50 on 64x15x15"),
        ([bench_cell("gated", 64, 15, 1.0, options=GATED), bench_cell("gated", 256, 8, 1.0, options=GATED)], "256x7x7"),
        (
            [bench_cell("gated", c, s, 1.0, options=GATED, batch=100) for c, s in ((64, 15), (256, 7))],
            "64x15x15, 256x7x7",
        ),
        ([bench_cell("gated", c, s, 1.0, options=GATED, batch=None) for c, s in ((64, 15), (256, 7))], "256x7x7"),
        ([bench_cell("gated", c, s, 1.0, options=GATED | {"branches": 1}) for c, s in ((64, 15), (256, 7))], "256x7x7"),
        ([bench_cell("gated", c, s, 1.0, options=GATED | {"more": 1}) for c, s in ((64, 15), (256, 7))], "256x7x7"),
        ([bench_cell("se", c, s, 1.0, options=GATED) for c, s in ((64, 15), (256, 7))], "256x7x7"),
        (
            [
                bench_cell("gated", 64, 15, 1.0, options=GATED),
                bench_cell("gated", 256, 7, 1.0, options=GATED, status="out of memory", training_seconds=None),
            ],
            "on 256x7x7 (out of memory)",
        ),
    ],
)
def test_what_a_bench_lacks_is_not_guessed(tmp_path: Path, cells: list[dict[str, Any]], lacking: str) -> None:
    run = write_benched(tmp_path / "a run", "gated", 0, 9300, **GATED)
    cells = [bench_cell("srm", 1, 1, 1.0), *cells]
    found, warnings = costs_by(cells, tmp_path, write_benched(tmp_path / "none", "none", 0, 9300), run)
    assert (found["gated"].seconds, found["gated"].bytes) == (None, None)
    assert (found["gated"].parameters, found["none"].seconds) == (1500, 0.0)
    (reason, command) = warnings
    assert "time and memory of gated are not known: bench has no cell of it" in reason
    assert lacking in reason
    assert shlex.split(command)[-2:] == ["attn-bench", f'runs=["{run}"]']


@pytest.mark.parametrize(
    ("model", "settings", "seconds"),
    [("se", {"reduction": 16}, 6.0), ("se", {"reduction": 1}, None), ("se reduction=1", {"reduction": 1}, 6.0)],
)
def test_a_bench_of_before_cells_said_their_options(
    tmp_path: Path, model: str, settings: dict[str, Any], seconds: float | None
) -> None:
    """It measured the options that its label gives, and else those of the mechanism's file: se has reduction 16."""
    cells = [bench_cell(model, channels, size, 1.0) for channels, size in ((64, 15), (256, 7))]
    for cell in cells:
        del cell["name"], cell["options"]
    found, _ = costs_by(cells, tmp_path, write_benched(tmp_path / "run", "se", 0, 9300, **settings))
    assert found["se"].seconds == seconds


def test_runs_that_do_not_say_where_they_have_attention(tmp_path: Path) -> None:
    cells = [bench_cell("se", channels, size, 1.0) for channels, size in ((64, 15), (256, 7))]
    before = write_run(tmp_path / "before", "se", 0, 9300)
    found, warnings = costs_by(cells, tmp_path, before)
    assert found["se"].seconds is None
    (said,) = warnings
    assert "do not say on which maps" in said


def test_a_bench_of_square_maps_says_nothing_of_a_sequence(tmp_path: Path) -> None:
    cells = [bench_cell("se", 64, 16, 1.0)]
    sequence = write_benched(tmp_path / "lstm", "se", 0, 9300)
    path = sequence / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attention_places": [[64, 16, 1]]}))
    found, (said,) = costs_by(cells, tmp_path, sequence)
    assert found["se"].seconds is None
    assert "stands on a map of 16x1" in said


def test_a_bench_on_another_device_is_said(tmp_path: Path) -> None:
    run = write_benched(tmp_path / "run", "srm", 0, 9300)
    values = yaml.safe_load((run / "config.yaml").read_text())
    values["device"] |= {"threads": 1, "precision": "float32"}
    (run / "config.yaml").write_text(yaml.safe_dump(values))
    found, warnings = costs_by([bench_cell("srm", c, s, 1.0) for c, s in ((64, 15), (256, 7))], tmp_path, run)
    assert found["srm"].seconds == 6.0
    (said,) = warnings
    assert "device.precision=bfloat16, not float32; device.threads=2, not 1" in said


def test_what_cannot_be_used_is_listed_and_left_out(tmp_path: Path, sweep: Path) -> None:
    (sweep / "unfinished").mkdir()
    (sweep / "unfinished" / "config.yaml").write_text("model: {name: gated}\n")
    (sweep / "failed").mkdir()
    (sweep / "failed" / "config.yaml").write_text("")
    (sweep / "failed" / "failure.json").write_text('{"reason": "loss is nan"}')
    for number, text in enumerate(("", "{", "[]", "{}", '{"test_accuracy": NaN}', "\0\0\0")):
        (sweep / f"torn{number}").mkdir()
        (sweep / f"torn{number}" / "result.json").write_text(text)
    write_run(sweep / "wrong", "gated", 9, 9000, test_accuracy=0.95)
    write_run(sweep / "nan", "gated", 9, 9000, test_accuracy=math.nan)
    write_run(sweep / "zz_again", "gated", 0, 9999)
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == 0, ended.err
    left_out = {Path(one["folder"]).name: one["reason"] for one in record(tmp_path / "out")["left_out"]}
    torn = {f"torn{number}" for number in range(6)}
    assert left_out.keys() == {"unfinished", "failed", "wrong", "nan", "zz_again"} | torn
    assert "loss is nan" in left_out["failed"]
    assert "resume=" in left_out["unfinished"]
    assert "repeats" in left_out["zz_again"]
    assert "LEFT OUT: 11 of 26 runs" in ended.out
    for name in left_out:
        assert name in ended.out
        assert name in (tmp_path / "out" / "report.html").read_text()
    gated = next(one for one in record(tmp_path / "out")["arms"] if one["arm"] == "gated")
    assert gated["accuracy"] == pytest.approx(np.mean(ACCURACIES["gated"]) / 100)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"data_digest": "e" * 64}, "data"), ({"recipe_digest": "s" * 16}, "more than arm and seed")],
)
def test_refuses_other_data_and_recipes(tmp_path: Path, sweep: Path, changes: dict[str, str], named: str) -> None:
    write_run(sweep / "other", "gated", 7, 9100, **changes)
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == 2
    assert named in ended.err
    assert "other" in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_other_versions_and_devices_are_a_warning(tmp_path: Path, sweep: Path) -> None:
    write_run(sweep / "other", "gated", 7, 9100, versions={"torch": "2.15.0"}, device="cuda")
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == 0
    assert "different versions" in ended.out
    assert "different devices" in ended.out
    assert "gated (6 runs) and none (5) have 5 seeds in common; all runs count" in ended.out


def test_arms_of_one_mechanism_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / f"none{seed}", "none", seed, 9000 + seed)
        for branches in (1, 2):
            settings = {"model.name": "gated", "model.per": "element", "model.branches": branches, "control": "none"}
            changes = {"arm": settings, "arm_digest": f"g{branches}"}
            write_run(tmp_path / f"gated{branches}{seed}", "gated", seed, 9100 + seed, **changes)
    found, _ = arms.sort(runs.read_all(runs.find([str(tmp_path)]))[0])
    assert [arm.label for arm in found] == ["none", "gated branches=1", "gated branches=2"]
    ended = compare(tmp_path, ".", "output=out", "baseline=gated branches=2")
    assert ended.code == 0, ended.err
    assert record(tmp_path / "out")["baseline"] == "gated branches=2"


def test_a_mechanism_is_held_against_its_own_control(tmp_path: Path, sweep: Path) -> None:
    for seed in range(5):
        settings = {"model.name": "gated", "control": "parameters", "control_width": [70, 260]}
        changes = {"arm": settings, "arm_digest": "control"}
        write_run(sweep / f"control{seed}", "gated", seed, 9374 + seed, **changes)
    assert compare(tmp_path, "sweep", "output=out").code == 0
    found = record(tmp_path / "out")
    against = found["against_controls"]
    assert [(one["arm"], one["reference"]) for one in against] == [("gated", "gated-control-parameters")]
    # One family: the control costs no verdict of its own against none, and all intervals hold at once.
    assert [one["arm"] for one in found["comparisons"]] == ["gated", "se"]
    assert [one["level"] for one in [*found["comparisons"], *against]] == pytest.approx([1 - 0.05 / 3] * 3)


def test_planned_looks_share_the_error(tmp_path: Path, sweep: Path) -> None:
    """At the first look, n of N seeds, (n / N)^2 of the error is spent, exactly; where that is the last, all of it."""
    halves = []
    for number, (words, spent) in enumerate((((), 1), (("max_seeds=5",), 1), (("max_seeds=10",), 0.25))):
        ended = compare(tmp_path, "sweep", f"output={number}", *words)
        assert ended.code == 0, ended.err
        one = record(tmp_path / str(number))["comparisons"][0]
        assert 1 - one["level"] == pytest.approx(0.05 / 2 * spent)
        halves.append(one["high"] - one["mean"])
        assert halves[-1] == pytest.approx(one["error"] * stats.t.ppf((1 + one["level"]) / 2, one["freedom"]))
    assert halves[0] == pytest.approx(halves[1])
    ended = compare(tmp_path, "sweep", "max_seeds=4")
    assert ended.code == 2
    assert "max_seeds=4 is out of range; it must be at least 5" in ended.err
    write_run(sweep / "sixth", "none", 6, 9300)
    ended = compare(tmp_path, "sweep", "max_seeds=5")
    assert ended.code == 2
    assert "max_seeds=5, but none has 6 runs" in ended.err


def test_an_undecided_comparison_was_a_look(tmp_path: Path, sweep: Path) -> None:
    for words, expected in ((("margin=0.01",), True), (("margin=0.01", "max_seeds=9"), False)):
        ended = compare(tmp_path, "sweep", *words)
        assert ended.code == 0, ended.err
        assert "undecided: about" in ended.out
        assert ("seen; this was a look" in ended.out) == expected
        assert ("Say max_seeds=N at the first look" in ended.out) == expected


def test_single_runs_by_mcnemar(tmp_path: Path) -> None:
    labels = np.arange(TOTAL) % 10
    generator = np.random.default_rng(0)
    right = {"none": generator.random(TOTAL) < 0.90, "gated": generator.random(TOTAL) < 0.92}
    for model, found in right.items():
        folder = write_run(tmp_path / model, model, 0, int(found.sum()))
        logits = np.eye(10, dtype=np.float32)[np.where(found, labels, (labels + 1) % 10)]
        np.savez_compressed(folder / "predictions.npz", logits=logits, labels=labels, index=np.arange(TOTAL))
    ended = compare(tmp_path, ".", "output=out")
    assert ended.code == 0, ended.err
    (found,) = record(tmp_path / "out")["comparisons"]
    ours, theirs = (right["gated"] & ~right["none"]).sum(), (right["none"] & ~right["gated"]).sum()
    expected = stats.binomtest(int(ours), int(ours + theirs)).pvalue
    assert found["mcnemar"]["p_value"] == pytest.approx(expected)
    assert "it is about these two networks" in ended.out
    assert found["verdict"] == "undecided"
    assert found["low"] is None
    (tmp_path / "gated" / "predictions.npz").write_bytes(b"PK\x03\x04 no archive")
    again = compare(tmp_path, ".", "output=out2")
    assert again.code == 0, again.err
    assert "predictions" in again.out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nowhere"], "nowhere"),
        (["sweep", "margin=0"], "margin"),
        (["sweep", "margin=x"], "margin"),
        (["sweep", "margn=1"], "margn"),
        (["sweep", "images=maybe"], "images"),
        (["sweep", "--quick"], "--quick"),
        (["margin=1"], "nothing to compare"),
        (["sweep", "baseline=cbam"], "choose from none, gated, se"),
        (["sweep/se_0", "sweep/se_1"], "one arm"),
        (["sweep/se_0", "sweep/gated_0"], "baseline="),
        (["empty"], "no run in empty"),
    ],
)
def test_bad_usage_is_one_line_and_2(tmp_path: Path, sweep: Path, words: list[str], named: str) -> None:
    (tmp_path / "empty").mkdir()
    ended = compare(tmp_path, *words)
    assert ended.code == 2
    assert named in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert not (tmp_path / "outputs").exists()


class Tags(HTMLParser):
    """Collects the elements of a page, and what they load."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_page_is_self_contained_and_escapes_hostile_names(tmp_path: Path, sweep: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}"
    for seed in range(5):
        changes = {"arm": {"model.name": evil, "control": "none"}, "dataset": evil, "arm_digest": "evil"}
        write_run(sweep / f"a<b onclick=x>{seed}", "gated", seed, 9100 + seed, **changes)
    write_run(sweep / "z<svg onload=alert(1)>", "gated", 3, 9100, arm_digest="evil", arm={"model.name": evil})
    ended = compare(tmp_path, "sweep", "output=out", pictures=True)
    assert ended.code == 0, ended.err
    text = (tmp_path / "out" / "report.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert not tags.names & {"script", "img", "iframe", "link", "object", "embed", "a", "base", "form"}
    assert not {name for name in tags.attributes if name.startswith("on") or name in ("src", "href")}
    assert "&lt;script&gt;" in text
    assert {"svg", "path", "text", "table"} <= tags.names
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text
    assert "<script" not in (tmp_path / "out" / "report.md").read_text()


def test_names_cannot_steer_a_terminal_or_leave_a_table() -> None:
    assert "\x1b" not in aligned([["a\x1b[2Jb", "c"]], left=(0,))
    assert escaped("a|b<i>\n`c`") == "a\\|b&lt;i&gt;\\\\n\\`c\\`"


def test_no_form_of_the_report_has_a_character_that_does_not_show(tmp_path: Path, sweep: Path) -> None:
    evil = "a\x1b[2J\n| b |\u202e\u2066\x00\ud8ff$\\frac$"
    for seed in range(5):
        changes = {"arm": {"model.name": evil, "control": "none"}, "dataset": evil, "backbone": evil}
        write_run(sweep / f"a\x1b\n{seed}", "gated", seed, 9100 + seed, **changes, arm_digest="evil")
    write_run(sweep / "z\u202e", "gated", 3, 9100, arm_digest="evil", arm={"model.name": evil})
    ended = compare(tmp_path, "sweep", "output=out", pictures=True)
    assert ended.code == 0, ended.err
    files = ("report.md", "report.html")
    for text in (ended.out, *((tmp_path / "out" / name).read_text(encoding="utf-8") for name in files)):
        assert not [one for one in text if unicodedata.category(one) in ("Cc", "Cf", "Cs") and one != "\n"]
        assert "\\x1b" in text
    # The name is one cell of one line of the table, and one row a machine reads.
    said, line = [line for line in ended.out.splitlines() if line.startswith("a\\x1b[2J") and "hurts" in line]
    assert said.startswith(r"a\x1b[2J\n| b |\u202e\u2066\x00\ud8ff$\frac$ hurts: ")
    assert line.startswith(r"a\x1b[2J\n| b |\u202e\u2066\x00\ud8ff$\frac$  ")
    assert evil in [one["arm"] for one in record(tmp_path / "out")["comparisons"]]
    assert len(list(csv.DictReader((tmp_path / "out" / "compare.csv").read_text(encoding="utf-8").split("\n")))) == 4


@pytest.mark.parametrize("name", ["report.md", "report.html", "tensorboard"])
def test_a_form_of_the_report_that_fails_costs_a_warning(tmp_path: Path, sweep: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).touch() if name == "tensorboard" else (out / name).mkdir()
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == 0, ended.err
    assert "helps" in ended.out
    assert {one["arm"] for one in record(out)["comparisons"]} == {"gated", "se"}
    (said,) = ended.err.splitlines()
    assert name in said
    assert ("Not a directory" if name == "tensorboard" else "Is a directory") in said
    others = {"report.md", "report.html", "compare.csv", "compare.json", "tensorboard"} - {name}
    assert all((out / other).stat().st_size for other in others)


def test_curves_are_runs_of_tensorboard(tmp_path: Path, sweep: Path) -> None:
    assert compare(tmp_path, "sweep", "output=out").code == 0
    found = {}
    for name in ("mean", "low", "high"):
        reader = EventAccumulator(str(tmp_path / "out" / "tensorboard" / "gated" / name))
        reader.Reload()
        found[name] = {one.step: one.value for one in reader.Scalars("accuracy/test")}
    shares = np.array(ACCURACIES["gated"]) / TOTAL
    assert found["mean"] == pytest.approx({10: 0.52, 20: shares.mean()})
    assert found["low"][20] == pytest.approx(shares.mean() - shares.std(ddof=1))
    assert found["high"][20] == pytest.approx(shares.mean() + shares.std(ddof=1))


# What a row is of


def csv_rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "compare.csv").open(newline="") as file:
        return {row["arm"]: row for row in csv.DictReader(file)}


def cells_of(folder: Path, label: str) -> list[str]:
    """The cells of an arm's first row in report.md."""
    lines = (folder / "report.md").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"| {label} |")).strip("| ").split(" | ")


@pytest.fixture
def unpaired(tmp_path: Path) -> Path:
    """gated shares three seeds with none, se one, eca, which has a single run, no one."""
    correct = {
        "none": {0: 9310, 1: 9325, 2: 9301, 9: 9316},
        "gated": {0: 9300, 1: 9329, 2: 9297, 5: 9340, 6: 9341},
        "se": {2: 9290, 7: 9320},
        "eca": {8: 9295},
    }
    for model, by_seed in correct.items():
        for seed, count in by_seed.items():
            write_run(tmp_path / "sweep" / f"{model}_{seed}", model, seed, count)
    return tmp_path / "sweep"


def test_all_runs_count(tmp_path: Path, unpaired: Path) -> None:
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == 0, ended.err
    ours, theirs = [93.00, 93.29, 92.97, 93.40, 93.41], [93.10, 93.25, 93.01, 93.16]
    wins = stats.mannwhitneyu(ours, theirs).statistic / 20
    shown = f"{np.mean(ours):.2f} ± {np.std(ours, ddof=1):.2f}"
    assert cells_of(tmp_path / "out", "gated")[1:4] == [
        "5",
        shown,
        f"{np.mean(theirs):.2f} ± {np.std(theirs, ddof=1):.2f}",
    ]
    assert cells_of(tmp_path / "out", "gated")[7].startswith(f"{100 * wins:.0f} % \\[")
    assert cells_of(tmp_path / "out", "none")[1] == "4"
    assert cells_of(tmp_path / "out", "se")[1] == "2"
    assert cells_of(tmp_path / "out", "eca")[1] == "1"
    assert shown in (tmp_path / "out" / "report.html").read_text()
    assert shown in ended.out
    found = {one["arm"]: one for one in record(tmp_path / "out")["comparisons"]}
    assert found.keys() == {"gated", "se", "eca"}
    assert found["eca"]["low"] is None
    for source in (found["gated"], csv_rows(tmp_path / "out")["gated"]):
        assert float(source["n"]) == 5
        assert float(source["accuracy"]) == pytest.approx(np.mean(ours))
        assert float(source["accuracy_deviation"]) == pytest.approx(np.std(ours, ddof=1))
        assert float(source["reference_accuracy"]) == pytest.approx(np.mean(theirs))
        assert float(source["chance"]) == pytest.approx(wins)
        assert float(source["mean"]) == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert found["gated"]["shared_seeds"] == [[0] * 3, [1] * 3, [2] * 3]
    assert "gated (5 runs) and none (4) have 3 seeds in common; all runs count" in ended.out


def test_the_front_is_of_the_means_in_the_table(tmp_path: Path, unpaired: Path) -> None:
    """gated is more accurate than none, se and eca less, and all cost more."""
    assert compare(tmp_path, "sweep", "output=out").code == 0
    front = record(tmp_path / "out")["pareto"]
    assert (front["parameters"], front["macs"]) == (["none", "gated"], ["none", "gated"])


def test_a_control_is_compared_over_all_its_seeds(tmp_path: Path) -> None:
    for seed in range(4):
        write_run(tmp_path / "sweep" / f"none{seed}", "none", seed, 9300 + seed)
        write_run(tmp_path / "sweep" / f"gated{seed}", "gated", seed + 2, 9310 + seed)
        settings = {"model.name": "gated", "control": "parameters", "control_width": [70, 260]}
        changes = {"arm": settings, "arm_digest": "control"}
        write_run(tmp_path / "sweep" / f"control{seed}", "gated", seed + 3, 9312 + seed, **changes)
    assert compare(tmp_path, "sweep", "output=out").code == 0
    (found,) = record(tmp_path / "out")["against_controls"]
    assert (found["n"], found["accuracy"], found["reference_accuracy"]) == pytest.approx((4, 93.115, 93.135))


# Which accuracy is compared

VALIDATED = {"none": [0.90, 0.91, 0.92], "gated": [0.89, 0.90, 0.91], "se": [0.93, 0.94, 0.96]}


@pytest.fixture
def validated(tmp_path: Path) -> Path:
    """Runs whose validation accuracies say the contrary of their test accuracies."""
    for model, accuracies in VALIDATED.items():
        for seed, one in enumerate(accuracies):
            changes = {"val_accuracy": one, "val_total": 500}
            write_run(tmp_path / "sweep" / f"{model}_{seed}", model, seed, ACCURACIES[model][seed], **changes)
    return tmp_path / "sweep"


def test_validation_accuracy_is_shown_and_sorted_by(tmp_path: Path, validated: Path) -> None:
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == 0, ended.err
    found = record(tmp_path / "out")
    assert [arm["arm"] for arm in found["arms"]] == ["none", "se", "gated"]
    assert [one["arm"] for one in found["comparisons"]] == ["se", "gated"]
    assert [one["accuracy"] for one in found["comparisons"]] == pytest.approx([283 / 3, 90])
    assert [one["mean"] for one in found["comparisons"]] == pytest.approx([10 / 3, -1])
    assert (found["split"], found["images"]) == ("val", 500)
    assert found["arms"][1]["runs"][0]["test_accuracy"] == pytest.approx(93.12)
    assert found["pareto"]["macs"] == ["none", "se"]
    assert list(csv_rows(tmp_path / "out")) == ["none", "se", "gated"]
    for text in (ended.out, *((tmp_path / "out" / name).read_text() for name in ("report.md", "report.html"))):
        assert "validation accuracy" in text
        assert "93.7" not in text  # what gated has on the test images
    page = (tmp_path / "out" / "report.html").read_text()
    assert "percentage points of validation accuracy" in page
    assert "500 validation images" in page
    assert "mcnemar" not in ended.out.lower()


def test_test_accuracy_where_it_is_asked_for(tmp_path: Path, validated: Path) -> None:
    ended = compare(tmp_path, "sweep", "output=out", "split=test")
    assert ended.code == 0, ended.err
    found = record(tmp_path / "out")
    assert [arm["arm"] for arm in found["arms"]] == ["none", "gated", "se"]
    assert found["comparisons"][0]["accuracy"] == pytest.approx(np.mean(ACCURACIES["gated"][:3]) / 100)
    assert (found["split"], found["images"]) == ("test", TOTAL)
    assert "validation" not in ended.out


def test_one_image_counts_what_it_does_on_the_images_compared(tmp_path: Path, validated: Path) -> None:
    """Runs that do not vary get the deviation of rounding to single images: of 500 here, of 10,000 there."""
    for path in validated.glob("*/result.json"):
        found = json.loads(path.read_text())
        path.write_text(json.dumps(found | {"val_accuracy": 0.91 if found["model"] == "gated" else 0.9}))
    assert compare(tmp_path, "sweep", "output=out").code == 0
    gated = next(one for one in record(tmp_path / "out")["comparisons"] if one["arm"] == "gated")
    assert gated["error"] == pytest.approx(0.2 * math.sqrt(2 / 3 / 12))
    for path in validated.glob("*/result.json"):  # of before results said how many images they held out
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "val_total"}))
    assert compare(tmp_path, "sweep", "output=before").code == 0
    found = record(tmp_path / "before")
    assert (found["split"], found["images"]) == ("val", None)
    assert "in per cent of validation images" in (tmp_path / "before" / "report.md").read_text()


def test_runs_with_and_without_validation_images(tmp_path: Path, validated: Path) -> None:
    write_run(validated / "none_3", "none", 3, 9340)
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == 0, ended.err
    assert record(tmp_path / "out")["split"] == "test"
    assert "1 of 10 runs, like sweep/none_3, have no validation accuracy" in ended.out
    for words, said in (
        (["split=val"], "split=val: 1 of 10 runs, like sweep/none_3, held no images out"),
        (["split=train"], "split=train is not a choice; choose from auto, val, test"),
    ):
        refused = compare(tmp_path, "sweep", *words)
        assert refused.code == 2
        assert said in refused.err
    (validated / "none_3" / "result.json").unlink()
    refused = compare(tmp_path, "sweep", "images=true")
    assert refused.code == 2
    assert "split=test" in refused.err


@pytest.mark.parametrize("changes", [{"val_accuracy": 1.5}, {"val_accuracy": math.nan}, {"val_accuracy": "0.9"}])
def test_a_validation_accuracy_that_cannot_be_is_damaged(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = write_run(tmp_path / "run", "none", 0, 9300, **changes)
    (left_out,) = runs.read_all([folder])[1]
    assert "validation images cannot be" in left_out.reason


@pytest.mark.parametrize("changes", [{"temperature": 0.0}, {"temperature": math.inf}, {"ece": math.nan}, {"nll": "1"}])
def test_scores_that_cannot_be_are_damage(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = write_run(tmp_path / "run", "none", 0, 9300, **changes)
    (left_out,) = runs.read_all([folder])[1]
    assert left_out.reason.startswith("damaged: ")
    assert next(iter(changes)) in left_out.reason
    assert not runs.read_all([write_run(tmp_path / "sound", "none", 0, 9300, temperature=None, ece_scaled=None)])[1]


# Runs picked by links


def folders_used(folder: Path, *words: str) -> dict[str, str]:
    """The folders that a comparison used, by real path: as they are named in compare.json."""
    ended = compare(folder, *words, "output=out")
    assert ended.code == 0, ended.err
    used = [run["folder"] for arm in record(folder / "out")["arms"] for run in arm["runs"]]
    found = {str((folder / one).resolve()): one for one in used}
    assert len(found) == len(used)
    return found


def link(path: Path, target: Path | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


@pytest.fixture
def picks(tmp_path: Path, sweep: Path) -> Path:
    """A folder of links to four of the sweep's runs."""
    for name in ("none_0", "none_1", "gated_0", "gated_1"):
        link(tmp_path / "picks" / f"my-{name}", sweep / name)
    return tmp_path / "picks"


@pytest.mark.slow
def test_runs_are_picked_by_links(tmp_path: Path, sweep: Path, picks: Path) -> None:
    found = folders_used(tmp_path, "picks")
    assert found == {
        str((sweep / name).resolve()): f"picks/my-{name}" for name in ("none_0", "none_1", "gated_0", "gated_1")
    }
    # Beside runs that lie there themselves, and a link to a whole sweep, in any depth.
    write_run(picks / "deep" / "se_7", "se", 7, 9300)
    write_run(tmp_path / "elsewhere" / "none_7", "none", 7, 9310)
    link(picks / "deep" / "er" / "sweep", tmp_path / "elsewhere")
    found = folders_used(tmp_path, "picks")
    assert {"picks/deep/se_7", "picks/deep/er/sweep/none_7", "picks/my-none_0"} < set(found.values())
    assert len(found) == 6
    # Given themselves, as a shell's picks/* does, and as a link to all of it.
    assert len(folders_used(tmp_path, *(f"picks/{one.name}" for one in picks.iterdir()))) == 6
    link(tmp_path / "there", picks)
    assert set(folders_used(tmp_path, "there").values()) > {"there/my-gated_0", "there/deep/er/sweep/none_7"}


def test_a_run_with_two_names_is_used_once(tmp_path: Path, sweep: Path, picks: Path) -> None:
    link(picks / "again", sweep / "gated_0")
    link(picks / "chain", picks / "my-gated_1")
    link(picks / "whole", sweep)
    found = folders_used(tmp_path, "sweep", "picks", "picks/again")
    assert sorted(found.values()) == sorted(f"sweep/{one.name}" for one in sweep.iterdir())
    assert not record(tmp_path / "out")["left_out"]
    assert len(folders_used(tmp_path, "picks")) == 15


@pytest.mark.parametrize("target", [".", "../picks", "sub", "{here}/picks"])
def test_loops_of_links_end(tmp_path: Path, picks: Path, target: str) -> None:
    link(picks / "loop", target.format(here=tmp_path))
    link(picks / "sub" / "back", "..")
    link(picks / "sub" / "other", "../../other")
    link(tmp_path / "other" / "to-picks", picks)
    used, left_out = runs.read_all(runs.find([str(picks)]))
    assert sorted(run.folder.name for run in used) == ["my-gated_0", "my-gated_1", "my-none_0", "my-none_1"]
    assert not left_out


@pytest.mark.parametrize("target", ["..", "../..", "{here}"])
def test_a_link_upwards_takes_in_no_run_that_was_not_named(tmp_path: Path, picks: Path, target: str) -> None:
    link(picks / "up", target.format(here=tmp_path))
    used, (left_out,) = runs.read_all(runs.find([str(picks)]))
    assert len(used) == 4
    assert left_out.folder == picks / "up"
    assert "link back" in left_out.reason


@pytest.mark.parametrize("target", ["nowhere", "/nowhere/at/all", "broken", "../sweep/none_9"])
def test_a_link_to_nothing_is_named(tmp_path: Path, picks: Path, target: str) -> None:
    link(picks / "broken", target)
    used, (left_out,) = runs.read_all(runs.find([str(picks)]))
    assert len(used) == 4
    assert left_out.folder == picks / "broken"
    assert left_out.reason == f"a link to {target}, where nothing is"
    with pytest.raises(ConfigError, match=f"broken is no folder, but a link to {target}"):
        runs.find([str(picks), str(picks / "broken")])


@pytest.mark.slow
def test_a_link_to_nothing_is_said(tmp_path: Path, picks: Path) -> None:
    link(picks / "broken", "gone")
    link(tmp_path / "only" / "broken", "gone")
    ended = compare(tmp_path, "picks", "output=out")
    assert ended.code == 0, ended.err
    assert "LEFT OUT: 1 of 5 runs" in ended.out
    assert "picks/broken: a link to gone" in ended.out
    alone = compare(tmp_path, "only")
    assert alone.code == 2
    assert "a link to gone" in alone.err


@pytest.mark.slow
def test_of_3000_runs_each_is_used(tmp_path: Path) -> None:
    """How long it takes is measured, not tested."""
    generator = np.random.default_rng(0)
    models = ["none", *(f"m{number}" for number in range(29))]
    for model in models:
        for seed in range(100):
            folder = tmp_path / "many" / model / str(seed)
            write_run(folder, model, seed, int(9300 + generator.integers(-30, 30)))
    ended = compare(tmp_path, "many", "output=out")
    assert ended.code == 0, ended.err
    found = record(tmp_path / "out")
    assert sum(len(arm["runs"]) for arm in found["arms"]) == 3_000
    assert not found["left_out"]


@pytest.mark.slow
def test_real_runs_of_now_and_of_before_results_said_what_they_are_of(tmp_path: Path) -> None:
    for model in ("none", "gated"):
        for seed in (0, 1):
            ended = run_here(tmp_path, *TINY, f"model={model}", f"seed={seed}", f"hydra.run.dir=runs/{model}{seed}")
            assert ended.code == 0, ended.err
    ended = compare(tmp_path, "runs", "output=out")
    assert ended.code == 0, ended.err
    now = record(tmp_path / "out")
    assert [arm["arm"] for arm in now["arms"]] == ["none", "gated"]
    assert "attn-train -m" in (tmp_path / "out" / "report.html").read_text()

    for path in (tmp_path / "runs").glob("gated*/result.json"):
        found = json.loads(path.read_text())
        path.write_text(
            json.dumps({k: v for k, v in found.items() if k not in ("arm", "arm_digest", "recipe_digest", "seeds")})
        )
    assert compare(tmp_path, "runs", "output=before").code == 0
    assert record(tmp_path / "before")["comparisons"] == now["comparisons"]

    changed = tmp_path / "changed"
    shutil.copytree(tmp_path / "runs", changed)
    config = changed / "gated0" / "config.yaml"
    values = yaml.safe_load(config.read_text())
    values["train"]["label_smoothing"] = 0.3
    config.write_text(yaml.safe_dump(values))
    refused = compare(tmp_path, "changed")
    assert refused.code == 2
    assert "train.label_smoothing=0.1 and 0.3" in refused.err.replace("0.3 and 0.1", "0.1 and 0.3")
