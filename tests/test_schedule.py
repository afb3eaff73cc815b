"""The learning-rate schedules against torch's own and their closed formulas."""

import math
from typing import Any

import pytest
import torch
import yaml
from torch.optim import lr_scheduler

from attn_train.errors import ConfigError
from attn_train.optim.schedule import SCHEDULES, WARMUP, lr_factor
from attn_train.settings import options
from attn_train.settings.compose import CONF

OPTIONS: dict[str, dict[str, Any]] = {
    "constant": {},
    "cosine": {"final": 0.1},
    "linear": {"final": 0.2},
    "one_cycle": {"peak": 0.3, "initial": 0.04, "final": 0.01},
}
YAML_FILES = {path.stem: path for path in sorted((CONF / "schedule").glob("*.yaml"))}


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def rates(scheduler: lr_scheduler.LRScheduler, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(float(scheduler.get_last_lr()[0]))
        scheduler.optimizer.step()
        scheduler.step()
    return found


def factors(name: str, steps: int, warmup: float = 0.0, **changes: Any) -> list[float]:
    return [lr_factor(name, step, steps, warmup, OPTIONS[name] | changes) for step in range(steps)]


def test_every_schedule_has_its_yaml_and_is_under_test() -> None:
    assert set(SCHEDULES) == set(YAML_FILES) == set(OPTIONS)


@pytest.mark.parametrize("name", sorted(YAML_FILES))
def test_the_yaml_fits(name: str) -> None:
    values = yaml.safe_load(YAML_FILES[name].read_text())
    assert values.pop("name") == name
    warmup = values.pop("warmup")
    WARMUP.check("schedule.warmup", warmup)
    assert options.bind("schedule", SCHEDULES[name], values) == values


def test_constant_stays() -> None:
    assert factors("constant", 7) == [1.0] * 7


def test_cosine_is_torchs() -> None:
    expected = rates(lr_scheduler.CosineAnnealingLR(optimizer(), T_max=50, eta_min=0.1), 50)
    assert factors("cosine", 50) == pytest.approx(expected, abs=1e-12)


def test_linear_is_torchs() -> None:
    expected = rates(lr_scheduler.LinearLR(optimizer(), start_factor=1.0, end_factor=0.2, total_iters=50), 50)
    assert factors("linear", 50) == pytest.approx(expected, abs=1e-12)


def test_one_cycle_is_torchs() -> None:
    # Torch counts its phases in steps, both ends included: 101 of its steps span 100 of ours, its peak at our step 30.
    torchs = lr_scheduler.OneCycleLR(
        optimizer(), 1.0, total_steps=101, pct_start=31 / 101, cycle_momentum=False, div_factor=25, final_div_factor=4
    )
    assert factors("one_cycle", 100) == pytest.approx(rates(torchs, 100), abs=1e-12)


def test_one_cycle_meets_its_three_rates() -> None:
    found = factors("one_cycle", 1000)
    assert found[0] == pytest.approx(0.04)
    assert found[300] == 1.0
    assert found.index(max(found)) == 300
    assert found[-1] == pytest.approx(0.01, abs=1e-4)


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_the_warm_up_rises_to_the_schedules_start(name: str) -> None:
    found = factors(name, 100, warmup=0.2)
    assert found[:20] == pytest.approx([(step + 1) / 21 for step in range(20)])
    # The schedule proper is the same, on what is left of the run.
    assert found[20:] == pytest.approx(factors(name, 80))


@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5, 0.99])
@pytest.mark.parametrize("name", sorted(OPTIONS))
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 997])
def test_a_factor_is_a_share_of_the_full_rate(name: str, steps: int, warmup: float) -> None:
    for changes in ({}, {key: 0.0 for key in OPTIONS[name] if key != "peak"}):
        found = factors(name, steps, warmup, **changes)
        assert all(math.isfinite(one) and 0 <= one <= 1 for one in found)
        assert found[0] > 0 or name == "one_cycle"


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_the_rate_falls_to_its_final_share(name: str) -> None:
    found = factors(name, 1000, warmup=0.1)
    fall = found[100:]
    assert fall[0] == 1.0
    assert fall == sorted(fall, reverse=True)
    assert lr_factor(name, 1000, 1000, 0.1, OPTIONS[name]) == pytest.approx(OPTIONS[name]["final"])


def test_a_factor_follows_from_its_step_alone() -> None:
    in_order = factors("one_cycle", 40, warmup=0.1)
    backwards = [lr_factor("one_cycle", step, 40, 0.1, OPTIONS["one_cycle"]) for step in reversed(range(40))]
    assert in_order == backwards[::-1]


@pytest.mark.parametrize("warmup", [-0.1, 1.0, math.nan])
def test_a_warmup_is_a_share_of_the_run(warmup: float) -> None:
    with pytest.raises(ConfigError, match=r"^schedule.warmup=.* at least 0 and below 1"):
        WARMUP.check("schedule.warmup", warmup)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("final", -0.1, "at least 0 and at most 1"),
        ("final", 1.1, "at least 0 and at most 1"),
        ("initial", 2, "at least 0 and at most 1"),
        ("peak", 0, "above 0 and below 1"),
        ("peak", 1.0, "above 0 and below 1"),
        ("peak", math.nan, "above 0 and below 1"),
    ],
)
def test_what_is_out_of_range_is_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^schedule.{key}=.* is out of range; it must be {message}"):
        options.bind("schedule", SCHEDULES["one_cycle"], OPTIONS["one_cycle"] | {key: value})
