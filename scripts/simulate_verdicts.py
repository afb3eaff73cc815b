"""Simulate what the verdicts of attn-study and attn-compare keep and cost, by the rule's own code.

  python scripts/simulate_verdicts.py [--studies N] [--seed S] [--only PART ...]

Each figure is a share of N simulated studies, whose standard error is at most half of 1 / sqrt(N). The parts:

errors     how often any arm of a study gets a wrong verdict: where no arm changes anything, and where all gain just the
           margin; with runs that vary otherwise than equally and normally, in one arm or the baseline.
costs      how many runs a study takes and how many arms it decides, as mechanisms come: of five, three change nothing.
looks      what it costs attn-compare's 5 % to follow its advice, "about m more seeds", until it has its verdict; as
           single looks, and with max_seeds=30 said at the first.
rare       how often an arm that loses 10 points in a few of its runs is called equivalent.
forecast   forecasts of one arm at the fifth seed, and how many of them came to a verdict.
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from attn_train.settings.compare import FIRST_LOOK
from attn_train.settings.study import SHARED
from attn_train.statistics import intervals, power, sequential
from attn_train.statistics.intervals import VERDICTS
from attn_train.statistics.sequential import Rule, look, simulate
from attn_train.writing.text import aligned

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int, int]], Array]
UNDECIDED = VERDICTS.index("undecided")
MOST_SEEDS = (12, 20)
STD, MARGIN = 0.15, 0.2


def rule_of(arms: int, most: int, margin: float) -> Rule:
    """Return the rule of a study whose baseline has as many seeds as it has by default."""
    return Rule(arms, most, margin, 3 * most // 4 if arms >= SHARED else 0)


def shape_of(rule: Rule, studies: int) -> tuple[int, int, int]:
    return studies, rule.arms + 1, rule.max_seeds + rule.extra


def normal(generator: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    return generator.standard_normal(shape)


def alike(correlation: float) -> Draw:
    """Return what draws runs that have something in common where their seed is the same."""

    def draw(generator: np.random.Generator, shape: tuple[int, int, int]) -> Array:
        common = generator.standard_normal((shape[0], 1, shape[2]))
        return np.sqrt(correlation) * common + np.sqrt(1 - correlation) * generator.standard_normal(shape)

    return draw


def varying(*stds: float) -> Draw:
    """Return what draws runs of such standard deviations, the baseline's first; of further arms it is 1."""

    def draw(generator: np.random.Generator, shape: tuple[int, int, int]) -> Array:
        factors = np.ones(shape[1])
        factors[: len(stds)] = stds[: shape[1]]
        return generator.standard_normal(shape) * factors[:, None]

    return draw


def spread(generator: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    return generator.standard_normal(shape) * np.geomspace(0.5, 2, shape[1])[:, None]


def one_arm(draw: Callable[[np.random.Generator, tuple[int, ...]], Array]) -> Draw:
    """Return what draws the first arm so, and all others normally."""

    def drawn(generator: np.random.Generator, shape: tuple[int, int, int]) -> Array:
        values = generator.standard_normal(shape)
        values[:, 1] = draw(generator, values[:, 1].shape)
        return values

    return drawn


def crashing(share: float, size: float) -> Draw:
    """Return what draws an arm of mean 0 of whose runs a share loses `size` standard deviations."""
    return one_arm(lambda g, shape: g.standard_normal(shape) + size * (share - (g.random(shape) < share)))


DRAWS: dict[str, Draw] = {
    "equal, normal": normal,
    "correlated by seed, 0.3": alike(0.3),
    "correlated by seed, 0.9": alike(0.9),
    "an arm varies 2.5 times as much": varying(1.0, 2.5),
    "the baseline varies twice as much": varying(2.0),
    "from half to twice as much": spread,
    "an arm is exponential": one_arm(lambda g, shape: g.exponential(size=shape) - 1),
    "an arm is lognormal": one_arm(lambda g, shape: (np.exp(g.standard_normal(shape)) - np.exp(0.5)) / 2.16),
    "an arm has heavy tails (t3)": one_arm(lambda g, shape: g.standard_t(3, shape) / np.sqrt(3)),
    "5 % of an arm's runs lose 3 std": crashing(0.05, 3),
    "20 % of an arm's runs lose 3 std": crashing(0.2, 3),
    "5 % of an arm's runs lose 10 std": crashing(0.05, 10),
    "20 % of an arm's runs lose 10 std": crashing(0.2, 10),
}


def wrong(verdict: NDArray[np.int_], effect: Array, margin: float) -> NDArray[np.bool_]:
    """Return where a verdict is not true of the effect."""
    words = [verdict == place for place in range(len(VERDICTS))]
    beyond = effect >= margin - 1e-9
    return (
        words[0] & (effect <= 0)
        | words[1] & (effect >= 0)
        | words[2] & (np.abs(effect) >= margin - 1e-9)
        | words[3] & beyond
    )


def per_cent(share: float) -> str:
    return f"{100 * share:.1f} %"


def family_errors(draw: Draw, rule: Rule, effect: float, studies: int, seed: int) -> str:
    """Return how many studies have a wrong verdict where every arm has this effect."""
    accuracies = draw(np.random.default_rng(seed), shape_of(rule, studies))
    accuracies[:, 1:] += effect
    return per_cent(float(wrong(simulate(accuracies, rule).verdict, np.array(effect), rule.margin).any(axis=1).mean()))


def errors(studies: int, seed: int) -> None:
    for most in MOST_SEEDS:
        for title, margin, effect in (("no effect, margin 1 std", 1.0, 0.0), ("all gain the margin, 1 std", 1.0, 1.0)):
            rows = [(title, *(f"{arms} arm{'s' if arms > 1 else ''}" for arms in (1, 2, 5, 10)))]
            for name, draw in DRAWS.items():
                rules = [rule_of(arms, most, margin) for arms in (1, 2, 5, 10)]
                rows.append((name, *(family_errors(draw, rule, effect, studies, seed) for rule in rules)))
            print(f"\nstudies with a wrong verdict, at most {most} seeds\n{aligned(rows, left=(0,))}")


def as_they_come(generator: np.random.Generator, rule: Rule, studies: int, std: float) -> tuple[Array, Array]:
    """Return effects (studies, arms), of which 60 % are 0, 25 % +-0.1 and 15 % +-0.3 points, and accuracies."""
    chosen = [0.0, 0.1, -0.1, 0.3, -0.3]
    effect = generator.choice(chosen, p=[0.6, 0.125, 0.125, 0.075, 0.075], size=(studies, rule.arms))
    accuracies = std * generator.standard_normal(shape_of(rule, studies))
    accuracies[:, 1:] += effect[..., None]
    return effect, accuracies


def costs(studies: int, seed: int) -> None:
    rows = [("arms, at most, std", "runs", "of at most", "decided", "studies with a wrong verdict")]
    for arms, most, std in ((1, 20, STD), (5, 12, STD), (5, 20, STD), (10, 20, STD), (25, 20, STD), (25, 20, 0.25)):
        rule = rule_of(arms, most, MARGIN)
        effect, accuracies = as_they_come(np.random.default_rng(seed), rule, max(studies * 5 // arms // 5, 100), std)
        ends = simulate(accuracies, rule)
        runs, decided = f"{ends.runs.mean():.1f}", per_cent(float((ends.verdict != UNDECIDED).mean()))
        share = per_cent(float(wrong(ends.verdict, effect, MARGIN).any(axis=1).mean()))
        rows.append((f"{arms}, {most}, {std}", runs, str(arms * most + rule.due(most)), decided, share))
    print(f"\nruns and verdicts, margin {MARGIN}\n{aligned(rows, left=(0,))}")


def followed(generator: np.random.Generator, arms: int, first: int, most: int, *, planned: bool) -> bool:
    """Return whether advice that is followed, up to so many seeds, makes an arm without effect help or hurt."""
    rule = Rule(arms, most, MARGIN)
    accuracies = STD * generator.standard_normal((arms + 1, most))
    n = first
    while True:
        two_sided, one_sided = (np.full(arms, level) for level in rule.levels(n))
        found = intervals.differences(accuracies[:, :n], levels=(two_sided, one_sided) if planned else None)
        words = [intervals.verdict(difference, MARGIN) for difference in found]
        if any(word in ("helps", "hurts") for word in words):
            return True
        advice = [
            power.needed(difference, MARGIN, arms)
            for difference, word in zip(found, words, strict=True)
            if word == "undecided"
        ]
        more = [needed.n for needed in advice if needed is not None and needed.n <= most]
        if not more:
            return False
        n = min(more)


def followed_share(arms: int, studies: int, seed: int, *, planned: bool) -> str:
    generator = np.random.default_rng(seed)
    return per_cent(
        float(np.mean([followed(generator, arms, FIRST_LOOK, 30, planned=planned) for _ in range(studies)]))
    )


def looks(studies: int, seed: int) -> None:
    rows = [("arms, first look at 5 seeds", "single looks", "max_seeds=30")]
    for arms in (1, 3, 5):
        single, planned = (followed_share(arms, studies, seed, planned=planned) for planned in (False, True))
        rows.append((str(arms), single, planned))
    print(f"\nattn-compare's advice followed: an arm without effect helps or hurts\n{aligned(rows, left=(0,))}")


def rare(studies: int, seed: int) -> None:
    rows = [("share of runs that lose 10 points", *(f"at most {most} seeds" for most in MOST_SEEDS))]
    for share in (0.02, 0.05, 0.1):
        cells = []
        for most in MOST_SEEDS:
            rule, generator = rule_of(1, most, MARGIN), np.random.default_rng(seed)
            accuracies = 0.1 * generator.standard_normal(shape_of(rule, studies))
            accuracies[:, 1] -= 10 * (generator.random(accuracies[:, 1].shape) < share)
            cells.append(per_cent(float((simulate(accuracies, rule).verdict == VERDICTS.index("equivalent")).mean())))
        rows.append((per_cent(share), *cells))
    print(f"\nan arm called equivalent that sometimes fails\n{aligned(rows, left=(0,))}")


def foretold(accuracies: Array, rule: Rule) -> Array:
    """Return what is forecast of the first arm at its first look, of a verdict in the end (studies,); NaN where the
    verdict is in."""
    seen = np.full_like(accuracies, np.nan)
    seen[..., :FIRST_LOOK] = accuracies[..., :FIRST_LOOK]
    second = slice(rule.max_seeds, rule.max_seeds + min(rule.extra, FIRST_LOOK))
    seen[:, 0, second] = accuracies[:, 0, second]
    chances = np.full(len(seen), np.nan)
    for study, table in enumerate(seen):
        at = look(table, 1, FIRST_LOOK, rule)
        if at.difference is not None and at.verdict == "undecided":
            chances[study] = sequential.forecast(at.difference, rule)[-1]
    return chances


def calibration(accuracies: Array, rule: Rule) -> list[tuple[str, str, str]]:
    chances, verdict = foretold(accuracies, rule), simulate(accuracies, rule).verdict[:, 0]
    rows = []
    for low, high in ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.95), (0.95, 1.01)):
        chosen = (chances >= low) & (chances < high)
        if chosen.sum() >= 30:
            decided = float((verdict[chosen] != UNDECIDED).mean())
            rows.append((per_cent(float(chances[chosen].mean())), per_cent(decided), str(int(chosen.sum()))))
    return rows


def forecast(studies: int, seed: int) -> None:
    for arms, most, std in ((1, 12, STD), (5, 20, STD), (5, 20, 0.3)):
        rule, head = rule_of(arms, most, MARGIN), ("forecast", "decided", "arms")
        _, accuracies = as_they_come(np.random.default_rng(seed), rule, studies, std)
        print(f"\nforecasts, {arms} arms, at most {most} seeds, std {std}, effects as they come")
        print(aligned([head, *calibration(accuracies, rule)], left=()))
        generator = np.random.default_rng(seed)
        accuracies = std * generator.standard_normal(shape_of(rule, studies))
        accuracies[:, 1:] += generator.normal(0, MARGIN, (studies, arms, 1))
        print("the same, effects normal with the margin as their std, as the forecast takes them to be")
        print(aligned([head, *calibration(accuracies, rule)], left=()))


PARTS = {"errors": errors, "costs": costs, "looks": looks, "rare": rare, "forecast": forecast}


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000, metavar="N", help="of each figure (default: 4000)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (default: 0)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help="default: all")
    given = parser.parse_args(words)
    if given.studies < 100:
        parser.error(f"--studies {given.studies} says too little; give at least 100")
    print(f"{given.studies} studies a figure, seed {given.seed}")
    for name in given.only:
        PARTS[name](given.studies, given.seed)


if __name__ == "__main__":
    main()
