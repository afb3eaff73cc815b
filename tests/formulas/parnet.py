"""silu(BN(conv3x3(x)) + BN(conv1x1(x)) + s * sigmoid(W mean(s))), s = BN(x)."""

from formulas.arrays import Array, Options, Weights, batch_norm, conv, conv1x1, sigmoid

VARIANTS: list[Options] = [{}]
CLAIMS = {"linear_memory"}


def formula(weights: Weights, x: Array, options: Options) -> Array:
    wide = batch_norm(weights, "wide.1", conv(weights, "wide.0", x, (1, 1)))
    narrow = batch_norm(weights, "narrow.1", conv1x1(weights, "narrow.0", x))
    skipped = batch_norm(weights, "norm", x)
    excited = sigmoid(skipped.mean(axis=(2, 3)) @ weights["excite.weight"][:, :, 0, 0].T)
    total = wide + narrow + skipped * excited[:, :, None, None]
    return total * sigmoid(total)


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return (9 + 1 + 1) * channels**2 + 3 * 2 * channels
