"""attn-compare on images made worse: the verdict about their mean, and the fifteen as one family."""

import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from test_compare import TOTAL, compare, record, write_run
from test_compare_statistics import by_hand

GROUPS = {
    "noise": ["gaussian_noise", "shot_noise", "impulse_noise"],
    "blur": ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur"],
    "weather": ["snow", "frost", "fog", "brightness"],
    "digital": ["contrast", "elastic_transform", "pixelate", "jpeg_compression"],
}
SEEDS = range(5)


def accuracies(arm: str, seed: int, name: str) -> np.ndarray[Any, Any]:
    """The share that is right at each severity; gated is far better under fog, and hardly so under anything else."""
    generator = np.random.default_rng([seed, len(arm), ord(name[0]), len(name)])
    gain = 0.06 if (arm, name) == ("gated", "fog") else 0.0
    return gain + 0.7 - 0.05 * np.arange(5) + 0.002 * generator.normal(size=5)


def robustness(arm: str, seed: int, clean: float, corrupted_by: int = 0) -> dict[str, Any]:
    """What attn-eval writes, as far as it is read here."""

    def mean(names: list[str]) -> dict[str, Any]:
        values = [accuracies(arm, seed, name) for name in names]
        return {"severities": [1, 2, 3, 4, 5], "accuracy": float(np.mean(values))}

    every = [name for names in GROUPS.values() for name in names]
    accuracy = mean(every)["accuracy"]
    return {
        "name": "CIFAR-10-C style, generated (seed 0)",
        "deviations": ["frost: another texture"],
        "conditions": {"seed": corrupted_by, "split": "test", "data": "d", "checkpoint": "last", "views": 2},
        "clean": {"accuracy": clean},
        "corruption_accuracy": accuracy,
        "drop": clean - accuracy,
        "groups": {group: mean(names) for group, names in GROUPS.items()} | {"extra": None},
        "corruptions": {
            name: {"group": group, "mean": mean([name])} for group, names in GROUPS.items() for name in names
        }
        | {"spatter": {"group": "extra", "mean": None}},
    }


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for arm in ("none", "gated"):
        for seed in SEEDS:
            run = write_run(
                tmp_path / "sweep" / f"{arm}_{seed}", arm, seed, 9300 + seed, test_loss=0.2 + len(arm) / 100
            )
            (run / "robustness.json").write_text(json.dumps(robustness(arm, seed, (9300 + seed) / TOTAL)))
    return tmp_path / "sweep"


def expected(name: str, family: int) -> list[float]:
    """The difference under a corruption in points, with the t interval of one of so many."""
    table = [{seed: 100 * accuracies(arm, seed, name).mean() for seed in SEEDS} for arm in ("none", "gated")]
    mean, error, freedom = by_hand(table, 1, 0)
    half = error * stats.t.ppf(1 - 0.05 / family / 2, freedom)
    return [mean, mean - half, mean + half]


def test_the_fifteen_are_one_family(tmp_path: Path, sweep: Path) -> None:
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == 0, ended.err
    found = record(tmp_path / "out")["corrupted"]
    assert found["family"] == 15
    for names in GROUPS.values():
        for name in names:
            of_name = found["differences"]["gated"][name]
            assert [of_name[key] for key in ("mean", "low", "high")] == pytest.approx(expected(name, 15))
    (line,) = [line for line in ended.out.splitlines() if line.startswith("fog ")]
    assert line.endswith(" *")
    mean, low, high = expected("fog", 15)
    assert f"{mean:+.2f} [{low:+.2f}, {high:+.2f}] *" in line
    for form in ("report.md", "report.html"):
        assert "On corrupted images (secondary)" in (tmp_path / "out" / form).read_text()
    means = [100 * np.mean([accuracies("none", seed, name) for name in GROUPS["blur"]]) for seed in SEEDS]
    assert found["arms"]["none"]["blur"] == pytest.approx(
        {"mean": statistics.mean(means), "deviation": statistics.stdev(means)}
    )


@pytest.mark.parametrize(
    ("metric", "sign"), [("corruption_accuracy", 1), ("weather_accuracy", 1), ("corruption_drop", -1)]
)
def test_a_verdict_about_them(tmp_path: Path, sweep: Path, metric: str, sign: int) -> None:
    """Fog is one of four and one of fifteen; the clean accuracies are the same, so that the drop is smaller."""
    ended = compare(tmp_path, "sweep", "output=out", f"metric={metric}")
    assert ended.code == 0, ended.err
    (one,) = record(tmp_path / "out")["comparisons"]
    names = GROUPS["weather"] if metric == "weather_accuracy" else [name for names in GROUPS.values() for name in names]
    clean = [93 + seed / 100 if metric == "corruption_drop" else 0.0 for seed in SEEDS]
    table = [
        {seed: clean[seed] + sign * 100 * np.mean([accuracies(arm, seed, name) for name in names]) for seed in SEEDS}
        for arm in ("none", "gated")
    ]
    mean, error, freedom = by_hand(table, 1, 0)
    half = error * stats.t.ppf(0.975, freedom)
    assert [one[key] for key in ("mean", "low", "high")] == pytest.approx([mean, mean - half, mean + half])
    assert one["verdict"] == "helps"
    assert one["margin"] == 0.5


def test_what_was_not_tested_alike(tmp_path: Path, sweep: Path) -> None:
    path = sweep / "gated_3" / "robustness.json"
    path.write_text(json.dumps(robustness("gated", 3, 0.93, corrupted_by=1)))
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == 0, ended.err
    assert record(tmp_path / "out")["corrupted"] is None
    assert "are not of the same test: seed 0 and 1" in ended.out
    ended = compare(tmp_path, "sweep", "metric=corruption_accuracy")
    assert ended.code == 2
    assert "are not of the same test: seed 0 and 1; remove one" in ended.err


def test_what_was_not_tested(tmp_path: Path, sweep: Path) -> None:
    """A run that lacks it, or has it of some corruptions only, is named with the command that makes it."""
    (sweep / "gated_3" / "robustness.json").unlink()
    incomplete = robustness("gated", 4, 0.93) | {"corruption_accuracy": None}
    (sweep / "gated_4" / "robustness.json").write_text(json.dumps(incomplete))
    ended = compare(tmp_path, "sweep", "output=out")
    assert (
        "2 of 10 runs were not tested on all corrupted images, as sweep/gated_3: it has no robustness.json" in ended.out
    )
    ended = compare(tmp_path, "sweep", "output=other", "metric=corruption_accuracy")
    assert ended.code == 0, ended.err
    assert "sweep/gated_3: it has no robustness.json; attn-eval run=sweep/gated_3 corruptions=all makes it" in ended.out
    assert "gated_4: its robustness.json is not of all corruptions" in ended.out


def test_runs_without_it_say_nothing(tmp_path: Path, sweep: Path) -> None:
    for path in sweep.glob("*/robustness.json"):
        path.unlink()
    ended = compare(tmp_path, "sweep", "output=out")
    assert "corrupt" not in ended.out
