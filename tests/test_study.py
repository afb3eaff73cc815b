"""attn-study: rounds, budgets, failures and going on, with runs that end at once in the place of training; then with
processes that are really killed, and once with attn-train itself."""

import json
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import Command, Outcome
from scipy import stats
from test_compare import compare, record, write_run
from test_compare_statistics import by_hand

from attn_train.settings import compose
from attn_train.statistics.sequential import Rule
from attn_train.study import process
from attn_train.study.arms import words_of
from attn_train.study.help import HELP
from attn_train.study.process import Ended

TOTAL = 10_000
WORDS = ("arms=[none,gated]", "recipe=[dataset=synthetic,device=cpu]", "margin=0.2", "max_seeds=8", "sweep=mine")


def settings(words: Sequence[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words if "=" in word)


class Trainer:
    """Stands in for training: what a run ends with follows from its arm and seed."""

    def __init__(self) -> None:
        self.effects: dict[str, float] = {"none": 0.0, "gated": 1.0, "se": 0.0, "eca": -1.0}
        self.deviation = 0.1
        self.fails: Callable[[str, int], Ended | None] = lambda model, seed: None
        self.seconds = 30.0
        self.runs: list[tuple[str, int]] = []
        self.words: list[list[str]] = []

    def __call__(self, words: Sequence[str], folder: Path, stopped: Callable[[], bool]) -> Ended:
        found = settings(words)
        model, seed = found["model"], int(found["seed"])
        self.runs.append((model, seed))
        self.words.append(list(words))
        folder.mkdir(parents=True, exist_ok=True)
        if (ended := self.fails(model, seed)) is not None:
            return ended
        generator = np.random.default_rng([seed, len(model), ord(model[0])])
        correct = round(TOTAL * (90 + self.effects[model] + self.deviation * generator.normal()) / 100)
        result = {"test_accuracy": correct / TOTAL, "correct": correct, "total": TOTAL, "train_seconds": self.seconds}
        (folder / "result.json").write_text(json.dumps(result))
        return Ended(self.seconds, 0, "")


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    one = Trainer()
    monkeypatch.setattr(process, "run", one)
    return one


def results(sweep: Path) -> dict[tuple[str, int], int]:
    rows = [json.loads(line) for line in (sweep / "runs.jsonl").read_text().splitlines()]
    found = [row for row in rows if not row["exit_code"]]
    return {
        (row["arm"], row["seed"]): json.loads((sweep / row["job"] / "result.json").read_text())["correct"]
        for row in found
    }


def state(sweep: Path) -> dict[str, Any]:
    return json.loads((sweep / "study.json").read_text())


def row(out: str, label: str) -> list[str]:
    """The cells of an arm in the closing table."""
    table = out[out.rindex("\narm ") :]
    (line,) = [line for line in table.splitlines() if re.match(rf"{re.escape(label)}  ", line)]
    return re.split(r"  +", line)


# Rounds


def test_a_study(study: Command, trainer: Trainer, tmp_path: Path) -> None:
    trainer.deviation, trainer.effects["se"] = 0.09, 0.1
    ended = study("arms=[none,gated,se]", *WORDS[1:])
    assert ended.code == 0, ended.err
    assert ended.err == ""
    # gated has its verdict first; its runs end there, those of the baseline go on with the other arm's.
    by_arm = {arm: [seed for one, seed in trainer.runs if one == arm] for arm in ("none", "gated", "se")}
    assert by_arm["gated"] == list(range(5))
    assert by_arm["se"] == by_arm["none"]
    assert 5 < len(by_arm["se"]) <= 8
    # Each of the three was first in a round.
    assert [trainer.runs[3 * number][0] for number in range(3)] == ["none", "gated", "se"]
    assert trainer.runs == sorted(trainer.runs, key=lambda run: run[1])
    # The table is what scipy makes of the runs.
    sweep = tmp_path / "outputs" / "mine"
    correct = results(sweep)
    order = [(one["arm"], one["seed"]) for one in map(json.loads, (sweep / "runs.jsonl").read_text().splitlines())]
    for arm, verdict in (("gated", "helps"), ("se", "equivalent within 0.2 points")):
        n = len(by_arm[arm])
        until = max(order.index((arm, n - 1)), order.index(("none", n - 1)))
        known = [one for one in order[: until + 1] if one[1] < n]
        names = ("none", "gated", "se")
        table = [{seed: correct[name, seed] / 100 for label, seed in known if label == name} for name in names]
        mean, error, freedom = by_hand(table, names.index(arm), 0)
        half, bound = (
            error * stats.t.ppf(1 - level, freedom)
            for level in (Rule(2, 8, 0.2).levels(n)[0] / 2, Rule(2, 8, 0.2).levels(n)[1])
        )
        bounds = f" ({mean - bound:+.2f} to {mean + bound:+.2f})" if arm == "se" else ""
        assert row(ended.out, arm)[1:] == [
            str(n),
            f"{statistics.mean(correct[arm, seed] / 100 for seed in by_arm[arm]):.2f} %",
            f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}]",
            verdict + bounds,
        ]
        told = state(sweep)["arms"][arm]
        assert (told["low"], told["high"]) == pytest.approx((mean - half, mean + half))
    assert "every verdict is in" in ended.out


@pytest.mark.slow
@pytest.mark.parametrize(("what", "cause"), [("", "File exists"), ("report.html", "Is a directory")])
def test_a_report_that_fails_costs_a_warning(
    study: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str, cause: str
) -> None:
    def train(words: Sequence[str], folder: Path, stopped: Callable[[], bool]) -> Ended:
        found = settings(words)
        seed, gain = int(found["seed"]), 100 if found["model"] == "gated" else 0
        shutil.rmtree(folder, ignore_errors=True)
        write_run(folder, found["model"], seed, 9000 + gain + seed % 3)
        return Ended(1.0, 0, "")

    monkeypatch.setattr(process, "run", train)
    report = tmp_path / "outputs" / "mine" / "report"
    if what:
        (report / what).mkdir(parents=True)
    else:
        report.parent.mkdir(parents=True)
        report.touch()
    ended = study(*WORDS)
    assert ended.code == 0, ended.err
    assert row(ended.out, "gated")[-1] == "helps"
    assert state(report.parent)["arms"]["gated"]["verdict"] == "helps"
    (said,) = ended.err.splitlines()
    assert "report" in said
    assert cause in said


@pytest.mark.slow
def test_words_of_a_run(study: Command, trainer: Trainer) -> None:
    arms = "arms=[none,{model:{name:gated,per:pixel},backbone.placement.stages:[1,3]}]"
    ended = study(
        arms, "recipe=[+experiment=smoke,device=cpu]", "margin=1", "max_seeds=5", "first_seed=7", "sweep=mine"
    )
    assert ended.code == 0, ended.err
    assert trainer.words[1] == [
        "-m", "+experiment=smoke", "device=cpu", "model=gated", "model.per=pixel", "backbone.placement.stages=[1,3]",
        "seed=7", "sweep=mine",
    ]  # fmt: skip
    assert {seed for _, seed in trainer.runs} == {7, 8, 9, 10, 11}
    assert "gated model.per=pixel backbone.placement.stages=[1,3]" in ended.out


@pytest.mark.slow
def test_a_text_in_the_recipe_needs_no_quotes_but_the_shells(study: Command, trainer: Trainer) -> None:
    arms, recipe = (
        "arms=[none,gated]",
        "recipe=[dataset=synthetic,device=cpu,dataset.root=it's [a] (1)=2, dataset.digest=1_0]",
    )
    ended = study(arms, recipe, "margin=1", "max_seeds=5", "sweep=mine")
    assert ended.code == 0, ended.err
    given = settings(trainer.words[0])
    assert given["dataset.root"] == '"it\'s [a] (1)=2"'
    assert given["dataset.digest"] == '"1_0"'


@pytest.mark.slow
def test_time_is_foretold(study: Command, trainer: Trainer) -> None:
    trainer.deviation, trainer.effects["gated"] = 0.15, 0.0
    ended = study(*WORDS)
    assert "how long they take, the first round tells" in ended.out
    assert "seed 0 (1 of at most 8): none 8" in ended.out or "seed 0 (1 of at most 8): none 9" in ended.out
    assert "at most 7 min to go\n" in ended.out  # seven rounds of two runs of 30 s
    assert re.search(r"points from seed to seed, an arm that changes nothing gets its verdict in 9\d % ", ended.out)
    assert re.search(r"gated: .* undecided: \d+ % to be decided by seed 7, \d+ % by 8\n", ended.out)
    trainer.runs.clear()
    study(*WORDS[:-1], "sweep=other", "budget.runs=10")
    ended = study(*WORDS[:-1], "sweep=other", "budget.runs=10")
    assert len(trainer.runs) == 10
    assert ended.out.startswith("study outputs/other: gated against none\n")
    assert re.search(r"at most 16 runs, 10 of them done; (\d+ min expected, )?at most 3 min to go\n", ended.out)


@pytest.mark.slow
def test_whatever_reads_its_folder_goes_by_the_studys_rule(study: Command, trainer: Trainer, tmp_path: Path) -> None:
    """Its baseline, its margin and the intervals of its looks, which are wider than those of a single one."""
    trainer.effects["gated"] = 0.4
    words = ("arms=[none,gated,se]", "baseline=gated", *WORDS[1:])
    assert study(*words).code == 0
    sweep = tmp_path / "outputs" / "mine"
    complete(sweep)
    assert study(*words).code == 0
    arms = state(sweep)["arms"]
    ended = compare(tmp_path, "outputs/mine", "output=out")
    assert ended.code == 0, ended.err
    for found in (record(sweep / "report"), record(tmp_path / "out")):
        assert (found["baseline"], found["margin"], len(found["comparisons"])) == ("gated", 0.2, 2)
        for one in found["comparisons"]:
            for key in ("verdict", "n", "mean", "low", "high"):
                assert one[key] == arms[one["arm"]][key]
    ended = compare(tmp_path, "outputs/mine", "output=other", "baseline=none")
    assert "looked at after every seed, but these intervals are of a single look" in ended.out
    digests = {"data_digest": "d", "recipe_digest": "r", "arm_digest": "none"}
    write_run(tmp_path / "outputs" / "more" / "run", "none", 99, 9300, **digests)
    ended = compare(tmp_path, "outputs/mine", "outputs/more", "output=mixed")
    assert "runs of attn-study, here among others; its runs were looked at after every seed" in ended.out
    # A part of it, picked by links: no verdict of the study's, which is of other runs too.
    (tmp_path / "picks").mkdir()
    for run in [path.parent for path in sweep.glob("*_seed[34]_*/result.json")]:
        (tmp_path / "picks" / f"pick_{run.name}").symlink_to(run)
    ended = compare(tmp_path, "picks", "output=picked", "baseline=gated")
    assert ended.code == 0, ended.err
    assert "more have finished; its runs were looked at after every seed" in ended.out
    for word, said in (("margin=0.5", "has margin=0.2"), ("max_seeds=20", "has max_seeds=8")):
        ended = compare(tmp_path, "outputs/mine", word)
        assert ended.code == 2
        assert f"{said}, fixed before its first run; leave {word.split('=')[0]} out" in ended.err


def lossy(trainer: Trainer) -> Callable[[Sequence[str], Path, Callable[[], bool]], Ended]:
    """Runs whose loss says otherwise than their accuracy: gated, the more accurate, has the higher one."""

    def training(words: Sequence[str], folder: Path, stopped: Callable[[], bool]) -> Ended:
        ended = trainer(words, folder, stopped)
        found = json.loads((folder / "result.json").read_text())
        loss = 0.3 * (found["correct"] / TOTAL / 0.9) ** 4
        (folder / "result.json").write_text(json.dumps(found | {"test_loss": loss}))
        return ended

    return training


@pytest.mark.slow
def test_a_study_by_another_measure(
    study: Command, trainer: Trainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the loss gated hurts; its numbers are those of a t interval of logarithms, in per cent."""
    monkeypatch.setattr(process, "run", lossy(trainer))
    words = ("arms=[none,gated]", "metric=loss", "recipe=[dataset=synthetic,device=cpu]", "margin=2", "max_seeds=8")
    ended = study(*words, "sweep=mine")
    assert ended.code == 0, ended.err
    sweep = tmp_path / "outputs" / "mine"
    losses = {key: 0.3 * (correct / TOTAL / 0.9) ** 4 for key, correct in results(sweep).items()}
    table = [{seed: 100 * np.log(losses[arm, seed]) for seed in range(5)} for arm in ("none", "gated")]
    mean, error, freedom = by_hand(table, 1, 0)
    half = error * stats.t.ppf(1 - Rule(1, 8, 2).levels(5)[0] / 2, freedom)
    low, middle, high = (100 * np.expm1(value / 100) for value in (mean - half, mean, mean + half))
    ours = statistics.mean(losses["gated", seed] for seed in range(5))
    assert row(ended.out, "gated")[1:] == ["5", f"{ours:.4f}", f"{middle:+.2f} [{low:+.2f}, {high:+.2f}]", "hurts"]
    assert "margin 2 %" in ended.out
    assert re.search(r"where a run's test loss varies by 1, 2, 4 % from seed to seed", ended.out)
    assert "per cent of test loss, compared as ratios; less is better" in ended.out
    told = state(sweep)
    assert told["rule"]["metric"] == "loss"
    assert [told["arms"]["gated"][end] for end in ("low", "mean", "high")] == pytest.approx([low, middle, high])
    # Whatever reads the folder goes by it; what it is asked for beside is named secondary.
    complete(sweep)
    assert study(*words, "sweep=mine").code == 0
    for found in (record(sweep / "report"), record_of(tmp_path, "outputs/mine")):
        (one,) = found["comparisons"]
        assert (found["metric"], found["margin"], one["verdict"]) == ("loss", 2.0, "hurts")
        assert [one[end] for end in ("low", "mean", "high")] == pytest.approx([low, middle, high])
    ended = compare(tmp_path, "outputs/mine", "output=other", "metric=accuracy")
    assert "a study of test loss against none, beside which this comparison is secondary" in ended.out
    assert record(tmp_path / "other")["comparisons"][0]["verdict"] == "helps"


def record_of(folder: Path, sweep: str) -> dict[str, Any]:
    ended = compare(folder, sweep, "output=read")
    assert ended.code == 0, ended.err
    return record(folder / "read")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["metric=f1"], "metric=f1 is not a choice; choose from accuracy, val_accuracy, loss, nll"),
        (["metric=val_accuracy"], "metric=val_accuracy, but no images are held out; add dataset.val_size=5000 to the"),
        (["metric=blur_accuracy"], "but no run is tested on corrupted images; add eval.corruptions=all to the recipe"),
        (["metric=brier"], "judged by brier; put back what is missing, or remove that folder"),
    ],
)
def test_a_measure_that_cannot_be(study: Command, trainer: Trainer, words: list[str], said: str) -> None:
    ended = study(*WORDS, *words)
    assert ended.code == 2
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_margin_is_of_its_measure(study: Command, trainer: Trainer) -> None:
    ended = study("arms=[none,gated]", "metric=nll")
    assert ended.code == 2
    assert "margin is missing; say which gain is worth having, in per cent of negative log-likelihood" in ended.err


def test_the_measure_cannot_change(study: Command, trainer: Trainer) -> None:
    assert study(*WORDS, "budget.runs=10").code == 0
    ended = study(*WORDS, "metric=loss")
    assert ended.code == 2
    assert "holds a study with metric=accuracy, not loss; that cannot change once runs were looked at" in ended.err


@pytest.mark.slow
def test_a_control_is_solved_once(study: Command, trainer: Trainer, tmp_path: Path) -> None:
    """The width that the first seed's run found is given to the others."""
    train = trainer.__call__

    def solving(words: Sequence[str], folder: Path, stopped: Callable[[], bool]) -> Ended:
        ended = train(words, folder, stopped)
        (folder / "config.yaml").write_text(yaml.safe_dump({"control_width": [9, 10, 11]}))
        return ended

    process.run = solving  # the fixture puts it back
    ended = study("arms=[none,{model:gated,control:time}]", *WORDS[1:])
    assert ended.code == 0, ended.err
    widths = [settings(words).get("control_width") for words in trainer.words if "control=time" in words]
    assert widths == [None, *["[9,10,11]"] * (len(widths) - 1)]
    assert "gated-control-time" in ended.out
    # Again: the runs are found, though their words were not those of the first.
    before = len(trainer.runs)
    assert study("arms=[none,{model:gated,control:time}]", *WORDS[1:]).code == 0
    assert len(trainer.runs) == before


# What a row is of, and which accuracy


def complete(sweep: Path, **changes: Any) -> None:
    """Give every result what attn-compare reads of one."""
    for path in sweep.glob("*/result.json"):
        model, seed = re.match(r"(.+)_synthetic_seed(\d+)_", path.parent.name).groups()  # type: ignore[union-attr]
        found = json.loads(path.read_text())
        found |= {"test_accuracy": found["correct"] / found["total"], "seed": int(seed), "seeds": [int(seed)] * 3}
        found |= {"precision": "float32", "data_digest": "d", "recipe_digest": "r", "arm_digest": model}
        path.write_text(json.dumps(found | {"arm": {"model.name": model, "control": "none"}} | changes))


@pytest.mark.slow
def test_a_row_is_of_the_seeds_of_its_look(study: Command, trainer: Trainer, tmp_path: Path) -> None:
    """Three seeds that came after the look with the verdict count neither in the difference nor beside it."""
    trainer.deviation, trainer.effects["gated"] = 0.15, 0.0
    assert study(*WORDS).code == 0
    sweep = tmp_path / "outputs" / "mine"
    correct = results(sweep)
    for seed, more in enumerate((97, 101, 99, 103, 100, -5000, -6000, -7000)):
        (path,) = sweep.glob(f"gated_*_seed{seed}_*/result.json")
        found = json.loads(path.read_text())
        path.write_text(json.dumps(found | {"correct": correct["none", seed] + more}))
    complete(sweep)
    ended = study(*WORDS)
    assert ended.code == 0, ended.err
    ours = [(correct["none", seed] + more) / 100 for seed, more in enumerate((97, 101, 99, 103, 100))]
    theirs = [correct["none", seed] / 100 for seed in range(5)]
    assert row(ended.out, "gated")[1:3] == ["5 of 8", f"{statistics.mean(ours):.2f} %"]
    assert row(ended.out, "gated")[-1] == "helps"
    report = sweep / "report"
    (line,) = [one for one in (report / "report.md").read_text().splitlines() if one.startswith("| gated | 5 of 8 |")]
    assert f"| {statistics.mean(ours):.2f} ± {statistics.stdev(ours):.2f} " in line
    assert f"| {statistics.mean(theirs):.2f} ± {statistics.stdev(theirs):.2f} " in line
    (found,) = json.loads((report / "compare.json").read_text())["comparisons"]
    assert len(found["seeds"]) == found["n"] == 5
    assert found["chance"] == pytest.approx(stats.mannwhitneyu(ours, theirs).statistic / 25)


@pytest.mark.slow
@pytest.mark.parametrize("held_out", [True, False])
def test_validation_accuracy_decides_where_there_is_one(
    study: Command, trainer: Trainer, tmp_path: Path, held_out: bool
) -> None:
    """By test accuracy gated helps; on the validation images it hurts."""
    train = trainer.__call__

    def training(words: Sequence[str], folder: Path, stopped: Callable[[], bool]) -> Ended:
        ended = train(words, folder, stopped)
        model, seed = settings(words)["model"], int(settings(words)["seed"])
        found = json.loads((folder / "result.json").read_text())
        right = 400 - 20 * (model == "gated") + [3, 1, 4, 1, 5, 9, 2, 6][seed] * (1 if model == "gated" else 2)
        known = {"val_total": 500} if held_out or model == "none" else {}
        (folder / "result.json").write_text(json.dumps(found | {"val_accuracy": right / 500} | known))
        return ended

    process.run = training  # the fixture puts it back
    ended = study(*WORDS)
    assert ended.code == 0, ended.err
    shown = row(ended.out, "gated")
    head = ended.out[ended.out.rindex("\narm ") :].splitlines()[1]
    if held_out:
        ours = [100 * (380 + more) / 500 for more in (3, 1, 4, 1, 5)]
        assert shown[1:3] == ["5", f"{statistics.mean(ours):.2f} %"]
        assert shown[-1] == "hurts"
        assert "validation accuracy" in head
        complete(tmp_path / "outputs" / "mine")
        assert study(*WORDS).code == 0
        found = json.loads((tmp_path / "outputs" / "mine" / "report" / "compare.json").read_text())
        assert (found["split"], found["comparisons"][0]["verdict"]) == ("val", "hurts")
    else:  # of before results said how many images they held out
        assert shown[-1] == "helps"
        assert "validation" not in ended.out


# Going on


@pytest.mark.slow
def test_again_runs_nothing_and_what_is_missing_is_run(study: Command, trainer: Trainer, tmp_path: Path) -> None:
    first = study(*WORDS)
    count = len(trainer.runs)
    again = study(*WORDS)
    assert again.code == 0, again.err
    assert len(trainer.runs) == count
    assert row(again.out, "gated") == row(first.out, "gated")
    sweep = tmp_path / "outputs" / "mine"
    (path,) = sweep.glob("gated_*_seed3_*/result.json")
    path.unlink()
    third = study(*WORDS)
    assert trainer.runs[count:] == [("gated", 3)]
    assert row(third.out, "gated") == row(first.out, "gated")
    # Without the rows the runs are found by their folders; a row that was cut off is no row.
    (sweep / "runs.jsonl").write_text('{"arm": "gat')
    fourth = study(*WORDS)
    assert len(trainer.runs) == count + 1
    assert row(fourth.out, "gated") == row(first.out, "gated")


@pytest.mark.slow
def test_another_rule_in_the_same_folder(study: Command, trainer: Trainer) -> None:
    assert study(*WORDS, "budget.runs=10").code == 0
    count = len(trainer.runs)
    for word, said in (
        ("max_seeds=9", "max_seeds=8, not 9.*sweep=NAME.*first_seed=9"),
        ("margin=0.5", "margin=0.2, not 0.5"),
        ("first_seed=1", "first_seed=0, not 1"),
        ("arms=[none,gated,se]", "arms.se=None, not"),
    ):
        ended = study(*WORDS, word)
        assert ended.code == 2
        assert re.search(said, ended.err), ended.err
    assert len(trainer.runs) == count
    assert study(*WORDS, "budget.runs=12").code == 0


@pytest.mark.slow
def test_a_study_of_the_former_rule_is_refused(study: Command, trainer: Trainer, tmp_path: Path) -> None:
    """Its study.json has no number of a rule."""
    assert study(*WORDS, "budget.runs=10").code == 0
    path = tmp_path / "outputs" / "mine" / "study.json"
    old = state(path.parent)
    del old["rule"]["number"], old["rule"]["baseline_seeds"]
    path.write_text(json.dumps(old))
    count = len(trainer.runs)
    ended = study(*WORDS)
    assert ended.code == 2
    assert re.search(
        "outputs/mine holds a study judged by rule 1, and this version judges by rule 2; .*sweep=", ended.err
    )
    assert len(ended.err.splitlines()) == 1
    assert len(trainer.runs) == count
    assert json.loads(path.read_text()) == old


@pytest.mark.slow
def test_a_shared_baseline_has_more_seeds(study: Command, trainer: Trainer) -> None:
    """Two in the first rounds, those behind the seeds of the arms; a failed one is made up for by the next round."""
    trainer.effects |= {"se": 0.0, "eca": 5.0, "gated": 5.0}
    trainer.deviation = 0.25
    trainer.fails = lambda model, seed: Ended(1.0, 4, "nan") if (model, seed) == ("none", 9) else None
    ended = study("arms=[none,gated,se,eca]", *WORDS[1:])
    assert ended.code == 4
    # Eight seeds and three quarters of eight more.
    assert sorted(seed for model, seed in trainer.runs if model == "none") == list(range(14))
    assert sorted(seed for model, seed in trainer.runs if model == "se") == list(range(8))
    assert [seed for model, seed in trainer.runs if model == "none"][:4] == [0, 8, 1, 9]
    assert row(ended.out, "none")[1] == "13"
    # Every look waits for what belongs to it, and the last one's is never complete.
    assert row(ended.out, "se")[1] == "7 of 8"
    assert "first_seed=14" in study("arms=[none,gated,se,eca]", *WORDS[1:], "margin=0.3").err


def test_an_arm_without_a_chance_is_stopped(study: Command, trainer: Trainer, tmp_path: Path) -> None:
    trainer.deviation, trainer.effects["gated"] = 2.0, 0.1
    ended = study(*WORDS)
    assert ended.code == 0, ended.err
    assert len(trainer.runs) == 10
    said = "undecided: stopped, for a verdict by 8 seeds was less than 10 % likely"
    assert row(ended.out, "gated")[-1] == said
    assert "ended: no arm is left that is likely to have a verdict" in ended.out
    assert state(tmp_path / "outputs" / "mine")["arms"]["gated"]["futile"] is True


@pytest.mark.slow
def test_a_name_of_its_own(study: Command, trainer: Trainer, tmp_path: Path) -> None:
    words = (*WORDS[:-1], "max_seeds=5")
    for extra in ([], ["budget.runs=30"], ["first_seed=5"]):
        assert study(*words, *extra).code == 0
    names = sorted(path.name for path in (tmp_path / "outputs").iterdir())
    assert len(names) == 2
    assert all(re.fullmatch(r"study_[0-9a-f]{8}", name) for name in names)


@pytest.mark.slow
def test_file_of_settings(study: Command, trainer: Trainer, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "arms:\n  - none\n  - model: {name: gated, per: pixel}\n"
        "recipe: [dataset=synthetic, 'dataset.root=a b']\nmargin: 1\nmax_seeds: 9\nbudget: {runs: 12}\nsweep: mine\n"
    )
    assert words_of([str(tmp_path / "mine.yaml")])[1:4] == [
        "recipe=['dataset=synthetic','dataset.root=a b']",
        "margin=1",
        "max_seeds=9",
    ]
    ended = study("mine.yaml", "max_seeds=6")
    assert ended.code == 0, ended.err
    rule = state(tmp_path / "outputs" / "mine")["rule"]
    assert rule["max_seeds"] == 6
    assert rule["recipe"] == ["dataset=synthetic", "dataset.root=a b"]
    assert rule["arms"]["gated model.per=pixel"] == ["model=gated", "model.per=pixel"]


# Failures


@pytest.mark.slow
def test_a_doubt_takes_the_place_of_the_verdict(study: Command, trainer: Trainer, tmp_path: Path) -> None:
    assert study(*WORDS).code == 0
    sweep = tmp_path / "outputs" / "mine"
    complete(sweep, device="cpu")
    for path in sweep.glob("gated_*/result.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"device": "cuda"}))
    ended = study(*WORDS)
    assert ended.code == 0, ended.err
    assert row(ended.out, "gated")[-1].startswith("confounded: gated has device cuda, none cpu")
    assert row(ended.out, "gated")[-1].endswith("(without that: helps)")


@pytest.mark.slow
def test_a_failed_run_ends_nothing(study: Command, trainer: Trainer) -> None:
    trainer.fails = lambda model, seed: (
        Ended(1.0, 4, f"nan at {seed}") if (model, seed) in (("gated", 1), ("gated", 3)) else None
    )
    ended = study(*WORDS)
    assert ended.code == 4
    assert "gated failed (4)" in ended.out
    assert "failed: gated seed 1, exit code 4: nan at 1" in ended.out
    assert "failed: gated seed 3, exit code 4: nan at 3" in ended.out
    assert "dropped" not in ended.out
    # Five pairs need seven seeds now.
    assert row(ended.out, "gated")[1] == "5"
    assert max(seed for _, seed in trainer.runs) == 6
    # The same command tries the failed runs again only where the arm still waits.
    count = len(trainer.runs)
    assert study(*WORDS).code == 0
    assert len(trainer.runs) == count


@pytest.mark.slow
def test_an_arm_that_fails_twice_in_a_row_is_dropped(study: Command, trainer: Trainer) -> None:
    trainer.fails = lambda model, seed: (
        Ended(1.0, 6, f"out of memory at {seed}") if model == "se" and seed > 0 else None
    )
    ended = study("arms=[none,gated,se]", *WORDS[1:])
    assert ended.code == 6
    assert [seed for model, seed in trainer.runs if model == "se"] == [0, 1, 2]
    assert "dropped: se failed twice in a row: out of memory at 2" in ended.out
    assert row(ended.out, "gated")[-1] == "helps"
    assert row(ended.out, "se")[-1].endswith("dropped")
    # Other reasons in turn are no reason.
    trainer.fails = lambda model, seed: Ended(1.0, 1, "odd" if seed % 2 else "even") if model == "se" else None
    trainer.runs.clear()
    ended = study("arms=[none,gated,se]", *WORDS[1:-1], "sweep=other")
    assert "dropped" not in ended.out
    assert [seed for model, seed in trainer.runs if model == "se"] == list(range(8))


@pytest.mark.slow
def test_without_its_baseline_a_study_ends(study: Command, trainer: Trainer) -> None:
    trainer.fails = lambda model, seed: Ended(1.0, 3, "no data") if model == "none" else None
    ended = study(*WORDS)
    assert ended.code == 3
    assert "dropped: none failed twice in a row: no data" in ended.out
    assert max(seed for _, seed in trainer.runs) == 1


# Budget


@pytest.mark.slow
def test_budget_of_runs(study: Command, trainer: Trainer, tmp_path: Path) -> None:
    trainer.deviation, trainer.effects["gated"] = 0.15, 0.0
    ended = study(*WORDS, "budget.runs=13")
    assert ended.code == 0, ended.err
    assert len(trainer.runs) == 12
    assert "budget.runs=13 holds no further round: 12 are done" in ended.out
    assert row(ended.out, "gated")[-1].startswith("undecided")
    study(*WORDS, "budget.runs=14")
    assert len(trainer.runs) == 14


@pytest.mark.slow
def test_budget_of_minutes(study: Command, trainer: Trainer) -> None:
    """A run takes half a minute: eleven rounds of a minute do not fit into three and a half."""
    trainer.deviation, trainer.effects["gated"] = 0.15, 0.0
    ended = study(*WORDS, "budget.minutes=3.5")
    assert len(trainer.runs) == 6
    assert "budget.minutes=3.5 holds no further round: 3.0 are gone, one takes 1.0" in ended.out
    study(*WORDS, "budget.minutes=3.5")
    assert len(trainer.runs) == 6
    study(*WORDS, "budget.minutes=5")
    assert len(trainer.runs) == 10


# Two at once


# Holds a folder until the process that started it has opened the folder's lock, and a little longer.
HOLD = """
import os, sys, time
from pathlib import Path
from attn_train.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    while not any(Path(f"/proc/{os.getppid()}/fd/{number}").samefile(Path(sys.argv[1]) / ".lock")
                  for number in os.listdir(f"/proc/{os.getppid()}/fd")
                  if Path(f"/proc/{os.getppid()}/fd/{number}").exists()):
        time.sleep(0.01)
    time.sleep(0.3)
"""


@pytest.mark.slow
def test_one_study_at_a_time(study: Command, trainer: Trainer, tmp_path: Path) -> None:
    """A second one waits, and goes on from what is there."""
    sweep = tmp_path / "outputs" / "mine"
    sweep.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(sweep)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        ended = study(*WORDS)
        assert other.wait() == 0
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"waiting: outputs/mine is being trained by process {other.pid}\n")
    assert trainer.runs


# The command line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["arms=[none,nome]"], "arm nome: unknown model 'nome'; choose from .*gated"),
        (["arms=[none]"], "arms names only none"),
        (["arms=[gated,se]"], "baseline=none is none of the arms; choose from gated, se"),
        (["arms=[none,gated,gated]"], "arms names 'gated' twice"),
        (["arms=[none,gated,{model:gated,model.per:element}]"], "the same configuration"),
        (["arms=[none,3]"], "arms holds 3"),
        (["arms=[none,{control:time}]"], "without a model"),
        (["arms=[none,{model:se,train.epochs:3}]"], "train.epochs, which belongs to the recipe"),
        (["arms=[none,{model:se,model.heads:3}]"], "arm se model.heads=3: .*model.heads"),
        (["recipe=[seed=3]"], "recipe sets seed"),
        (["recipe=[model=se]"], "recipe sets model"),
        (["recipe=[hydra/launcher=basic]"], "recipe sets hydra/launcher"),
        (["recipe=[nothing]"], "recipe holds nothing, which is no word"),
        (["recipe=[train.epochs=abc]"], "train.epochs=abc does not fit"),
        (["recipe=[train.epoch=1]"], "unknown setting 'train.epoch'"),
        (["recipe=[+experiment=quickk]"], "unknown experiment 'quickk'"),
        (["margin=null"], "margin is missing; .* like margin=0.2"),
        (["margin=0"], "margin=0.* above 0"),
        (["max_seeds=4"], "max_seeds=4 .* 5 .* 200"),
        (["max_seeds=many"], "max_seeds=many does not fit"),
        (["first_seed=-1"], "first_seed=-1 .* at least 0"),
        (["budget.minutes=0"], "budget.minutes=0.* above 0"),
        (["budget.runs=9"], "budget.runs=9 does not hold 5 rounds of 2 arms.* at least 10"),
        (["baseline_seeds=17"], "baseline_seeds=17 .* at least max_seeds=8 and at most twice"),
        (["baseline_seeds=4"], "baseline_seeds=4 .* at least 5"),
        (["budget.hours=1"], "unknown setting 'budget.hours'.*minutes"),
        (["sweep=a/b"], "sweep=a/b is out of range; it must be the name of a folder"),
        (["seed=1"], "unknown setting 'seed'"),
        (["-m"], "no option -m"),
        (["none.yaml"], "cannot read none.yaml"),
        (["file.yaml"], "file.yaml holds no settings"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_bad_input(study: Command, trainer: Trainer, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "file.yaml").write_text("just words\n")
    before = [one for one in WORDS[:-1] if one.split("=")[0] not in {word.split("=")[0] for word in words}]
    ended = study(*before, *words)
    assert ended.code == 2, ended.err
    assert len(ended.err.splitlines()) == 1, ended.err
    assert re.match(f"attn-study: .*{said}", ended.err), ended.err
    assert trainer.runs == []
    assert [path.name for path in tmp_path.iterdir()] == ["file.yaml"]


def test_settings_of_the_file_and_of_the_help() -> None:
    compose.register()
    written = yaml.safe_load((compose.CONF / "study.yaml").read_text())
    plain = compose.study([])
    for key, value in written.items():
        if key == "defaults":
            continue
        for name in [f"budget.{one}" for one in value] if isinstance(value, dict) else [key]:
            assert re.search(rf"^{name}=", HELP, re.MULTILINE), name
        if not isinstance(value, dict):
            assert getattr(plain, key) == value


@pytest.mark.slow
def test_the_demonstration_is_a_study(study: Command, trainer: Trainer) -> None:
    """Without any word: the settings of conf/study.yaml fit attn-train as it is."""
    trainer.effects |= {"self_attention": 0.0}
    ended: Outcome = study()
    assert ended.code == 0, ended.err
    assert {"dataset=digits", "train.epochs=3"} <= set(trainer.words[0])


@pytest.mark.slow
def test_references_to_the_environment_are_left_to_the_runs(
    study: Command, trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_ROOT", "hushhush")
    ended = study("arms=[none,gated]", "recipe=[dataset=synthetic,dataset.root=${oc.env:SECRET_ROOT}]", *WORDS[2:])
    assert ended.code == 0, ended.err
    assert "dataset.root=${oc.env:SECRET_ROOT}" in trainer.words[0]
    assert not any("hushhush" in path.read_text() for path in (tmp_path / "outputs" / "mine").glob("*.json*"))
