"""A study before it runs: its arms composed and checked, its rule fixed, its runs named."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from attn_train import build
from attn_train.comparison.measures import ACCURACY, Measure, named
from attn_train.comparison.studied import FILE
from attn_train.cost import matching
from attn_train.errors import ConfigError
from attn_train.settings import compose, words
from attn_train.settings.compare import FIRST_LOOK
from attn_train.settings.identity import identity
from attn_train.settings.roles import flatten
from attn_train.settings.schema import Settings
from attn_train.settings.study import DEMONSTRATION_MARGIN, RULE as RULE_NUMBER, SHARED, StudySettings
from attn_train.statistics.sequential import Rule
from attn_train.study.arms import Arm, check_recipe, make_arms
from attn_train.writing.quoting import path_value


@dataclass(frozen=True)
class Plan:
    """A checked study: nothing has run yet, nothing is written."""

    config: StudySettings
    measure: Measure  # by the name that was given: where it is accuracy, that on validation images may take its place
    margin: float  # in the unit of the measure
    arms: list[Arm]  # the baseline first
    recipe: list[str]
    sweep: str
    composed: dict[str, DictConfig]  # by arm, with the first seed
    named: dict[tuple[str, ...], str] = field(default_factory=dict)  # the runs' folders that were asked for

    @property
    def plugins(self) -> list[str]:
        """The word that has a run know the study's plugins."""
        return plugins_word(self.config)

    @property
    def folder(self) -> Path:
        return Path(str(self.composed[self.arms[0].label].hydra.sweep.dir))

    @property
    def seeds(self) -> range:
        """The seeds of the arms; the baseline has further ones."""
        return range(self.config.first_seed, self.config.first_seed + self.config.max_seeds)

    @property
    def all_seeds(self) -> range:
        return range(self.config.first_seed, self.config.first_seed + baseline_seeds(self.config, len(self.arms) - 1))

    @property
    def judged_by(self) -> Rule:
        most = self.config.max_seeds
        return Rule(len(self.arms) - 1, most, self.measure.scaled_margin(self.margin), len(self.all_seeds) - most)

    def second_seed(self, number: int) -> int | None:
        """Return the second seed of the baseline in a round, counted from 0; None where it has but one."""
        return self.seeds.stop + number if number < self.judged_by.extra else None

    @property
    def rule(self) -> dict[str, Any]:
        """What must not change once runs have been looked at: the budget may."""
        arms = {arm.label: list(arm.words) for arm in self.arms}
        names = ("baseline", "max_seeds", "first_seed")
        chosen = {name: getattr(self.config, name) for name in names}
        fixed = {"number": RULE_NUMBER, "arms": arms, "recipe": self.recipe, "margin": self.margin}
        # Studies from before there was a choice say nothing of accuracy, and keep the names of their folders.
        by = {} if self.measure is ACCURACY else {"metric": self.measure.name}
        return fixed | by | chosen | {"baseline_seeds": len(self.all_seeds)}

    def words(self, arm: Arm, seed: int) -> list[str]:
        """Return the words of attn-train for a run; a sweep of one job, for what a sweep does: skip, resume, record."""
        return [
            "-m",
            *self.plugins,
            *self.recipe,
            *arm.words,
            *self.solved(arm, seed),
            f"seed={seed}",
            f"sweep={self.sweep}",
        ]

    def solved(self, arm: Arm, seed: int) -> list[str]:
        """Return the width that the first run of a control found, for its other runs: measured anew, a time could give
        each seed another."""
        composed = self.composed[arm.label]
        if composed.control == "none" or composed.control_width is not None or seed == self.seeds[0]:
            return []
        path = self.folder / self.job(arm, self.seeds[0]) / "config.yaml"
        try:
            widths = yaml.safe_load(path.read_text(encoding="utf-8"))["control_width"]
        except (OSError, yaml.YAMLError, KeyError, TypeError):
            return []
        return [] if widths is None else [f"control_width={json.dumps(widths, separators=(',', ':'))}"]

    def job(self, arm: Arm, seed: int) -> str:
        """Name the folder of a run, as attn-train will."""
        solved = self.solved(arm, seed)
        run = (arm.label, str(seed), *solved)
        if run not in self.named:  # a copy of a configuration takes as long as a twentieth of a second
            one = self.composed[arm.label].copy()
            OmegaConf.update(one, "seed", seed)
            for word in solved:
                OmegaConf.update(one, "control_width", json.loads(word.partition("=")[2]))
            self.named[run] = compose.job_name(_root_=one)
        return self.named[run]


def make_plan(config: StudySettings) -> Plan:
    """Check a study as far as that goes before anything runs; raise ConfigError for the first thing wrong."""
    measure = named(config.metric)
    margin = margin_of(config, measure)
    arms = make_arms(config.arms, config.baseline)
    recipe = words.readable(check_recipe(config.recipe))
    if not config.max_seeds <= baseline_seeds(config, len(arms) - 1) <= 2 * config.max_seeds:
        raise ConfigError(
            f"baseline_seeds={config.baseline_seeds} is out of range; it must be at least max_seeds={config.max_seeds} "
            "and at most twice that, or null"
        )
    plan = Plan(config, measure, margin, arms, recipe, "", {})
    runs, least = config.budget.runs, FIRST_LOOK * (len(arms) - 1) + plan.judged_by.due(FIRST_LOOK)
    if runs is not None and runs < least:
        raise ConfigError(
            f"budget.runs={runs} does not hold {FIRST_LOOK} rounds of {len(arms)} arms, but no verdict comes before "
            f"{FIRST_LOOK} seeds; give at least {least}"
        )
    sweep = config.sweep or "study_" + hashlib.sha256(json.dumps(plan.rule, sort_keys=True).encode()).hexdigest()[:8]
    options = compose.parse([])
    for arm in arms:
        job = [*plugins_word(config), *recipe, *arm.words, f"seed={config.first_seed}", f"sweep={sweep}"]
        try:
            plan.composed[arm.label] = compose.compose(job, options)
            checked = compose.to_config(plan.composed[arm.label])
            build.check(checked)
            matching.check_control(checked)
            check_measure(measure, checked)
        except ConfigError as error:
            raise ConfigError(f"arm {arm.label}: {error}") from error
    refuse_twins(plan)
    plan = Plan(config, measure, margin, arms, recipe, sweep, plan.composed)
    refuse_another_rule(plan)
    return plan


def plugins_word(config: StudySettings) -> list[str]:
    files = ",".join(path_value(Path(file)) for file in config.plugins)
    return [f"plugins=[{files}]"] if files else []


def check_measure(measure: Measure, arm: Settings) -> None:
    """Raise ConfigError where the runs of an arm will not have the measure."""
    lacking = None
    if measure.split == "val" or measure.name == "ece_scaled":
        if not build.has_validation(arm.dataset):
            lacking = "no images are held out", "dataset.val_size=5000"
    elif measure.of_corruptions is not None and arm.eval.corruptions != "all":
        lacking = "no run is tested on corrupted images", "eval.corruptions=all"
    if lacking is not None:
        raise ConfigError(f"metric={measure.name}, but {lacking[0]}; add {lacking[1]} to the recipe")


def margin_of(config: StudySettings, measure: Measure) -> float:
    """Return the margin; raise ConfigError where a study has none of its own: what gain is worth having depends on what
    is compared. The demonstration's is no other's."""
    if config.margin is not None:
        return config.margin
    if measure is ACCURACY and list(config.recipe) == list(compose.study([]).recipe):
        return DEMONSTRATION_MARGIN
    raise ConfigError(
        f"margin is missing; say which gain is worth having, in {measure.differences}, like "
        f"margin={measure.margin:g}{' for CIFAR-10' if measure is ACCURACY else ''}; verdicts go by it"
    )


def baseline_seeds(config: StudySettings, others: int) -> int:
    """Return how many seeds the baseline may have in all, compared with so many others."""
    if config.baseline_seeds is not None:
        return config.baseline_seeds
    return config.max_seeds + (3 * config.max_seeds // 4 if others >= SHARED else 0)


def refuse_twins(plan: Plan) -> None:
    """Raise ConfigError where two arms are the same configuration, or differ in what an arm may not set."""
    seen: dict[str, str] = {}
    for name, composed in plan.composed.items():
        settings = json.dumps(identity(compose.plain(composed)), sort_keys=True)
        if settings in seen:
            raise ConfigError(f"arms {seen[settings]} and {name} are the same configuration; leave one out")
        seen[settings] = name


def refuse_another_rule(plan: Plan) -> None:
    """Raise ConfigError where the folder holds a study with another rule: changed after a look at the runs, its error
    rates would no longer be kept."""
    path = plan.folder / FILE
    if not path.exists():
        return
    try:
        before = flatten(json.loads(path.read_text(encoding="utf-8"))["rule"])
        number = before.pop("number", 1)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is damaged; remove it, or name another study with sweep=NAME") from error
    if number != RULE_NUMBER:
        raise ConfigError(
            f"{plan.folder} holds a study judged by rule {number}, and this version judges by rule {RULE_NUMBER}; a "
            "rule cannot change once runs were looked at: begin another study with sweep=NAME, or go on with the "
            "version of attn-train that began this one"
        )
    # A rule that names no metric goes by accuracy.
    before, now = ({"metric": ACCURACY.name, **flat} for flat in (before, flatten(plan.rule)))
    now.pop("number")
    for key in {**before, **now}:
        if before.get(key) != now.get(key):
            raise ConfigError(
                f"{plan.folder} holds a study with {key}={before.get(key)}, not {now.get(key)}; that cannot change "
                "once runs were looked at: name another study with sweep=NAME (to go on past the seeds of this one, "
                f"with first_seed={plan.all_seeds.stop})"
            )
