"""The report of attn-compare on a study's runs, with the study's own intervals and verdicts in it: those of a single
look would claim more than runs that were looked at after every seed can show."""

from dataclasses import replace
from pathlib import Path

from attn_train.comparison.analysis import Comparison
from attn_train.comparison.arms import Arm, Seeds
from attn_train.comparison.command import leave
from attn_train.comparison.summary import Summary, summarize
from attn_train.settings import compose
from attn_train.study.report import words_of
from attn_train.study.rounds import Study


def write_report(study: Study) -> Path:
    """Write report.html and its company to the study's folder `report`; return the page's path.

    Raises ConfigError where attn-compare finds nothing to compare.
    """
    folder = study.plan.folder / "report"
    command = compose.STAMP.command
    config = compose.compare([f"margin={study.config.margin}", f"split={study.ledger.split}"])
    summary = with_looks(summarize(config, [str(study.plan.folder)], command), study)
    folder.mkdir(exist_ok=True)
    leave(summary, folder)
    return folder / "report.html"


def with_looks(summary: Summary, study: Study) -> Summary:
    """Return a summary with the intervals and verdicts of the study's looks, and of their seeds alone."""
    looks = study.looks()
    names = {row.job: (row.arm, row.seed) for row in study.ledger.rows}
    nobody = ("", -1)

    def seeds_of(arm: Arm, label: str, seeds: list[int]) -> list[Seeds]:
        seen = {(label, seed) for seed in seeds}
        return [own for own, run in arm.runs.items() if names.get(run.folder.name, nobody) in seen]

    def looked(comparison: Comparison) -> Comparison:
        name, _ = names.get(comparison.arm.first.folder.name, nobody)
        look = looks.get(name)
        if look is None or look.difference is None:
            return comparison
        ours, theirs = study.looked_at(name, look)
        return replace(
            comparison,
            seeds=seeds_of(comparison.arm, name, ours),
            reference_seeds=seeds_of(comparison.reference, study.baseline.label, theirs),
            difference=look.difference,
            statistical=look.verdict,
            told=words_of(look, study),
        )

    told = (
        "The runs were looked at after every seed by attn-study: the intervals and verdicts against "
        f"{study.baseline.label} are the study's, valid under that for all arms together; p-values and chances are "
        "those of a single look."
    )
    is_baseline = names.get(summary.baseline.first.folder.name, nobody)[0] == study.baseline.label
    comparisons = [looked(comparison) for comparison in summary.comparisons] if is_baseline else summary.comparisons
    return replace(summary, comparisons=comparisons, warnings=[told, *summary.warnings])
