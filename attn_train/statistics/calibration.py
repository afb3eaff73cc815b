"""How far a classifier's probabilities can be trusted: proper scores, the calibration error, a fitted temperature.

An image's confidence is its largest probability. All functions take logits (n, classes) and labels (n,), n >= 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

BINS = 15
# Bin k holds the confidences above EDGES[k], up to and with EDGES[k + 1]: exactly 1 is in the last.
EDGES = np.linspace(0, 1, BINS + 1)
# Temperatures that are tried. A best one at an end would lie beyond it.
LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.01, 100.0


def log_probabilities(logits: Array) -> Array:
    """Return the logarithm of the softmax of each row."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def of_labels(log_probability: Array, labels: Labels) -> Array:
    """Return the entry of each row that is its label's (n,)."""
    return log_probability[np.arange(len(labels)), labels]


@dataclass(frozen=True)
class Calibration:
    """The scores of predictions, and their images in BINS bins of equal width by confidence.

    Shares lie between 0 and 1. The last score is of the confidence c alone: with r = 1 where the predicted class is
    right, else 0, the top-label Brier score is the mean of (c - r)^2, and equals reliability - resolution +
    uncertainty + within. The first three are Murphy's (Journal of Applied Meteorology 12, 1973) over the same bins;
    `within` is what bins add in which confidences are not all the same (Stephenson, Coelho and Jolliffe, Weather and
    Forecasting 23, 2008).
    """

    nll: float  # mean of -log p(label), in nats
    brier: float  # mean squared distance of all probabilities from the label's, between 0 and 2 (Brier, 1950)
    top_label_brier: float
    count: Array  # images of each bin (BINS,)
    confidence: Array  # the sum of their confidences (BINS,)
    right: Array  # how many of them are right (BINS,)

    @property
    def total(self) -> float:
        return float(self.count.sum())

    @property
    def ece(self) -> float:
        """The expected calibration error: the mean over images of |confidence - accuracy| of their bin.

        Naeini, Cooper and Hauskrecht (2015), with the bins of Guo et al. (2017). Empty bins count nothing.
        """
        return float(np.abs(self.confidence - self.right).sum()) / self.total

    @property
    def overconfidence(self) -> float:
        """The mean confidence minus the accuracy: above 0 over-confident, below 0 under-confident."""
        return float((self.confidence - self.right).sum()) / self.total

    @property
    def direction(self) -> str:
        """The same in words."""
        word = "over" if self.overconfidence > 0 else "under"
        return f"{word}-confident by {abs(self.overconfidence):.4f}"

    @property
    def reliability(self) -> float:
        """The squared distance of confidence from accuracy, over bins; less is better."""
        return float((np.square(self.confidence - self.right) / self.filled).sum()) / self.total

    @property
    def resolution(self) -> float:
        """How far the accuracies of the bins differ from the whole one, squared; more is better."""
        share = float(self.right.sum()) / self.total
        return float((np.square(self.right - share * self.count) / self.filled).sum()) / self.total

    @property
    def uncertainty(self) -> float:
        """The variance of being right, which no confidence changes."""
        share = float(self.right.sum()) / self.total
        return share * (1 - share)

    @property
    def within(self) -> float:
        """What of the top-label Brier score lies within bins."""
        return self.top_label_brier - (self.reliability - self.resolution + self.uncertainty)

    @property
    def filled(self) -> Array:
        """The images of each bin, 1 for an empty one: to divide by."""
        return np.maximum(self.count, 1)


def assess(logits: Array, labels: Labels) -> Calibration:
    """Return the scores and bins of predictions."""
    log_probability = log_probabilities(np.asarray(logits, dtype=float))
    probability = np.exp(log_probability)
    confidence = probability.max(axis=1)
    right = (logits.argmax(axis=1) == labels).astype(float)
    # The squared distance from the label's probabilities, 1 for the label and else 0.
    distance = np.square(probability).sum(axis=1) - 2 * of_labels(probability, labels) + 1
    bins = np.searchsorted(EDGES, confidence, side="left") - 1
    weights = np.ones_like(confidence), confidence, right
    counts, confidences, rights = (np.bincount(bins, weight, BINS).astype(float) for weight in weights)
    return Calibration(
        nll=float(-of_labels(log_probability, labels).mean()),
        brier=float(distance.mean()),
        top_label_brier=float(np.square(confidence - right).mean()),
        count=counts,
        confidence=confidences,
        right=rights,
    )


def negative_log_likelihood(logits: Array, labels: Labels) -> float:
    """Return the mean of -log p(label), in nats."""
    return float(-of_labels(log_probabilities(logits), labels).mean())


def brier(logits: Array, labels: Labels) -> float:
    """Return the Brier score over all classes, between 0 and 2."""
    return assess(logits, labels).brier


def expected_calibration_error(logits: Array, labels: Labels) -> float:
    """Return the expected calibration error, a share between 0 and 1."""
    return assess(logits, labels).ece


def fit_temperature(logits: Array, labels: Labels) -> float | None:
    """Return the temperature T by which logits / T have the least negative log-likelihood (Guo et al., 2017).

    Fit it on images that are neither trained on nor tested. None where no temperature is best: all of the images are
    right, so that certainty fits them best, or the logits say nothing of the labels.
    """

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(logits / np.exp(log_temperature), labels)

    ends = np.log(LEAST_TEMPERATURE), np.log(MOST_TEMPERATURE)
    best = optimize.minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-7})
    return float(np.exp(best.x)) if best.fun < min(map(loss, ends)) else None
