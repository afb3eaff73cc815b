"""attn-compare: from the words of its command line to the report."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from attn_train.comparison import (
    combined_page,
    combined_records,
    combined_text,
    curves,
    expectation,
    page,
    records,
    report,
    tables,
)
from attn_train.comparison.against import summarize_against
from attn_train.comparison.combined import Combined, combine
from attn_train.comparison.summary import Summary, summarize
from attn_train.comparison.tables import Table
from attn_train.settings import compare as settings, compose
from attn_train.settings.compare import CompareSettings
from attn_train.writing.best_effort import best_effort
from attn_train.writing.durable import write_utf8
from attn_train.writing.quoting import pasted


def output_folder(config: CompareSettings) -> Path:
    if config.output is not None:
        return Path(config.output)
    return Path(compose.STAMP.folder("compare"))


def write(path: Path, text: str) -> None:
    """Write a file of the report; bytes that are no UTF-8, of a path in it, become question marks."""
    write_utf8(path, text, errors="replace")


def leave(summary: Summary, folder: Path) -> None:
    """Write every form of the report to `folder`: the figures, then what only shows them, where a failure costs a
    warning."""
    write(folder / "compare.json", records.to_json(summary))
    write(folder / "compare.csv", records.to_csv(summary))
    with best_effort() as attempt:
        with attempt("report.md") as name:
            write(folder / name, report.markdown(summary))
        with attempt("report.html") as name:
            write(folder / name, page.html(summary))
        with attempt("tensorboard") as name:
            curves.write_tensorboard(folder / name, summary.curves)


def leave_combined(combined: Combined, folder: Path) -> None:
    """Write every form of the report to `folder`, and the report of each group to a folder in it."""
    write(folder / "compare.json", combined_records.to_json(combined))
    write(folder / "compare.csv", combined_records.to_csv(combined))
    with best_effort() as attempt:
        with attempt("report.md") as name:
            write(folder / name, combined_text.markdown(combined))
        with attempt("report.html") as name:
            write(folder / name, combined_page.html(combined))
    for group, name in combined.folders.items():
        (folder / name).mkdir(exist_ok=True)
        leave(combined.groups[group], folder / name)


def summary_of(config: CompareSettings, paths: Sequence[str], command: str) -> Summary | Combined:
    """Compare the runs at `paths` in the way that the settings ask for."""
    if config.against is not None:
        return summarize_against(config, paths, command)
    return (summarize if config.combine is None else combine)(config, paths, command)


def main(arguments: list[str], claim: Callable[[Path], object]) -> Summary | Combined:
    """Compare the runs that `arguments` name, write the report and return what it says; `claim` makes its folder or
    raises."""
    paths, overrides = settings.split(arguments)
    config = compose.compare(overrides)
    summary = summary_of(config, paths, pasted("attn-compare", *arguments))
    wanted = expectation.wanted(summary.comparisons, config.expect)
    folder = output_folder(config)
    claim(folder)
    print(shown(summary, config.format, folder))
    if isinstance(summary, Combined):
        leave_combined(summary, folder)
    else:
        leave(summary, folder)
    page_path = folder / "report.html"
    first = f"look at it in a browser: {page_path}" if page_path.exists() else f"the figures: {folder / 'compare.json'}"
    # What a script reads has nothing else in it.
    out = sys.stdout if config.format == "text" else sys.stderr
    print(f"\n{first}; learning curves: {pasted('tensorboard', '--logdir', folder)}", file=out)
    expectation.check(wanted)
    return summary


def shown(summary: Summary | Combined, form: str, folder: Path) -> str:
    """Return what is printed, in the form that was asked for; `folder` has the whole report."""
    if isinstance(summary, Combined):
        return shown_combined(summary, form, folder)
    match form:
        case "json":
            return records.to_line(summary, folder)
        case "csv":
            return records.to_csv(summary).rstrip("\n")
        case "text":
            return report.terminal(summary)
        case _:
            return as_table(tables.verdicts(summary), form)


def shown_combined(combined: Combined, form: str, folder: Path) -> str:
    """Return what is printed of several comparisons."""
    match form:
        case "json":
            return combined_records.to_line(combined, folder)
        case "csv":
            return combined_records.to_csv(combined).rstrip("\n")
        case "text":
            return combined_text.terminal(combined)
        case _:
            return as_table(combined_text.verdicts(combined), form)


def as_table(rows: Table, form: str) -> str:
    """Return the verdicts as a table in Markdown or, without the reasons, in LaTeX."""
    if form == "markdown":
        return report.markdown_table(rows)
    return report.latex_table([[*cells, words.partition(":")[0]] for *cells, words in rows])
