"""scripts/simulate_verdicts.py: its parts run and say what they measure."""

from pathlib import Path

import numpy as np
import pytest
from conftest import imported

script = imported(Path(__file__).parents[1] / "scripts" / "simulate_verdicts.py")


@pytest.mark.slow
def test_parts_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    script.main(["--studies", "100", "--seed", "3", "--only", "rare"])
    script.looks(4, seed=3)  # of many comparisons each
    out = capsys.readouterr().out
    assert out.startswith("100 studies a figure, seed 3\n")
    for said in (
        "attn-compare's advice followed: an arm without effect",
        "an arm called equivalent that sometimes fails",
    ):
        assert said in out


@pytest.mark.parametrize("name", script.DRAWS)
def test_arms_are_drawn_with_mean_zero(name: str) -> None:
    values = script.DRAWS[name](np.random.default_rng(0), (20_000, 3, 5))
    assert np.abs(values.mean(axis=(0, 2))).max() < 0.05


def test_wrong_verdicts() -> None:
    """helps, hurts, equivalent, gains less, undecided: of no effect, of the margin, of a harm as large."""
    words = np.arange(5)
    for effect, expected in (
        (0.0, [True, True, False, False, False]),
        (1.0, [False, True, True, True, False]),
        (-1.0, [True, False, True, False, False]),
    ):
        assert script.wrong(words, np.array(effect), 1.0).tolist() == expected
