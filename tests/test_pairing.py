"""scripts/pairing.py: its intervals cover what they should, and it trains what it says."""

import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from conftest import TINY, imported
from forked import Forked

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "pairing.py"


@pytest.fixture(scope="module")
def pairing() -> ModuleType:
    return imported(SCRIPT)


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.6, -0.3])
def test_narrowing_covers(pairing: ModuleType, correlation: float) -> None:
    """Arms that correlate: the difference narrows by the root of 1 - correlation, held by 95 % of the intervals."""
    true, runs, seeds = math.sqrt(1 - correlation), 2000, 10
    generator = np.random.default_rng(0)
    covariance = [[1.0, correlation], [correlation, 1.0]]
    drawn = generator.multivariate_normal([0, 3], covariance, size=(runs, seeds))
    found = [pairing.narrowing(one[:, 0].tolist(), one[:, 1].tolist(), 0.95) for one in drawn]
    assert abs(np.mean([low <= true <= high for _, low, high in found]) - 0.95) < 0.015
    assert abs(np.median([ratio for ratio, _, _ in found]) - true) < 0.02


def test_deviation_interval_covers(pairing: ModuleType) -> None:
    drawn = np.random.default_rng(0).normal(5, 2, size=(2000, 8))
    bounds = [pairing.deviation_interval(one.var(ddof=1), 7, 0.95) for one in drawn]
    assert abs(np.mean([low <= 2 <= high for low, high in bounds]) - 0.95) < 0.015


@pytest.mark.slow
def test_it_trains_what_it_says(tmp_path: Path) -> None:
    # Without the pictures of each run's end.
    program = (
        "import runpy; from attn_train.commands import outcome; outcome.draw = lambda *_: None; "
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    process = Forked(program, "--seeds", "3", "--folder", "runs", *TINY, folder=tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    for line in ("nothing ", "all seeds ", "initialisation ", "order and augmentation "):
        assert line in out
    runs = sorted(tmp_path.glob("runs/*/result.json"))
    seeds = set()
    for path in runs:
        config = yaml.safe_load((path.parent / "config.yaml").read_text())
        own = {key: value for key, value in config["seeds"].items() if value is not None}
        seeds.add((json.loads(path.read_text())["model"], config["seed"], *sorted(own.items())))
    far = 1_000_000
    assert seeds == {
        one
        for seed in range(3)
        for one in (
            ("none", seed),
            ("gated", seed),
            ("gated", seed, ("augment", far + seed), ("order", far + seed)),
            ("gated", seed, ("init", far + seed)),
        )
    }
