"""The report as text: what a terminal shows, and report.md."""

from attn_train.comparison import calibrated, corrupted
from attn_train.comparison.notes import cost_notes, image_notes, notes, place_notes
from attn_train.comparison.sentences import method, ranked, sentences
from attn_train.comparison.summary import Summary
from attn_train.comparison.tables import (
    Table,
    control_verdicts,
    costs,
    lists,
    new_images,
    places,
    resampled,
    run_rows,
    verdicts,
)
from attn_train.writing.text import aligned, printable

# Of a long list on a terminal, and of the runs in a report; compare.csv and compare.json have all.
SHOWN = 20
SHOWN_RUNS = 2000
NEW_IMAGES = "For other images like these"
# The columns of the verdicts, for who reads them on a terminal; `notes` says more.
COLUMNS = (
    "p: adjusted for the number of arms. Detects: the smallest true difference that so many runs find with 80 % power. "
    "Beats it: the chance that a run of the arm does better than one of the baseline, with its own 95 % interval."
)


def terminal(summary: Summary) -> str:
    """Return what is printed."""
    said, left = sentences(summary)
    first = [printable(str(sentence)) for sentence in said] + ([left] if left else [])
    explained = "\n".join(map(printable, [*method(summary), COLUMNS]))
    parts = ["\n".join(first), aligned(verdicts(summary), left=(0,)), explained]
    if summary.against_controls:
        parts.append(
            "Against a plain network of the same cost\n" + aligned(control_verdicts(summary), left=(0, 1)),
        )
    if len(table := places(summary)) > 1:
        parts.append("\n".join([*map(printable, ranked(summary)), aligned(table, left=(0,)), *place_notes(summary)]))
    if len(table := new_images(summary)) > 1:
        parts.append("\n".join([NEW_IMAGES, aligned(table, left=(0, 1)), *image_notes(summary)]))
    if len(table := calibrated.table(summary)) > 1:
        parts.append("\n".join([calibrated.TITLE, aligned(table, left=(0,)), *calibrated.notes(summary)]))
    if len(table := corrupted.table(summary)) > 1:
        by_corruption = aligned(corrupted.effects(summary), left=(0, 1))
        tables = [aligned(table, left=(0,)), "", by_corruption]
        parts.append("\n".join([corrupted.TITLE, *tables, *corrupted.notes(summary)]))
    if summary.has_costs:
        parts.append(aligned(costs(summary), left=(0,)))
    if len(table := resampled(summary)) > 1:
        parts.append(aligned(table, left=(0, 1, 2)))
    for title, lines in lists(summary):
        if lines:
            shown = [f"  {printable(line)}" for line in lines[:SHOWN]]
            rest = [f"  and {len(lines) - SHOWN} more, in report.md"] if len(lines) > SHOWN else []
            parts.append("\n".join([title, *shown, *rest]))
    return "\n\n".join(parts)


def escaped(text: str) -> str:
    """Return a text that is no markup in a Markdown table."""
    text = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{letter}" if letter in "\\`*_[]|#~$" else letter for letter in text)


def code(text: str) -> str:
    """Return a block of code that its text cannot leave."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{chr(10).join(printable(line) for line in text.splitlines())}\n{fence}"


def markdown_table(rows: Table) -> str:
    lines = [f"| {' | '.join(map(escaped, row))} |" for row in rows]
    return "\n".join([lines[0], f"|{'---|' * len(rows[0])}", *lines[1:]])


def latex_table(rows: Table) -> str:
    """Return a table for a paper, with the rules of the package booktabs."""
    head, *body = ([latex(cell) for cell in row] for row in rows)
    lines = [f"{' & '.join(row)} \\\\" for row in body]
    return "\n".join(
        [
            f"\\begin{{tabular}}{{l{'r' * (len(head) - 2)}l}}",
            "\\toprule",
            f"{' & '.join(head)} \\\\",
            "\\midrule",
            *lines,
            "\\bottomrule",
            "\\end{tabular}",
        ]
    )


def latex(text: str) -> str:
    """Return a text that LaTeX prints as it is."""
    special = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "±": "$\\pm$"}
    special |= {letter: f"\\{letter}" for letter in "&%$#_{}"}
    return "".join(special.get(letter, letter) for letter in printable(text))


def markdown(summary: Summary) -> str:
    """Return report.md."""
    said, left = sentences(summary)
    first = [f"- **{escaped(sentence.claim)}**: {escaped(sentence.figures)}" for sentence in said]
    first += [f"- {left}"] if left else []
    parts = ["# Does it help, by how much, at what cost?", "\n".join(first), *map(escaped, method(summary))]
    parts.append(markdown_table(verdicts(summary)))
    if summary.against_controls:
        parts += ["## Against a plain network of the same cost", markdown_table(control_verdicts(summary))]
    if len(table := places(summary)) > 1:
        parts += ["## Which may be the best", *map(escaped, ranked(summary)), markdown_table(table)]
        parts += map(escaped, place_notes(summary))
    if len(table := new_images(summary)) > 1:
        parts += [f"## {NEW_IMAGES}", markdown_table(table), *map(escaped, image_notes(summary))]
    if len(table := calibrated.table(summary)) > 1:
        parts += [f"## {calibrated.TITLE}", markdown_table(table), *map(escaped, calibrated.notes(summary))]
    if len(table := corrupted.table(summary)) > 1:
        parts += [f"## {corrupted.TITLE}", markdown_table(table), markdown_table(corrupted.effects(summary))]
        parts += map(escaped, corrupted.notes(summary))
    if summary.has_costs:
        parts += ["## Cost", markdown_table(costs(summary))]
    if len(table := resampled(summary)) > 1:
        parts += ["## Resampled", markdown_table(table)]
    for title, lines in lists(summary):
        if lines:
            parts += [f"## {title}", "\n".join(f"- {escaped(line)}" for line in lines)]
    explained = notes(summary) + (cost_notes(summary) if summary.has_costs else [])
    parts += ["## How to read it", "\n".join(f"- {line}" for line in explained)]
    parts += ["## Runs", markdown_table(run_rows(summary, SHOWN_RUNS))]
    if summary.recipe:
        settings = "\n".join(f"{key}: {value}" for key, value in summary.recipe.items())
        parts += ["## What all runs share", code(settings)]
    commands = "\n".join(command for command in summary.commands.values() if command)
    parts += ["## Again", code(f"{commands}\n{summary.command}".strip())]
    parts.append(f"attn-compare {summary.version}, {summary.date}")
    return "\n\n".join(parts) + "\n"
