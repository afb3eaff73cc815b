"""attn-compare by other numbers than accuracy, held against scipy and torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from test_compare import TOTAL, compare, record, write_run

from attn_train.comparison.measures import MEASURES
from attn_train.statistics.intervals import differences

LOSSES = {"none": [0.250, 0.262, 0.255, 0.259, 0.248], "gated": [0.240, 0.251, 0.244, 0.250, 0.238]}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for model, losses in LOSSES.items():
        for seed, loss in enumerate(losses):
            seconds = 100.0 + seed + 30 * (model == "gated")
            write_run(
                tmp_path / "sweep" / f"{model}_{seed}", model, seed, 9300 + seed, test_loss=loss, train_seconds=seconds
            )
    return tmp_path / "sweep"


def found(folder: Path, *words: str) -> tuple[dict[str, Any], str]:
    ended = compare(folder, "sweep", "output=out", *words)
    assert ended.code == 0, ended.err
    (comparison,) = record(folder / "out")["comparisons"]
    return comparison, ended.out


def test_a_loss_is_compared_by_its_ratio(tmp_path: Path, sweep: Path) -> None:
    comparison, out = found(tmp_path, "metric=loss")
    logs = {arm: np.log(values) for arm, values in LOSSES.items()}
    (gain,) = differences(-np.stack([logs["none"], logs["gated"]]))
    assert comparison["p_value"] == pytest.approx(gain.p_value)
    ratios = np.exp([-gain.mean, -gain.high, -gain.low])
    assert [comparison[key] for key in ("mean", "low", "high")] == pytest.approx(list(100 * (ratios - 1)))
    assert ratios[0] == pytest.approx(stats.gmean(LOSSES["gated"]) / stats.gmean(LOSSES["none"]))
    # Less is better, and one run beats another by it.
    assert comparison["verdict"] == "helps"
    wins = stats.mannwhitneyu(LOSSES["none"], LOSSES["gated"]).statistic / 25
    assert comparison["chance"] == pytest.approx(wins)
    assert comparison["margin"] == 1
    # In per cent too; the true difference that such runs find at 5 %.
    shift, edge = np.log1p(comparison["detectable"] / 100) / gain.error, stats.t.ppf(0.975, gain.freedom)
    assert stats.nct.sf(edge, gain.freedom, shift) == pytest.approx(0.8, abs=1e-3)
    assert "test loss" in out
    assert "0.2446 ± " in out


def test_what_takes_longer_hurts(tmp_path: Path, sweep: Path) -> None:
    comparison, _ = found(tmp_path, "metric=train_seconds")
    assert comparison["verdict"] == "hurts"
    assert comparison["mean"] == pytest.approx(29.4, abs=0.2)


@pytest.mark.parametrize(("margin", "verdict"), [(1, "equivalent"), (0.35, "equivalent"), (0.1, "undecided")])
def test_the_margin_of_a_ratio_is_in_per_cent(tmp_path: Path, margin: float, verdict: str) -> None:
    for seed, step in enumerate((-2, -1, 0, 1, 2)):
        for model in ("none", "se"):
            loss = 0.25 * (1 + 0.001 * step) + (model == "se") * 1e-9
            write_run(tmp_path / "sweep" / f"{model}_{seed}", model, seed, 9300, test_loss=loss)
    comparison, _ = found(tmp_path, "metric=loss", f"margin={margin}")
    # Both deviate by 0.158 %, so that their difference has an error of at most 0.1 %.
    assert 0.15 < comparison["high"] < 0.24
    assert comparison["verdict"] == verdict


def predictions(folder: Path, seed: int, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Write logits that are right more often the larger `scale` is; return them with the labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (TOTAL,), generator=generator)
    noise = torch.randn(TOTAL, 10, generator=generator)
    logits = noise + scale * torch.nn.functional.one_hot(labels, 10)
    np.savez_compressed(folder / "predictions.npz", logits=logits, labels=labels, index=np.arange(TOTAL))
    return logits.double(), labels


def test_scores_of_predictions_are_torchs(tmp_path: Path, sweep: Path) -> None:
    expected: dict[str, dict[str, list[float]]] = {"nll": {}, "brier": {}, "ece": {}}
    for model in LOSSES:
        for seed in range(5):
            logits, labels = predictions(sweep / f"{model}_{seed}", seed, 2 if model == "none" else 2.2)
            one_hot = torch.nn.functional.one_hot(labels, 10)
            confidence, said = logits.softmax(dim=1).max(dim=1)
            bins = torch.nn.functional.one_hot((15 * confidence).ceil().long() - 1, 15).double()
            gaps = (bins * (confidence - (said == labels).double())[:, None]).sum(dim=0)
            for name, value in (
                ("nll", torch.nn.functional.cross_entropy(logits, labels)),
                ("brier", (logits.softmax(dim=1) - one_hot).square().sum(dim=1).mean()),
                ("ece", gaps.abs().sum() / TOTAL),
            ):
                expected[name].setdefault(model, []).append(value.item())
    for name, values in expected.items():
        comparison, _ = found(tmp_path, f"metric={name}")
        assert comparison[name] == pytest.approx(np.mean(values["gated"]), rel=1e-6)
        assert comparison[f"reference_{name}"] == pytest.approx(np.mean(values["none"]), rel=1e-6)
        # The better network is the less confident one, for its accuracy.
        assert comparison["verdict"] == ("hurts" if name == "ece" else "helps")
    difference = np.subtract(expected["brier"]["gated"], expected["brier"]["none"])
    assert found(tmp_path, "metric=brier")[0]["mean"] == pytest.approx(difference.mean(), rel=1e-5)


def test_a_run_without_the_number_is_left_out(tmp_path: Path, sweep: Path) -> None:
    for model in LOSSES:
        for seed in range(1, 5):
            predictions(sweep / f"{model}_{seed}", seed, 2)
    (sweep / "none_1" / "predictions.npz").write_bytes(b"no archive")
    comparison, out = found(tmp_path, "metric=brier")
    assert (comparison["n"], len(comparison["reference_seeds"])) == (4, 3)
    assert out.count("its predictions cannot be used") == 3


def test_the_error_with_a_temperature_is_the_results(tmp_path: Path, sweep: Path) -> None:
    """A run without a temperature, as of an older version, has none."""
    for path in sweep.glob("*_[1-4]/result.json"):
        scaled = 0.02 - 0.01 * (path.parent.name[:5] == "gated") + 0.0001 * int(path.parent.name[-1])
        path.write_text(json.dumps(json.loads(path.read_text()) | {"ece_scaled": scaled}))
    comparison, out = found(tmp_path, "metric=ece_scaled")
    assert (comparison["n"], comparison["mean"]) == (4, pytest.approx(-0.01))
    assert out.count("its result.json has no ece_scaled") == 2


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["metric=f1"], f"metric=f1 is not a choice; choose from {', '.join(MEASURES)}"),
        (["metric=val_accuracy"], "metric=val_accuracy: no run has it"),
        (["metric=brier"], "metric=brier: no run has it"),
        (["metric=ece_scaled"], "metric=ece_scaled: no run has it"),
        (["metric=loss", "images=true"], "images=true resamples what is right on test images"),
        (["metric=loss", "margin=0"], "margin=0.0 is out of range"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path: Path, sweep: Path, words: list[str], named: str) -> None:
    ended = compare(tmp_path, "sweep", *words)
    assert ended.code == 2
    assert named in ended.err
    assert len(ended.err.splitlines()) == 1
