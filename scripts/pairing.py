"""Does sharing seeds between two arms make their difference less noisy, and by how much?

  python scripts/pairing.py --seeds 10 --models none gated dataset=digits train.epochs=2

Trains the first model once with each seed, and the second with the same seed for all (initialisation, order of the
data, augmentation), for the initialisation alone, and for order and augmentation alone. Nothing else is needed for
arms that share nothing: their difference has the sum of both variances. Words of attn-train's command line say what a
run is. Runs that are finished in the folder are not trained again.
"""

import argparse
import logging
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scipy import stats

from attn_train import build
from attn_train.commands import run
from attn_train.settings import compose, identity

# What the second arm takes its own random numbers for; its other ones are the first arm's.
SHARED: dict[str, tuple[str, ...]] = {
    "all seeds": (),
    "initialisation": ("order", "augment"),
    "order and augmentation": ("init",),
}
OWN_SEED = 1_000_000  # added to a seed that is not shared

MEASURES: dict[str, tuple[str, Callable[[dict[str, Any]], float]]] = {
    "test accuracy": ("points", lambda result: 100 * float(result["test_accuracy"])),
    "test loss": ("nats", lambda result: float(result["test_loss"])),
}


def train(folder: Path, words: Sequence[str], model: str, seed: int, own: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the result of the run with `seed`, trained with seeds of its own for the purposes in `own`."""
    overrides = [*words, f"model={model}", f"seed={seed}", *(f"seeds.{one}={seed + OWN_SEED}" for one in own)]
    config = compose.to_config(compose.compose(overrides, compose.parse([])))
    build.check(config)
    return run.train(config, folder / identity.digest(asdict(config))[:16])


def deviation_interval(variance: float, degrees: float, level: float) -> tuple[float, float]:
    """Return the confidence interval of a standard deviation, of normal values, by the chi-square distribution."""
    tail = (1 - level) / 2
    low, high = (math.sqrt(variance * degrees / stats.chi2.ppf(p, degrees)) for p in (1 - tail, tail))
    return low, high


def narrowing(first: Sequence[float], second: Sequence[float], level: float) -> tuple[float, float, float]:
    """Return the deviation of the paired difference over that of the unpaired one, and its confidence interval.

    With equal variances the sum and the difference of a pair are independent, so the ratio of their variances follows
    an F distribution (Pitman, 1939; Morgan, 1939); the unpaired variance is the mean of the two.
    """
    pairs = list(zip(first, second, strict=True))
    ratio = statistics.variance([b - a for a, b in pairs]) / statistics.variance([b + a for a, b in pairs])
    tail, degrees = (1 - level) / 2, len(pairs) - 1
    bounds = (ratio / stats.f.ppf(p, degrees, degrees) for p in (1 - tail, tail))
    found, low, high = (math.sqrt(2 * q / (1 + q)) for q in (ratio, *bounds))
    return found, low, high


def report(name: str, unit: str, first: list[float], second: dict[str, list[float]], level: float) -> None:
    """Print one measure's table."""
    print(f"\n{name}, {unit}; {100 * level:g} % confidence intervals; {len(first)} seeds")
    everything = second["all seeds"]
    for label, values in (("first arm", first), ("second arm", everything)):
        print(f"  {label:24} mean {statistics.mean(values):8.4f}  deviation {statistics.stdev(values):.4f}")
    print(f"  {'shared':24} {'deviation of the difference':32} {'over that of nothing shared':28} worth")
    variances = statistics.variance(first), statistics.variance(everything)
    # Two variances added: the degrees of freedom of Welch and Satterthwaite.
    degrees = (len(first) - 1) * sum(variances) ** 2 / sum(one**2 for one in variances)
    low, high = deviation_interval(sum(variances), degrees, level)
    print(f"  {'nothing':24} {math.sqrt(sum(variances)):.4f} [{low:.4f}, {high:.4f}]")
    for shared, values in second.items():
        variance = statistics.variance([b - a for a, b in zip(first, values, strict=True)])
        low, high = deviation_interval(variance, len(values) - 1, level)
        shown = f"{math.sqrt(variance):.4f} [{low:.4f}, {high:.4f}]"
        found, least, most = narrowing(first, values, level)
        print(f"  {shared:24} {shown:32} {f'{found:.2f} [{least:.2f}, {most:.2f}]':28} {1 / found**2:.1f} x the seeds")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="at least 3 (default: 10)")
    parser.add_argument("--models", nargs=2, default=["none", "gated"], metavar="MODEL", help="default: none gated")
    parser.add_argument("--level", type=float, default=0.95, help="of the intervals (default: 0.95)")
    parser.add_argument("--folder", type=Path, default=Path("outputs/pairing"), help="default: outputs/pairing")
    parser.add_argument("words", nargs="*", metavar="SETTING=VALUE", help="as attn-train takes them")
    given = parser.parse_intermixed_args()
    if given.seeds < 3:
        parser.error(f"--seeds {given.seeds} is too few to estimate a deviation; give at least 3")
    if not 0 < given.level < 1:
        parser.error(f"--level {given.level} must be above 0 and below 1")
    return given


def main() -> None:
    given = arguments()
    logging.disable(logging.INFO)
    compose.register()
    first_model, second_model = given.models
    first: list[dict[str, Any]] = []
    second: dict[str, list[dict[str, Any]]] = {shared: [] for shared in SHARED}
    for seed in range(given.seeds):
        first.append(train(given.folder, given.words, first_model, seed))
        for shared, own in SHARED.items():
            second[shared].append(train(given.folder, given.words, second_model, seed, own))
        print(f"seed {seed + 1}/{given.seeds}", flush=True)
    print(f"first arm: {first_model}; second arm: {second_model}; {' '.join(given.words)}")
    for name, (unit, measure) in MEASURES.items():
        values = {shared: [measure(result) for result in results] for shared, results in second.items()}
        report(name, unit, [measure(result) for result in first], values, given.level)


if __name__ == "__main__":
    main()
