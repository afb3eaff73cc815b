"""A study as it goes: what is known, which runs come next, how long they take."""

import re
import signal
from collections.abc import Callable

from attn_train.comparison.measures import Measure
from attn_train.comparison.scores import Scores
from attn_train.comparison.studied import Studied
from attn_train.runs.ledger import Ledger, Row
from attn_train.statistics.sequential import Look, forecast
from attn_train.study import process
from attn_train.study.arms import Arm
from attn_train.study.plan import Plan


class Study:
    """The runs of a plan so far, and what follows from them."""

    def __init__(self, plan: Plan, stopped: Callable[[], bool]) -> None:
        self.plan, self.stopped = plan, stopped
        self.config, self.seeds = plan.config, plan.seeds
        self.baseline, *self.others = plan.arms
        self.rule = plan.judged_by
        self.ledger = Ledger(plan.folder)
        for number in range(len(self.seeds)):
            for arm in plan.arms:
                for seed in self.seeds_of(arm, number):
                    self.ledger.find(arm.label, seed, plan.job(arm, seed))
        # Of this command: the next one tries again.
        self.failures: list[Row] = []
        self.dropped: dict[str, str] = {}  # by arm, why
        self._last_reason: dict[str, str] = {}
        self.scores = Scores(self.ledger, plan.measure.name)
        self._studied = Studied(self.labels, self.rule, plan.margin, plan.all_seeds, self.scores)

    @property
    def labels(self) -> list[str]:
        return [arm.label for arm in self.plan.arms]

    @property
    def measure(self) -> Measure:
        return self.scores.measure

    def looks(self) -> dict[str, Look]:
        """Return the look at which each arm but the baseline ended, else its last one."""
        return self._studied.looks()

    def looked_at(self, arm: str, look: Look) -> tuple[list[int], list[int]]:
        """Return the seeds of an arm and of the baseline that a look at the arm is of."""
        return self._studied.looked_at(arm, look)

    def words_of(self, look: Look) -> str:
        """Write the verdict of a look out."""
        return self._studied.words_of(look)

    def open_arms(self) -> list[Arm]:
        """Return the arms that still wait for their verdict; none where the baseline was dropped."""
        if self.baseline.label in self.dropped:
            return []
        looks = self.looks()
        return [arm for arm in self.others if arm.label not in self.dropped and not looks[arm.label].ended]

    def seeds_of(self, arm: Arm, number: int) -> list[int]:
        """Return the seeds of an arm in a round, counted from 0: the baseline has two in the first rounds."""
        second = self.plan.second_seed(number) if arm is self.baseline else None
        return [self.seeds[number]] if second is None else [self.seeds[number], second]

    def round(self, number: int) -> list[tuple[Arm, int]]:
        """Return the runs of a round, each an arm and a seed, in an order that rotates: a machine that changes meets
        all arms alike."""
        waiting = self.open_arms()
        arms = [self.baseline, *waiting] if waiting else []
        turn = number % max(1, len(arms))
        runs = [(arm, seed) for arm in arms[turn:] + arms[:turn] for seed in self.seeds_of(arm, number)]
        return [(arm, seed) for arm, seed in runs if (arm.label, seed) not in self.ledger.results]

    def run(self, arm: Arm, seed: int) -> Row:
        """Train one run, record how it ended, and drop an arm that failed twice in a row for the same reason."""
        job = self.plan.job(arm, seed)
        ended = process.run(self.plan.words(arm, seed), self.plan.folder / job, self.stopped)
        row = Row(arm.label, seed, job, round(ended.seconds, 3), ended.exit_code, ended.reason)
        if self.stopped() and row.exit_code:
            row = Row(arm.label, seed, job, row.seconds, 128 + signal.SIGTERM, "stopped with the study")
        self.ledger.add(row)
        if row.exit_code and not self.stopped():
            self.failures.append(row)
            same = self._last_reason.get(arm.label) == without_numbers(row.reason)
            if same:
                self.dropped[arm.label] = row.reason
            self._last_reason[arm.label] = without_numbers(row.reason)
        else:
            self._last_reason.pop(arm.label, None)
        return row

    def over_budget(self, arms: list[Arm]) -> str | None:
        """Say which budget does not hold so many runs more, or None."""
        minutes, runs = self.config.budget.minutes, self.config.budget.runs
        spent, ahead = self.ledger.minutes_spent, self.seconds(arms) / 60
        if runs is not None and self.ledger.runs_spent + len(arms) > runs:
            return f"budget.runs={runs} holds no further round: {self.ledger.runs_spent} are done"
        if minutes is not None and (spent >= minutes or spent + ahead > minutes):
            return f"budget.minutes={minutes:g} holds no further round: {spent:.1f} are gone, one takes {ahead:.1f}"
        return None

    @property
    def fewest_runs(self) -> int:
        return min(len(self.ledger.finished(arm.label)) for arm in self.others)

    def seconds(self, arms: list[Arm]) -> float:
        """Return what one run of each of `arms` takes; 0 before any has finished."""
        return sum(self.ledger.seconds(arm.label) or 0.0 for arm in arms)

    def time_left(self, rounds_done: int) -> tuple[float, float] | None:
        """Return the seconds that the rest is expected to take, if the arms go on as they have, and at most takes; None
        before any run has finished."""
        waiting = self.open_arms()
        if self.ledger.seconds(self.baseline.label) is None:
            return None
        looks, rest = self.looks(), self.config.max_seeds - rounds_done
        ahead = {arm.label: min(float(rest), self.rounds_ahead(looks[arm.label])) for arm in waiting}
        expected = sum(ahead[arm.label] * self.seconds([arm]) for arm in waiting)
        longest = rounds_done + round(max(ahead.values(), default=0.0))
        expected += self.seconds([self.baseline]) * (self.rule.due(longest) - self.rule.due(rounds_done))
        runs = self.rule.due(self.config.max_seeds) - self.rule.due(rounds_done)
        most = rest * self.seconds(waiting) + runs * self.seconds([self.baseline]) if waiting else 0.0
        if self.config.budget.minutes is not None:
            room = max(0.0, 60 * (self.config.budget.minutes - self.ledger.minutes_spent))
            expected, most = min(expected, room), min(most, room)
        return expected, most

    def rounds_ahead(self, now: Look) -> float:
        """Return how many seeds more an arm is expected to need: the sum of the chances to need each."""
        if now.difference is None:
            return float(self.config.max_seeds)
        chances = forecast(now.difference, self.rule)
        return sum(1 - chance for chance in [0.0, *chances[:-1]]) if chances else 0.0


def without_numbers(reason: str) -> str:
    """Return a reason without its numbers: the loss that is not finite at another step is the same failure."""
    return re.sub(r"\d+", "0", reason)
