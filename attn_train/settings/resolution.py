"""The share of the images' side that each epoch trains at."""


def fit_resolution(shares: list[float], epochs: int) -> list[float]:
    """Return a share of the images' side for each epoch: each of `shares` for an equal part of them, the last one for
    the last epoch in any case."""
    return [float(shares[-1 - (epochs - 1 - epoch) * len(shares) // epochs]) for epoch in range(epochs)]


def lengthen(shares: list[float], epochs: int) -> list[float]:
    """Return the resolution that a run had in each of its epochs, and the last one in what it adds."""
    return [float(share) for share in [*shares, *[shares[-1]] * (epochs - len(shares))]][:epochs]
