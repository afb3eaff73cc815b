"""Calibration, held against scikit-learn, loops in float64 and samples whose answer is known."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss, log_loss

from attn_train.statistics.calibration import (
    BINS,
    assess,
    brier,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
)

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def drawn(count: int, classes: int, sharpness: float = 1.0, seed: int = 0) -> tuple[Array, Labels]:
    """Return logits and labels drawn from their softmax, but that the logits are then multiplied by `sharpness`."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.standard_normal((count, classes))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (chances.cumsum(axis=1) < generator.random((count, 1))).sum(axis=1).clip(max=classes - 1)
    return sharpness * logits, labels


def by_loop(logits: Array, labels: Labels) -> tuple[list[tuple[float, float]], list[list[tuple[float, float]]]]:
    """Return the confidence of each image with whether it is right, and the same in bins."""
    pairs: list[tuple[float, float]] = []
    bins: list[list[tuple[float, float]]] = [[] for _ in range(BINS)]
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        powers = [math.exp(value - max(row)) for value in row]
        pair = max(powers) / sum(powers), float(row.index(max(row)) == label)
        pairs.append(pair)
        bins[max(0, math.ceil(pair[0] * BINS) - 1)].append(pair)
    return pairs, bins


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


@pytest.mark.parametrize("classes", [2, 7])
def test_proper_scores_are_scikit_learns(classes: int) -> None:
    logits, labels = drawn(500, classes, 1.7)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    known = {"labels": range(classes)}
    assert negative_log_likelihood(logits, labels) == pytest.approx(log_loss(labels, chances, **known))
    assert assess(logits, labels).nll == pytest.approx(log_loss(labels, chances, **known))
    if classes == 2:
        # scikit-learn's is of one of the two classes.
        assert brier(logits, labels) == pytest.approx(2 * brier_score_loss(labels, chances[:, 1]))
    assert brier(logits, labels) == pytest.approx(np.square(chances - np.eye(classes)[labels]).sum(axis=1).mean())


def test_bins_and_their_decomposition_are_those_of_a_loop() -> None:
    logits, labels = drawn(400, 4, 1.5)
    found = assess(logits, labels)
    pairs, bins = by_loop(logits, labels)
    assert found.count.tolist() == [len(held) for held in bins]
    ece, reliability, resolution, within = 0.0, 0.0, 0.0, 0.0
    accuracy = mean([right for _, right in pairs])
    for held in filter(None, bins):
        sure, share, weight = mean([c for c, _ in held]), mean([r for _, r in held]), len(held) / len(pairs)
        ece += weight * abs(sure - share)
        reliability += weight * (sure - share) ** 2
        resolution += weight * (share - accuracy) ** 2
        # Stephenson et al.: the variance of the confidence in a bin, less twice its covariance with being right.
        within += weight * mean([(c - sure) ** 2 - 2 * (c - sure) * (r - share) for c, r in held])
    assert found.ece == expected_calibration_error(logits, labels) == pytest.approx(ece)
    assert (found.reliability, found.resolution) == pytest.approx((reliability, resolution))
    assert found.within == pytest.approx(within)
    assert found.uncertainty == pytest.approx(accuracy * (1 - accuracy))
    whole = found.reliability - found.resolution + found.uncertainty + found.within
    assert whole == pytest.approx(mean([(c - r) ** 2 for c, r in pairs]))
    assert found.overconfidence == pytest.approx(mean([c - r for c, r in pairs]))


def test_a_calibrated_sample_has_no_error_beyond_chance() -> None:
    """Labels drawn from the probabilities themselves; sharper or flatter ones are over- and under-confident."""
    calibrated, sharp, flat = (assess(*drawn(40_000, 10, sharpness)) for sharpness in (1.0, 2.0, 0.5))
    assert calibrated.ece < 0.012
    assert abs(calibrated.overconfidence) < 0.007
    assert sharp.ece > 0.1
    assert flat.ece > 0.1
    assert sharp.overconfidence == pytest.approx(sharp.ece, rel=0.02)
    assert flat.overconfidence == pytest.approx(-flat.ece, rel=0.02)


@pytest.mark.parametrize(("shift", "nll", "score", "ece"), [(0, 0.0, 0.0, 0.0), (1, 1000.0, 2.0, 1.0)])
def test_a_confidence_of_exactly_1_is_in_the_last_bin(shift: int, nll: float, score: float, ece: float) -> None:
    found = assess(np.roll(1000.0 * np.eye(10), shift, axis=1), np.arange(10))
    assert found.count.tolist() == [0] * (BINS - 1) + [10]
    assert (found.nll, found.brier, found.ece, found.overconfidence) == (nll, score, ece, ece)


def test_a_single_class_and_a_single_image_are_scored() -> None:
    found = assess(np.zeros((3, 1)), np.zeros(3, dtype=np.int64))
    assert (found.nll, found.brier, found.ece, found.uncertainty, found.total) == (0, 0, 0, 0, 3)
    # Equal logits: the first class is predicted.
    alone = assess(np.zeros((1, 2)), np.array([1]))
    assert (alone.nll, alone.brier, alone.ece, alone.overconfidence) == pytest.approx((math.log(2), 0.5, 0.5, 0.5))


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_temperature_is_the_factor_of_the_logits(factor: float) -> None:
    logits, labels = drawn(40_000, 5, factor)
    temperature = fit_temperature(logits, labels)
    assert temperature is not None
    assert temperature == pytest.approx(factor, rel=0.03)
    # To the last digits: the same sample, multiplied.
    assert fit_temperature(2 * logits, labels) == pytest.approx(2 * temperature, rel=1e-4)
    losses = [negative_log_likelihood(logits / (temperature * step), labels) for step in (0.99, 1, 1.01)]
    assert min(losses) == losses[1]


@pytest.mark.parametrize(
    "logits",
    [np.eye(4), 1000 * np.eye(4), -np.eye(4), np.zeros((4, 4))],
    ids=["all right", "surely right", "all wrong", "nothing said"],
)
def test_no_temperature_where_none_is_best(logits: Array) -> None:
    assert fit_temperature(logits, np.arange(4)) is None
