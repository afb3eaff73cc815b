"""Simulate how well control=time keeps its promise, by its own code: intervals, search and refusal.

  python scripts/simulate_controls.py [--studies N] [--seed S]

Pairs of step times are drawn, one of the network with attention and one of the control, each with lognormal noise:
independent from pair to pair, with drift (an autoregressive process of first order), or with heavy tails (Student's t
with 3 degrees of freedom). Each share is of N measurements or searches; its standard error is at most half of
1 / sqrt(N).

coverage   how often the interval of a ratio holds the true ratio, and half its mean width in standard deviations of the
           ratio of a pair.
searches   how many controls are accepted, and how many of them really take more than 2 % longer or shorter, where the
           final measurement has such a standard error.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from attn_train.cost import timing
from attn_train.cost.timing import Timing
from attn_train.writing.text import aligned

Array = NDArray[np.float64]
BASE = [64, 288, 288]  # the channels of backbone=fast
ERRORS = (0.0025, 0.005, 0.01, 0.02, 0.04)


@dataclass(frozen=True)
class Noise:
    """The noise of step times: its autocorrelation from pair to pair, and whether it has heavy tails."""

    drift: float = 0.0
    heavy: bool = False

    def draw(self, generator: np.random.Generator, count: int) -> Array:
        """Return so many pairs of values (count, 2) of standard deviation 1."""
        shape = (count + 50, 2)  # the first 50 are left out: a process begins at its mean
        values = generator.standard_t(3, shape) / math.sqrt(3) if self.heavy else generator.standard_normal(shape)
        return np.asarray(signal.lfilter([math.sqrt(1 - self.drift**2)], [1, -self.drift], values, axis=0))[50:]


NOISES = {
    "independent": Noise(),
    "drift 0.5": Noise(0.5),
    "drift 0.7": Noise(0.7),
    "drift 0.9": Noise(0.9),
    "heavy tails": Noise(heavy=True),
    "heavy tails, drift 0.7": Noise(0.7, heavy=True),
}


def measured(
    generator: np.random.Generator, noise: Noise, std: float, *, ratio: float, blocks: int, size: int = timing.PAIRS
) -> Timing:
    """Return what is measured of a true ratio.

    Args:
        std: standard deviation of the logarithm of a pair's ratio.
        size: pairs of a block.
    """
    times = np.exp(std / math.sqrt(2) * noise.draw(generator, blocks * size)) * [1.0, ratio]
    pairs = [(arm, other) for arm, other in times.tolist()]
    return timing.summarize([pairs[first : first + size] for first in range(0, len(pairs), size)])


def per_cent(share: float) -> str:
    return f"{100 * share:.1f} %"


def coverage(noise: Noise, size: int, studies: int, seed: int) -> tuple[float, float, float]:
    """Return the share of intervals that hold the true ratio, half their mean width, and the ratio's standard error; of
    these two in standard deviations of the ratio of a pair."""
    generator, std = np.random.default_rng(seed), 0.02
    timings = [measured(generator, noise, std, ratio=1.0, blocks=timing.BLOCKS, size=size) for _ in range(studies)]
    held = np.mean([abs(timed.ratio - 1) <= timed.uncertainty for timed in timings])
    width = np.mean([timed.uncertainty for timed in timings]) / std
    return float(held), float(width), float(np.std([timed.ratio for timed in timings])) / std


def multiply_adds(widths: list[int]) -> float:
    """Return a cost that grows with the widths as that of a chain of convolutions."""
    return 100 * widths[0] + 40 * widths[0] * widths[1] + 3 * widths[1] * widths[2]


def search(generator: np.random.Generator, noise: Noise, std: float) -> tuple[float, float, bool]:
    """Return a control's true error and its measured one, as shares, and whether it is accepted.

    A step takes a constant time besides, at most as long as the plain network's multiply-adds; with attention it takes
    up to twice as long as the plain network's. The search begins at up to 1.5 times the cost that would be right.
    """
    plain = multiply_adds(BASE)
    constant, longer = generator.uniform(0, 1) * plain, generator.uniform(1.1, 2)

    def seconds(widths: list[int]) -> float:
        return constant + multiply_adds(widths)

    target = longer * seconds(BASE)
    start = (target - constant) * generator.uniform(0.67, 1.5)
    widths, timed = timing.match(
        BASE,
        multiply_adds,
        start,
        lambda tried, blocks: measured(generator, noise, std, ratio=seconds(tried) / target, blocks=blocks),
    )
    error = timed.ratio - 1
    return seconds(widths) / target - 1, error, timing.is_within(error, timed.uncertainty)


def searches(title: str, noise: Noise, unit: float, studies: int, seed: int) -> str:
    """Return the table of searches.

    Args:
        unit: standard error of a measurement, in standard deviations of the ratio of a pair.
    """
    rows = [[title, "accepted", "error measured", "true error", "more than 2 % off, of all", "of the accepted"]]
    for error in ERRORS:
        generator = np.random.default_rng(seed)
        ends = np.array([search(generator, noise, error / unit) for _ in range(studies)])
        true, measured_errors = np.abs(ends[ends[:, 2] == 1, :2]).T
        missed = int((true > timing.TOLERANCE).sum())
        means = [per_cent(float(values.mean())) if len(true) else "-" for values in (measured_errors, true)]
        share = per_cent(missed / len(true)) if len(true) >= 30 else "-"
        rows.append([f"{100 * error:g} %", per_cent(len(true) / studies), *means, per_cent(missed / studies), share])
    return aligned(rows, left=(0,))


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000, metavar="N", help="of each figure (default: 4000)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (default: 0)")
    given = parser.parse_args(words)
    if given.studies < 100:
        parser.error(f"--studies {given.studies} says too little; give at least 100")
    print(f"{given.studies} studies a figure, seed {given.seed}")
    units = {}
    for size in (timing.SLOW_PAIRS, timing.PAIRS):
        rows = [("noise", "intervals that hold the truth", "half their width, std")]
        for name, noise in NOISES.items():
            held, width, units[name] = coverage(noise, size, given.studies, given.seed)
            rows.append((name, per_cent(held), f"{width:.2f}"))
        print(f"\n{timing.BLOCKS} blocks of {size} pairs\n{aligned(rows, left=(0,))}")
    print("\ncontrols by the standard error of a measurement")
    for name in ("independent", "drift 0.7"):
        print(searches(name, NOISES[name], units[name], given.studies, given.seed), end="\n\n")


if __name__ == "__main__":
    main()
