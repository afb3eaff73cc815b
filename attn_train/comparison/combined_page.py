"""report.html of several comparisons together: a forest for each arm, in the style of a single comparison's page."""

from dataclasses import replace

from markupsafe import Markup

from attn_train.comparison import chart, combined_text, tables
from attn_train.comparison.combined import Combined
from attn_train.comparison.overall import Overall
from attn_train.comparison.page import MOST_EFFECTS, effect, template


def html(combined: Combined) -> str:
    """Return the page."""
    return template("combined.html").render(
        combined=combined,
        about=", ".join([f"{len(combined.groups)} comparisons", *combined.groups]),
        sentences=combined_text.sentences(combined),
        lists=combined_text.lists(combined),
        margin=tables.margin(combined.first),
        forests=[forest(one, combined) for one in combined.overall[:MOST_EFFECTS]],
        method=combined_text.method(combined),
        verdicts=combined_text.verdicts(combined),
        differing=combined_text.differing(combined),
        folders=[["compared by itself", "folder"], *map(list, combined.folders.items())],
    )


def forest(one: Overall, combined: Combined) -> tuple[str, Markup]:
    """Draw an arm's difference in each group, and last over all; return the title, too."""
    comparison = one.comparison
    effects = [replace(effect(part), label=name) for name, part in one.parts.items()]
    mean, low, high = tables.ends(comparison)
    words = f"{tables.difference(comparison)}, {comparison.words.split(':')[0].split(' (')[0]}"
    label = f"{combined_text.all_of(combined)} together"
    effects.append(chart.Effect(label, mean, low, high, comparison.verdict, words))
    title = f"{comparison.arm.label}: difference from {comparison.reference.label}"
    return title, chart.forest(effects, combined.margin, title, combined.measure.differences)
