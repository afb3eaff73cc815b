"""Which runs a look at an arm is of: the first ones of each arm, in the order in which they ended.

So a look that was taken stays what it was, whatever runs end later.
"""

from collections.abc import Sequence

import numpy as np

from attn_train.comparison.scores import Scores
from attn_train.statistics.sequential import Array, Look, Rule, look


def look_at(arm: str, labels: Sequence[str], scores: Scores, seeds: Sequence[int], rule: Rule) -> Look:
    """Return the first look at which an arm's study ended, else the last one.

    labels: of all arms, the baseline first; seeds: all that a run of the study can have.
    """
    now, ledger = Look(None, "undecided"), scores.ledger
    baseline, runs = ledger.in_order(labels[0], seeds), ledger.in_order(arm, seeds)
    for n in range(2, rule.max_seeds + 1):
        if len(runs) < n or len(baseline) < rule.due(n):
            break
        table = table_at(arm, n, labels, scores, seeds, rule)
        now = look(table, labels.index(arm), n, rule, scores.step)
        if now.ended:
            break
    return now


def table_at(arm: str, n: int, labels: Sequence[str], scores: Scores, seeds: Sequence[int], rule: Rule) -> Array:
    """Return the gains (arms, seeds) that the look with n seeds of an arm is of; NaN for any other run.

    Of the other arms, whose runs say how much runs vary, it knows what had ended by then.
    """
    ledger = scores.ledger
    taken = {labels[0]: ledger.in_order(labels[0], seeds)[: rule.due(n)], arm: ledger.in_order(arm, seeds)[:n]}
    until = max(ledger.place(name, runs[-1]) for name, runs in taken.items())
    table = np.full((len(labels), len(seeds)), np.nan)
    for row, name in zip(table, labels, strict=True):
        others = [seed for seed in ledger.in_order(name, seeds)[:n] if ledger.place(name, seed) <= until]
        for seed in taken.get(name, others):
            row[seeds.index(seed)] = scores.gain(name, seed)
    return table
