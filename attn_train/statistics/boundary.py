"""Boundaries for a t statistic that is looked at again and again, by exact recursive numerics.

For normal x with mean 0 and any deviation, b_n = (x_1 + ... + x_n) / sqrt(n (x_1^2 + ... + x_n^2)) says the same as
the t statistic of the first n, t_n = b_n sqrt(n - 1) / sqrt(1 - b_n^2), and is a Markov chain: with the angle p whose
tangent is x_{n+1} / sqrt(x_1^2 + ... + x_n^2),

    b_{n+1} = (sqrt(n) b_n cos p + sin p) / sqrt(n + 1),    density of p: cos(p)^(n - 1) / Beta(1/2, n/2),

and p is independent of all that b_1, ..., b_n said. So one integral over one variable leads from a look to the next.
Source: Jennison and Turnbull, Exact calculations for sequential t, chi-squared and F tests, Biometrika 78 (1991).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.polynomial.legendre import leggauss, legval, legvander
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.floating]
Density = Callable[[Array], Array]

# Nodes of the integrals, and one more than the degree of the polynomial that stands for a density: with half as many
# the boundaries agree to six digits.
NODES, WEIGHTS = leggauss(48)
TO_POLYNOMIAL = (legvander(NODES, len(NODES) - 1) * WEIGHTS[:, None]).T * (np.arange(len(NODES)) + 0.5)[:, None]


def boundaries(spent: Sequence[float], first: int) -> list[float]:
    """Return c_n for the looks n = `first`, `first` + 1, ...: under the null |t_n| > c_n happens at one of the looks up
    to the k-th with probability `spent[k]`, exactly.

    `spent` rises strictly and stays below 1; `first` is at least 3.
    """
    critical = [float(special.stdtrit(first - 1, 1 - spent[0] / 2))]
    edge = critical[0] / np.sqrt(first - 1 + critical[0] ** 2)
    scale = special.beta(0.5, (first - 1) / 2)
    density = on_interval(lambda b: (1 - b**2) ** ((first - 3) / 2) / scale, edge)
    for n, level in enumerate(spent[1:], start=first):
        ahead = next_look(density, edge, n)
        edge = edge_that_keeps(1 - level, ahead, critical[-1], n + 1)
        density = on_interval(ahead, edge)
        critical.append(float(edge * np.sqrt(n) / np.sqrt(1 - edge**2)))
    return critical


def on_interval(density: Density, edge: float) -> Density:
    """Return the even function `density` as a polynomial on [-edge, edge], which is quick to compute."""
    coefficients = TO_POLYNOMIAL @ density(np.abs(edge * NODES))
    return lambda b: legval(b / edge, coefficients)


def next_look(density: Density, edge: float, n: int) -> Density:
    """Return the density of b_{n+1} (at values of at least 0) where |b_n| <= `edge` has the density `density`."""
    reach, tilt = np.sqrt(n * edge**2 + 1), np.arctan(np.sqrt(n) * edge)
    scale = np.sqrt((n + 1) / n) / special.beta(0.5, n / 2)

    def ahead(b: Array) -> Array:
        c = np.sqrt(n + 1) * b
        turn = np.arcsin(np.clip(c / reach, -1, 1))
        # The angles that lead to b from within the edges: from where b_n = edge to where it is edge again or -edge.
        low, high = turn - tilt, np.minimum(turn + tilt, np.pi - turn - tilt)
        half = (high - low)[:, None] / 2
        angle = (high + low)[:, None] / 2 + half * NODES  # (values, nodes)
        before = (c[:, None] - np.sin(angle)) / (np.sqrt(n) * np.cos(angle))
        inner = density(np.clip(before, -edge, edge)) * np.cos(angle) ** (n - 2)
        return (half * inner * WEIGHTS).sum(axis=1) * scale

    return ahead


def edge_that_keeps(kept: float, density: Density, t_before: float, n: int) -> float:
    """Return the edge of b_n within which `density` has the probability `kept`, by Newton's method from the edge that
    the t statistic `t_before` makes."""
    edge = t_before / np.sqrt(n - 1 + t_before**2)
    for _ in range(100):
        inside = edge * (density(edge * (NODES + 1) / 2) * WEIGHTS).sum()
        step = (inside - kept) / (2 * density(np.array([edge]))[0])
        edge = min(max(edge - step, edge / 2), (edge + 1) / 2)
        if abs(step) < 1e-13:
            break
    return float(edge)
