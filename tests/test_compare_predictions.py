"""What attn-compare makes of the runs' single predictions: made up runs, through the command."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_compare import TOTAL, compare, record, write_run
from test_compare_page import summary_of

from attn_train.comparison import predictions
from attn_train.comparison.notes import image_notes, place_notes
from attn_train.comparison.scores import Scores
from attn_train.comparison.studied import Studied
from attn_train.comparison.summary import Summary
from attn_train.runs.ledger import Ledger
from attn_train.statistics.images import new_images
from attn_train.statistics.intervals import Difference
from attn_train.statistics.sequential import Rule

Right = np.ndarray[Any, np.dtype[np.bool_]]


def write_predicted(folder: Path, model: str, right: dict[int, Right]) -> None:
    """Write an arm's runs by which images they got right, by seed."""
    labels = np.arange(TOTAL) % 2
    for seed, found in right.items():
        run = write_run(folder / f"{model}_{seed}", model, seed, int(found.sum()), test_loss=found.mean() + seed)
        logits = np.eye(2, dtype=np.float32)[np.where(found, labels, 1 - labels)]
        np.savez_compressed(run / "predictions.npz", logits=logits, labels=labels, index=np.arange(TOTAL))


def draw(shares: Any, seeds: list[int], generator: np.random.Generator) -> dict[int, Right]:
    return {seed: generator.random(TOTAL) < shares for seed in seeds}


@pytest.fixture
def right(tmp_path: Path) -> dict[str, dict[int, Right]]:
    """Runs of three arms; gated helps some images and hurts others, se has good and bad runs."""
    generator = np.random.default_rng(0)
    hard = generator.beta(4, 1, TOTAL)
    mixed = np.clip(hard + generator.normal(0, 0.2, TOTAL), 0, 1)
    found = {"none": draw(hard, [0, 1, 2, 3, 4, 9], generator), "gated": draw(mixed, [0, 1, 2, 3, 4, 5], generator)}
    found["se"] = {seed: generator.random(TOTAL) < hard * (0.9 + seed / 50) for seed in range(5)}
    for model, by_seed in found.items():
        write_predicted(tmp_path / "sweep", model, by_seed)
    return found


def about_predictions(summary: Summary) -> list[str]:
    return [line for line in summary.warnings if line.startswith("the predictions")]


def test_the_interval_for_other_images_is_the_verdicts_with_what_images_add(
    tmp_path: Path, right: dict[str, dict[int, Right]]
) -> None:
    ended = compare(tmp_path, "sweep", "output=out")
    assert ended.code == 0, ended.err
    found = record(tmp_path / "out")
    gated = next(comparison for comparison in found["comparisons"] if comparison["arm"] == "gated")
    ours, theirs = (np.stack(list(right[model].values())) for model in ("gated", "none"))
    assert gated["new_images"]["mean"] == gated["mean"] == pytest.approx(100 * (ours.mean() - theirs.mean()))
    known = Difference(*(gated[field.name] for field in dataclasses.fields(Difference)))
    expected = new_images(known, ours, theirs)
    assert (gated["new_images"]["low"], gated["new_images"]["high"]) == pytest.approx((expected.low, expected.high))
    assert gated["new_images"]["low"] < gated["low"] < gated["high"] < gated["new_images"]["high"]
    shown = f"{expected.mean:+.2f} [{expected.low:+.2f}, {expected.high:+.2f}]"
    for text in (ended.out, *((tmp_path / "out" / name).read_text() for name in ("report.md", "report.html"))):
        assert shown in text.replace("\\", "")
        assert "For other images like these" in text
        assert "runs deviate by more than independent errors would: se (" in text


def test_runs_that_are_good_or_bad_as_a_whole_are_warned_of(tmp_path: Path, right: dict[str, dict[int, Right]]) -> None:
    summary = summary_of(tmp_path / "sweep")
    for model, by_seed in right.items():
        matrix = np.stack(list(by_seed.values()))
        assert summary.deviations[model].seen == pytest.approx(100 * matrix.mean(axis=1).std(ddof=1))
    assert [label for label, deviation in summary.deviations.items() if deviation.is_alarming] == ["se"]
    (said,) = [line for line in summary.warnings if "independent" in line]
    assert f"would: se ({summary.deviations['se'].seen:.2f} points" in said


def test_arms_are_calibrated_as_a_loop_over_their_images_finds(
    tmp_path: Path, right: dict[str, dict[int, Right]]
) -> None:
    """Each run is as sure of every image: by logits of 0 and 1."""
    path = tmp_path / "sweep" / "gated_3" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ece_scaled": 0.5}))
    sure = np.e / (1 + np.e)
    for metric in ("accuracy", "brier"):
        ended = compare(tmp_path, "sweep", "output=out", f"metric={metric}", "images=auto")
        assert ended.code == 0, ended.err
        for arm in record(tmp_path / "out")["arms"]:
            found, shares = arm["calibration"], np.array([seen.mean() for seen in right[arm["arm"]].values()])
            briers = 2 * (shares * (1 - sure) ** 2 + (1 - shares) * sure**2)
            for key, values in {
                "ece": np.abs(sure - shares),
                "overconfidence": sure - shares,
                "reliability": np.square(sure - shares),
                "resolution": 0 * shares,
                "brier": briers,
            }.items():
                assert found[key] == pytest.approx(values.mean())
                assert found[f"{key}_deviation"] == pytest.approx(values.std(ddof=1))
            # Of a single run of the arm, which is not the arm's.
            assert "ece_scaled" not in found
            bins = found["bins"]
            assert bins["images"] == [TOTAL if number == int(15 * sure) else 0 for number in range(15)]
            assert [value for value in bins["accuracy"] if value is not None] == pytest.approx([np.mean(shares)])
        for text in (ended.out, *((tmp_path / "out" / name).read_text() for name in ("report.md", "report.html"))):
            assert "Calibration (secondary)" in text
            assert f"{briers.mean():.4f} ± {briers.std(ddof=1):.4f}" in text


def test_each_file_is_read_once(
    tmp_path: Path, right: dict[str, dict[int, Right]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bootstrap, too, is made of what was read for the others. images=true reads files of any size."""
    load, read = np.load, []

    def counted(file: Any, **more: Any) -> Any:
        read.append(file.name)
        return load(file, **more)

    monkeypatch.setattr(np, "load", counted)
    monkeypatch.setattr(predictions, "MOST_BYTES", 1)
    for path in {*(tmp_path / "sweep").glob("*_[3-9]"), *(tmp_path / "sweep").glob("se_*")}:
        shutil.rmtree(path)
    (comparison,) = summary_of(tmp_path / "sweep", "images=true").comparisons
    assert comparison.over_images
    assert comparison.new_images
    assert len(read) == len(set(read)) == 6


def test_an_arm_whose_predictions_cannot_be_used_is_named(tmp_path: Path, right: dict[str, dict[int, Right]]) -> None:
    (tmp_path / "sweep" / "se_3" / "predictions.npz").write_bytes(b"PK\x03\x04 no archive")
    path = tmp_path / "sweep" / "gated_2" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"correct": 1, "test_accuracy": 1 / TOTAL}))
    summary = summary_of(tmp_path / "sweep")
    (said,) = about_predictions(summary)
    assert said.startswith("the predictions of gated, se cannot be used (")
    assert "gated_2/predictions.npz does not agree with result.json (1 of 10000 right)" in said
    assert [comparison.new_images for comparison in summary.comparisons] == [None, None]
    assert list(summary.deviations) == list(summary.calibrations) == ["none"]
    assert not about_predictions(summary_of(tmp_path / "sweep", "images=false"))


def test_large_predictions_are_read_only_where_asked_for(
    tmp_path: Path, right: dict[str, dict[int, Right]], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(path.stat().st_size for path in (tmp_path / "sweep").glob("*/predictions.npz"))
    for most, are_read in ((size - 1, False), (size, True)):
        monkeypatch.setattr(predictions, "MOST_BYTES", most)
        summary = summary_of(tmp_path / "sweep")
        assert [comparison.new_images is not None for comparison in summary.comparisons] == [are_read] * 2
        assert len(about_predictions(summary)) == (not are_read)


def test_runs_that_a_file_lists_have_no_predictions(tmp_path: Path) -> None:
    rows = [f"{arm},{seed},{90 + seed / 10}" for arm in ("none", "gated") for seed in range(5)]
    (tmp_path / "runs.csv").write_text("\n".join(["arm,seed,accuracy", *rows]))
    assert not about_predictions(summary_of(tmp_path / "runs.csv"))


def test_a_study_is_not_judged_by_them(tmp_path: Path, right: dict[str, dict[int, Right]]) -> None:
    """Nor by the places of its arms."""
    summary = summary_of(tmp_path / "sweep")
    assert "single look" not in " ".join([*image_notes(summary), *place_notes(summary)])
    study = Studied(["none", "gated", "se"], Rule(2, 8, 0.2), 0.2, range(8), Scores(Ledger(tmp_path), "accuracy"))
    summary = dataclasses.replace(summary, study=study)
    assert "study's rule does not judge by other images" in image_notes(summary)[-1]
    assert "study's rule does not judge by places: they are of a single look" in place_notes(summary)[-1]
