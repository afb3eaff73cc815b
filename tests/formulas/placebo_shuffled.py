"""The other mechanism's formula, whose factor, or change, goes to the other image of a pair."""

import importlib

from formulas.arrays import Array, Options, Weights

PER_ELEMENT = {"per": "element", "branches": 2}
PER_CHANNEL = {"per": "channel", "branches": 1}
PLAIN = {"heads": 2, "scale": "sqrt", "residual": True}

VARIANTS = [
    {"of": "gated", "options": PER_ELEMENT},
    {"of": "gated", "options": PER_CHANNEL},
    {"of": "self_attention", "options": PLAIN},
]
CLAIMS = {"permutation", "linear_memory", "pairs"}
REFUSED = [
    ({"of": "placebo_shuffled"}, r"of=placebo_shuffled is not a mechanism to shuffle; choose from .*gated"),
    ({"of": "gates"}, r"of=gates is not a mechanism to shuffle"),
]


def own(weights: Weights) -> Weights:
    return {name.removeprefix("mechanism."): value for name, value in weights.items()}


def formula(weights: Weights, x: Array, options: Options) -> Array:
    attended = importlib.import_module(f"formulas.{options['of']}").formula(own(weights), x, options["options"])
    other = [1, 0]
    if options["of"] == "gated":
        return x * (attended / x)[other]
    return x + (attended - x)[other]


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    module = importlib.import_module(f"formulas.{options['of']}")
    return int(module.parameters(channels, size, options["options"]))
