"""attn-compare where a verdict must not be given whatever the t test says: made up runs, through the command."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy import stats
from test_compare import compare, record, write_run

from attn_train.comparison.doubts import exact_interval
from attn_train.runs import failure
from attn_train.runs.failure import Failure
from attn_train.settings import identity

CONFIG = {
    "model": {"name": "gated"},
    "backbone": {"name": "fast"},
    "control": "none",
    "control_width": None,
    "device": {"precision": "bfloat16"},
    "seed": 0,
}
GATED = identity.summary(CONFIG, "bfloat16")
BETTER = [9371, 9380, 9362, 9399, 9377, 9385, 9369, 9390]
PLAIN = [9310, 9325, 9301, 9333, 9318, 9329, 9305, 9321]


def write_arms(folder: Path, ours: list[int], theirs: list[int], **changes: Any) -> None:
    """Write runs of gated and none that differ by what is right; `changes` are of gated's results."""
    recipe = {"recipe_digest": GATED["recipe_digest"]}
    gated = {"arm": GATED["arm"], "arm_digest": GATED["arm_digest"], **recipe}
    for seed, correct in enumerate(ours):
        write_run(folder / f"gated_{seed}", "gated", seed, correct, test_loss=0.2 + seed / 100, **(gated | changes))
    for seed, correct in enumerate(theirs):
        write_run(folder / f"none_{seed}", "none", seed, correct, test_loss=0.3 + seed / 100, **recipe)


def write_failure(folder: Path, exit_code: int = 4, **changes: Any) -> None:
    """Write what a run leaves that failed; `changes` are of its configuration."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG | changes))
    failure.write(folder, Failure("loss is not finite at step 12", exit_code, 0.0))


def answer(tmp_path: Path, code: int = 0) -> tuple[dict[str, Any], str]:
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == code, ended.err
    (comparison,) = record(tmp_path / "out")["comparisons"]
    return comparison, ended.out


@pytest.mark.parametrize(("count", "total"), [(0, 5), (1, 5), (3, 8), (8, 8), (2, 1000)])
def test_the_interval_of_a_share_is_scipys(count: int, total: int) -> None:
    expected = stats.binomtest(count, total).proportion_ci(0.95, method="exact")
    assert exact_interval(count, total) == pytest.approx((expected.low, expected.high))


def test_lucky_survivors_do_not_help(tmp_path: Path) -> None:
    write_arms(tmp_path / "sweep", BETTER[:5], PLAIN)
    for seed in (5, 6, 7):
        write_failure(tmp_path / "sweep" / f"gated_{seed}")
    found, out = answer(tmp_path)
    assert found["verdict"] == "failing"
    assert "3 of 8 [9, 76 %]" in out
    assert "3 of 8 runs failed, of none 0 of 8" in found["words"]
    assert "without that: helps" in found["words"]
    (gated,) = (arm for arm in record(tmp_path / "out")["arms"] if arm["arm"] == "gated")
    assert gated["failed"] == 3


def test_a_result_that_is_no_number_is_a_failure(tmp_path: Path) -> None:
    write_arms(tmp_path / "sweep", BETTER, PLAIN)
    for seed in range(3):
        path = tmp_path / "sweep" / f"gated_{seed}" / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"test_accuracy": float("nan")}))
    found, _ = answer(tmp_path)
    assert (found["verdict"], found["n"]) == ("failing", 5)


def test_an_arm_that_fails_may_hurt(tmp_path: Path) -> None:
    write_arms(tmp_path / "sweep", PLAIN[:5], BETTER)
    for seed in (5, 6, 7):
        write_failure(tmp_path / "sweep" / f"gated_{seed}")
    assert answer(tmp_path)[0]["verdict"] == "hurts"


@pytest.mark.parametrize("exit_code", [2, 3, 5, 6, 130, 143])
def test_what_a_run_was_given_is_no_failure_of_its_own(tmp_path: Path, exit_code: int) -> None:
    write_arms(tmp_path / "sweep", BETTER[:5], PLAIN)
    write_failure(tmp_path / "sweep" / "gated_5", exit_code)
    found, out = answer(tmp_path)
    assert found["verdict"] == "helps"
    assert "LEFT OUT: 1 of 14 runs" in out


def test_a_failure_of_another_recipe_does_not_count(tmp_path: Path) -> None:
    write_arms(tmp_path / "sweep", BETTER[:5], PLAIN)
    for seed in (5, 6, 7):
        write_failure(tmp_path / "sweep" / f"gated_{seed}", optimizer={"name": "sgd", "lr": 1e9})
    found, out = answer(tmp_path)
    assert found["verdict"] == "helps"
    assert "LEFT OUT: 3 of 16 runs" in out


def test_one_failure_of_very_many_leaves_the_verdict(tmp_path: Path) -> None:
    write_arms(tmp_path / "sweep", BETTER * 9, PLAIN * 9)
    write_failure(tmp_path / "sweep" / "gated_failed")
    assert answer(tmp_path)[0]["verdict"] == "helps"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"device": "cuda"}, "device cuda, none cpu"),
        ({"versions": {"torch": "2.13.0"}}, "versions torch 2.13.0, none torch 2.14.1"),
        ({"commit": "abc"}, "commit abc, none None"),
    ],
)
def test_an_arm_that_is_one_with_its_machine_is_confounded(tmp_path: Path, changes: Any, named: str) -> None:
    write_arms(tmp_path / "sweep", BETTER, PLAIN, **changes)
    found, _ = answer(tmp_path)
    assert found["verdict"] == "confounded"
    assert named in found["words"]


def test_a_run_in_common_is_no_confounding(tmp_path: Path) -> None:
    write_arms(tmp_path / "sweep", BETTER, PLAIN, device="cuda")
    recipe = GATED["recipe_digest"]
    write_run(tmp_path / "sweep" / "none_8", "none", 8, 9300, device="cuda", test_loss=0.5, recipe_digest=recipe)
    assert answer(tmp_path)[0]["verdict"] == "helps"


def test_arms_that_are_one_are_told(tmp_path: Path) -> None:
    for seed, correct in enumerate(PLAIN):
        for model in ("none", "gated"):
            write_run(tmp_path / "sweep" / f"{model}_{seed}", model, seed, correct, test_loss=0.3 + seed / 100)
    found, _ = answer(tmp_path)
    assert found["verdict"] == "identical"
    assert "connected?" in found["words"]


def test_equal_accuracies_alone_are_not_one_arm(tmp_path: Path) -> None:
    write_arms(tmp_path / "sweep", PLAIN, PLAIN)
    assert answer(tmp_path)[0]["verdict"] == "equivalent"


@pytest.mark.parametrize(("seeds", "verdict"), [(2, "preliminary"), (4, "preliminary"), (5, "helps")])
def test_few_seeds_give_no_verdict(tmp_path: Path, seeds: int, verdict: str) -> None:
    write_arms(tmp_path / "sweep", [9400, 9411, 9399, 9420, 9405][:seeds], [9300, 9311, 9299, 9321, 9304][:seeds])
    found, _ = answer(tmp_path)
    assert found["verdict"] == verdict
    assert found["words"].startswith(verdict)
