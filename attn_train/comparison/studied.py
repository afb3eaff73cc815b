"""A study as its folder tells: the rule that was fixed before its first run, the runs that ended, and the verdicts that
follow. Its runs were looked at after every seed, so no other rule may judge them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from attn_train.comparison import measures
from attn_train.comparison.analysis import Comparison, towards
from attn_train.comparison.arms import Arm, Seeds, choose_baseline
from attn_train.comparison.looks import look_at
from attn_train.comparison.measures import Measure
from attn_train.comparison.scores import Scores
from attn_train.errors import ConfigError
from attn_train.runs.finished import Run
from attn_train.runs.ledger import Ledger
from attn_train.settings.compare import FIRST_LOOK, CompareSettings
from attn_train.settings.study import RULE
from attn_train.statistics.intervals import words
from attn_train.statistics.sequential import FUTILE, Look, Rule, forecast

FILE = "study.json"
LOOKED_AT = "its runs were looked at after every seed, but these intervals are of a single look: the 5 % is not kept"


class Studied:
    """What is known of a study.

    labels: of its arms, the baseline first; seeds: all that a run of it can have; margin: in the measure's unit, while
    the rule has it on the measure's scale.
    """

    def __init__(self, labels: Sequence[str], rule: Rule, margin: float, seeds: range, scores: Scores) -> None:
        self.labels, self.rule, self.margin, self.seeds, self.scores = list(labels), rule, margin, seeds, scores
        self._looks: tuple[int, dict[str, Look]] = (-1, {})  # of so many rows

    @property
    def baseline(self) -> str:
        return self.labels[0]

    @property
    def ledger(self) -> Ledger:
        return self.scores.ledger

    @property
    def measure(self) -> Measure:
        return self.scores.measure

    def looks(self) -> dict[str, Look]:
        """Return the look at which each arm but the baseline ended, else its last one."""
        rows = len(self.ledger.rows)
        if self._looks[0] != rows:
            looks = {arm: look_at(arm, self.labels, self.scores, self.seeds, self.rule) for arm in self.labels[1:]}
            self._looks = (rows, looks)
        return self._looks[1]

    def looked_at(self, arm: str, look: Look) -> tuple[list[int], list[int]]:
        """Return the seeds of an arm and of the baseline that a look at the arm is of."""
        ours, theirs = (self.ledger.in_order(name, self.seeds) for name in (arm, self.baseline))
        if look.difference is None:
            return ours, theirs
        return ours[: look.difference.n], theirs[: self.rule.due(look.difference.n)]

    def label_of(self, arm: Arm) -> str | None:
        """Return what the study calls an arm that attn-compare found in its folder; None for one that is not its."""
        names = {row.job: row.arm for row in self.ledger.rows}
        return next((names[job] for job in map(job_of, arm.runs.values()) if job in names), None)

    def missing(self, runs: Sequence[Run]) -> int:
        """Return how many of the study's finished runs are not among these."""
        finished = {row.job for row in self.ledger.rows if (row.arm, row.seed) in self.ledger.results}
        return len(finished - set(map(job_of, runs)))

    def judged(self, comparison: Comparison) -> Comparison:
        """Return the comparison of an arm with the study's baseline as the study's last look at it is."""
        label = self.label_of(comparison.arm)
        look = self.looks().get(label) if label is not None else None
        if label is None or look is None or look.difference is None:
            return comparison
        ours, theirs = self.looked_at(label, look)
        return replace(
            comparison,
            seeds=self._seeds(comparison.arm, label, ours),
            reference_seeds=self._seeds(comparison.reference, self.baseline, theirs),
            difference=towards(look.difference, self.measure),
            statistical=look.verdict,
            told=self.words_of(look),
        )

    def words_of(self, look: Look) -> str:
        """Write a verdict out: what it says of the margin; of one that is not in, how likely it comes."""
        if look.difference is None or look.verdict == "undecided":
            return f"undecided: {missing(look, self.rule)}"
        unit, places = self.measure.unit, self.measure.places
        return words(self.measure.in_unit(look.difference), look.verdict, self.margin, unit, places)

    def _seeds(self, arm: Arm, label: str, seeds: Sequence[int]) -> list[Seeds]:
        jobs = {row.job for row in self.ledger.rows if row.arm == label and row.seed in seeds}
        return [own for own, run in arm.runs.items() if job_of(run) in jobs]


def job_of(run: Run) -> str:
    """Return the name of a run's folder, which a link to it need not have."""
    return run.folder.resolve().name


def of(runs: Sequence[Run]) -> tuple[Studied | None, list[str]]:
    """Return the study that these are all finished runs of, else a warning where some are of a study.

    Links are followed: a run that is picked by a link is a study's all the same.
    """
    folders = folders_of(runs)
    studies = sorted(folder for folder in folders if (folder / FILE).exists())
    if not studies:
        return None, []
    if len(folders) == 1:
        try:
            study = read(studies[0])
        except (OSError, ValueError, KeyError, TypeError) as error:
            return None, [f"{studies[0] / FILE} cannot be used ({error}); {LOOKED_AT}"]
        if missing := study.missing(runs):
            return None, [f"{studies[0]}: runs of attn-study, of which {missing} more have finished; {LOOKED_AT}"]
        return study, []
    return None, [f"{', '.join(map(str, studies))}: runs of attn-study, here among others; {LOOKED_AT}"]


def folders_of(runs: Sequence[Run]) -> set[Path]:
    """Return the folders that the runs' folders lie in."""
    # Most runs are no links, and have their folder's parent in common.
    parents = {folder: folder.resolve() for folder in {run.folder.parent for run in runs}}
    return {run.folder.resolve().parent if run.folder.is_symlink() else parents[run.folder.parent] for run in runs}


def read_rule(folder: Path) -> dict[str, Any]:
    """Read the rule of the study in a folder; raises OSError, ValueError, KeyError or TypeError where that is
    damaged."""
    rule = {"metric": "accuracy", **json.loads((folder / FILE).read_text(encoding="utf-8"))["rule"]}
    if rule["metric"] not in measures.MEASURES:
        raise ValueError(f"judged by {rule['metric']}, which this version does not know")
    return rule


def read(folder: Path) -> Studied:
    """Read the study in a folder; raises OSError, ValueError, KeyError or TypeError where it is damaged or of another
    rule."""
    rule = read_rule(folder)
    if (number := rule.get("number", 1)) != RULE:
        raise ValueError(f"judged by rule {number}, and this version judges by rule {RULE}")
    labels, most, seeds = list(rule["arms"]), int(rule["max_seeds"]), int(rule["baseline_seeds"])
    first, margin = int(rule["first_seed"]), float(rule["margin"])
    scores = Scores(Ledger(folder), rule["metric"])
    judge = Rule(len(labels) - 1, most, scores.measure.scaled_margin(margin), seeds - most)
    return Studied(labels, judge, margin, range(first, first + seeds), scores)


def choose_measure(runs: Sequence[Run], config: CompareSettings) -> tuple[Measure, list[str]]:
    """Return what runs are compared by, and warnings: by what is asked for, else by what the study that they are of
    named before its first run, else by accuracy. See measures.choose."""
    return measures.choose(runs, config.metric or metric_of(runs), config.split)


def metric_of(runs: Sequence[Run]) -> str:
    """Return the measure of the studies that runs are of, where it is the same for all; else accuracy."""
    try:
        metrics = {read_rule(folder)["metric"] for folder in folders_of(runs)}
    except (OSError, ValueError, KeyError, TypeError):
        return "accuracy"
    return metrics.pop() if len(metrics) == 1 else "accuracy"


def check_settings(study: Studied, margin: float | None, max_seeds: int | None) -> None:
    """Raise ConfigError where settings of attn-compare would change the rule of a study."""
    for name, value, fixed in (
        ("margin", margin, study.margin),
        ("max_seeds", max_seeds, study.rule.max_seeds),
    ):
        if value is not None and value != fixed:
            raise ConfigError(
                f"{name}={value:g}, but the study in {study.ledger.folder} has {name}={fixed:g}, fixed before its "
                f"first run; leave {name} out"
            )


def choose_judge(
    arms: Sequence[Arm], measure: Measure, config: CompareSettings
) -> tuple[Arm, Studied | None, list[str]]:
    """Return the baseline, the study by whose rule the arms are judged, if any, and warnings about looks.

    Raises ConfigError where settings would change the rule of a study, or planned looks do not hold all runs.
    """
    for arm in arms:
        if config.max_seeds is not None and len(arm.runs) > config.max_seeds:
            raise ConfigError(
                f"max_seeds={config.max_seeds}, but {arm.label} has {len(arm.runs)} runs; it is the most that an arm "
                "may come to, fixed before the first look"
            )
    study, warnings = of([run for arm in arms for run in arm.runs.values()])
    if study is None:
        return choose_baseline(arms, config.baseline), None, warnings
    check_settings(study, config.margin, config.max_seeds)
    of_study = next((arm for arm in arms if study.label_of(arm) == study.baseline), None)
    baseline = of_study if of_study and config.baseline is None else choose_baseline(arms, config.baseline)
    if baseline is of_study and measure is study.measure:
        return baseline, study, warnings
    what = f"a study of {study.measure.words} against {study.baseline}, beside which this comparison is secondary"
    return baseline, None, [f"{study.ledger.folder}: {what}; {LOOKED_AT}"]


def missing(look: Look, rule: Rule) -> str:
    """Say why a study's verdict on an arm is not in, and how likely it comes."""
    difference, most = look.difference, rule.max_seeds
    if difference is None or difference.n < FIRST_LOOK:
        return f"no verdict comes before {FIRST_LOOK} seeds"
    if look.futile:
        return f"stopped, for a verdict by {most} seeds was less than {100 * FUTILE:.0f} % likely"
    chances = forecast(difference, rule)
    if not chances:
        return f"all {most} seeds are done"
    half = (difference.n + 1 + most) // 2
    near, far = (f"{100 * chances[seeds - difference.n - 1]:.0f} %" for seeds in (half, most))
    return (
        f"{far} to be decided by seed {most}"
        if half == most
        else f"{near} to be decided by seed {half}, {far} by {most}"
    )
