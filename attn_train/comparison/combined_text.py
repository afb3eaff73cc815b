"""What several comparisons say together, as text: for a terminal and for report.md."""

import math

from attn_train.comparison import sentences as single, tables
from attn_train.comparison.combined import Combined
from attn_train.comparison.overall import Overall
from attn_train.comparison.report import SHOWN, code, escaped, markdown_table
from attn_train.comparison.sentences import Sentence
from attn_train.comparison.tables import Table, p_value, short
from attn_train.runs.accuracy import WORDS
from attn_train.writing.text import aligned, printable


def all_of(combined: Combined) -> str:
    return f"all {len(combined.groups)}"


def pair(one: Overall, combined: Combined) -> str:
    """Return the name of an arm, and of what it is compared with where that is not the baseline."""
    arm, reference = one.comparison.arm.label, one.comparison.reference.label
    return f"{arm} against {reference}" if one in combined.against_controls else arm


def spread(one: Overall) -> str:
    return short(one.comparison.measure.shown(one.spread)) if math.isfinite(one.spread) else "-"


def alike(one: Overall) -> str:
    return p_value(one.p_alike) if math.isfinite(one.p_alike) else "-"


def verdicts(combined: Combined) -> Table:
    """Return the table of each arm over all groups, and below it in each one."""
    unit = " in %" if combined.measure.logarithmic else ""
    rows = [["arm", "in", "runs", f"difference{unit} [interval]", "p (adjusted)", "spread", "alike", "verdict"]]
    for one in combined.overall:
        name = pair(one, combined)
        for where, comparison in [(all_of(combined), one.comparison), *one.parts.items()]:
            between = [spread(one), alike(one)] if comparison is one.comparison else ["", ""]
            cells = [str(comparison.difference.n), tables.difference(comparison), p_value(comparison.p_value)]
            rows.append([name, where, *cells, *between, comparison.words])
    return rows


def differing(combined: Combined) -> Table:
    """Return the table of the settings in which the groups differ."""
    return [["setting", *combined.groups], *([key, *values] for key, values in combined.differing.items())]


def sentences(combined: Combined) -> list[Sentence]:
    """Return a sentence for each arm against the baseline."""
    return [sentence(one, len(combined.groups)) for one in combined.against_baseline]


def sentence(one: Overall, groups: int) -> Sentence:
    said = single.sentence(one.comparison, "")
    verdicts = [part.verdict for part in one.parts.values()]
    counts = ", ".join(f"{verdict} in {verdicts.count(verdict)}" for verdict in dict.fromkeys(verdicts))
    each = f"{one.everywhere} in each of the {groups}" if one.everywhere else f"one by one {counts}"
    differ = f"they are not alike (p {alike(one)}): the true ones vary by {spread(one)}" if one.p_alike < 0.05 else ""
    figures = "; ".join(filter(None, [said.figures, each, differ]))
    return Sentence(said.verdict, f"{said.claim} on average over these {groups}", figures)


def method(combined: Combined) -> list[str]:
    """Say what the figures rest on, and what they are about."""
    count, family = len(combined.groups), len(combined.overall)
    together = f" for all {family} differences at once (Bonferroni)" if family > 1 else ""
    kind, weight = "data sets or recipes", "each with the same weight"
    about = (
        f"It is about these {count} data sets or recipes, not about new ones: for those their spread would count too, "
        "and it takes 6 and more of them to know it."
    )
    if combined.adds_up:
        kind, weight = "studies", "weighted by their seeds"
        about = f"It takes these {count} for studies of one comparison; alike says whether their differences fit that."
    said = {summary.images for summary in combined.groups.values()}
    images = said.pop() if len(said) == 1 else f"the {WORDS[combined.first.split]} images of its data"
    return [
        f"Difference from {combined.first.baseline.label}: the mean of those in {count} {kind} "
        f"({'; '.join(combined.groups)}), {weight}; in brackets its 95 % confidence interval, by "
        f"Student's t (Welch, Satterthwaite){together}, for one look at the runs.",
        about,
        "Spread: how much the true difference varies from one to the next, as a standard deviation (DerSimonian, "
        "Laird). Alike: the p-value of their being all the same (Cochran's Q), rough; of a few a large one proves "
        "nothing.",
        "What holds in each one holds in all, and needs no correction for their number.",
        f"Margin: a difference that surely lies within {tables.margin(combined.first)} counts as none.",
        single.images(combined.first.split, images),
    ]


def lists(combined: Combined) -> list[tuple[str, list[str]]]:
    """Return what a reader must not overlook, each with its title."""
    out = [f"{run.folder}: {run.reason}" for run in combined.left_out]
    used = sum(len(arm.runs) for summary in combined.groups.values() for arm in summary.arms)
    every = [(f"LEFT OUT: {len(out)} of {used + len(out)} runs", out), ("Warnings", combined.warnings)]
    return [(title, lines) for title, lines in every if lines]


def terminal(combined: Combined) -> str:
    """Return what is printed."""
    parts = ["\n".join(printable(str(each)) for each in sentences(combined))]
    parts += [aligned(verdicts(combined), left=(0, 1)), "\n".join(map(printable, method(combined)))]
    for title, lines in lists(combined):
        shown = [f"  {printable(line)}" for line in lines[:SHOWN]]
        rest = [f"  and {len(lines) - SHOWN} more, in report.md"] if len(lines) > SHOWN else []
        parts.append("\n".join([title, *shown, *rest]))
    return "\n\n".join(parts)


def markdown(combined: Combined) -> str:
    """Return report.md."""
    said = [f"- **{escaped(each.claim)}**: {escaped(each.figures)}" for each in sentences(combined)]
    parts = ["# Does it help, on all of them together?", "\n".join(said), *map(escaped, method(combined))]
    parts.append(markdown_table(verdicts(combined)))
    for title, lines in lists(combined):
        parts += [f"## {title}", "\n".join(f"- {escaped(line)}" for line in lines)]
    if combined.differing:
        parts += ["## In what they differ", markdown_table(differing(combined))]
    reports = [f"- {escaped(name)}: {folder}/report.md" for name, folder in combined.folders.items()]
    parts += ["## Each by itself", "\n".join(reports), "## Again", code(combined.command)]
    parts.append(f"attn-compare {combined.version}, {combined.date}")
    return "\n\n".join(parts) + "\n"
