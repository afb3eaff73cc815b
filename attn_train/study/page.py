"""The report of attn-compare on a study's runs, which judges them by the study's own rule."""

from pathlib import Path

from attn_train.comparison.command import leave
from attn_train.comparison.summary import Summary, summarize
from attn_train.settings import compose
from attn_train.study.rounds import Study


def compare(study: Study) -> Summary:
    """Compare a study's runs as attn-compare does; raise ConfigError where it finds nothing to compare."""
    # By what the study named: attn-compare finds that in study.json.
    return summarize(compose.compare([]), [str(study.plan.folder)], compose.STAMP.command)


def doubted(summary: Summary) -> dict[str, str]:
    """Return the words on each arm whose verdict cannot be given, by the name that the study gives the arm."""
    if summary.study is None:
        return {}
    words = {
        summary.study.label_of(comparison.arm): comparison.words
        for comparison in summary.comparisons
        if comparison.doubt is not None
    }
    return {label: said for label, said in words.items() if label is not None}


def write(summary: Summary, study: Study) -> Path:
    """Write report.html and its company to the study's folder `report`; return the page's path."""
    folder = study.plan.folder / "report"
    folder.mkdir(exist_ok=True)
    leave(summary, folder)
    return folder / "report.html"
