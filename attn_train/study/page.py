"""The report of attn-compare on a study's runs, with the study's own intervals and verdicts in it: those of a single
look would claim more than runs that were looked at after every seed can show."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path

from attn_train import compose
from attn_train.compare.analysis import Comparison
from attn_train.compare.command import leave
from attn_train.compare.summary import Summary, summarize
from attn_train.study.report import words_of
from attn_train.study.rounds import Study


def write_report(study: Study) -> Path:
    """Write report.html and its company to the study's folder `report`; return the page's path.

    Raises ConfigError where attn-compare finds nothing to compare.
    """
    folder = study.plan.folder / "report"
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    config = compose.compare([f"margin={study.config.margin}"])
    names = {row.job: row.arm for row in study.ledger.rows}
    summary = with_looks(summarize(config, [str(study.plan.folder)], command), names, study)
    folder.mkdir(exist_ok=True)
    leave(summary, folder)
    return folder / "report.html"


def with_looks(summary: Summary, names: dict[str, str], study: Study) -> Summary:
    """Return a summary with the intervals and verdicts of the study's looks; `names` says whose a run's folder is."""
    looks = study.looks()

    def looked(one: Comparison) -> Comparison:
        look = looks.get(names.get(one.arm.first.folder.name, ""))
        if look is None or look.difference is None:
            return one
        corrected = replace(one.corrected, verdict=look.verdict)
        return replace(one, difference=look.difference, corrected=corrected, told=words_of(look, study))

    told = (
        "The runs were looked at after every seed by attn-study: the intervals and verdicts against "
        f"{study.baseline.label} are the study's, valid under that for all arms together; p-values and chances are "
        "those of a single look."
    )
    is_baseline = names.get(summary.baseline.first.folder.name) == study.baseline.label
    comparisons = [looked(one) for one in summary.comparisons] if is_baseline else summary.comparisons
    return replace(summary, comparisons=comparisons, warnings=[told, *summary.warnings])
