"""The report of attn-compare on a study's runs, which judges them by the study's own rule."""

from pathlib import Path

from attn_train.comparison.command import leave
from attn_train.comparison.summary import summarize
from attn_train.settings import compose
from attn_train.study.rounds import Study


def write_report(study: Study) -> Path:
    """Write report.html and its company to the study's folder `report`; return the page's path.

    Raises ConfigError where attn-compare finds nothing to compare.
    """
    folder = study.plan.folder / "report"
    summary = summarize(compose.compare([]), [str(study.plan.folder)], compose.STAMP.command)
    folder.mkdir(exist_ok=True)
    leave(summary, folder)
    return folder / "report.html"
