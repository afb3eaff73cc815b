"""What a mechanism is: its symmetries, where it starts, and what it costs. None of these is better than another."""

import math
from collections.abc import Callable

from attn_train.conformance import symmetries
from attn_train.conformance.finding import Finding
from attn_train.conformance.largest import largest
from attn_train.conformance.requirements import NEAR
from attn_train.conformance.subject import Subject
from attn_train.cost.counting import count_macs, count_parameters

# Sides of the maps over which memory is followed; and the share of an exponent that is rounding.
SIDES = (32, 64)
ODD = (9, 8)


def within(point: str, far: float, limit: float) -> Finding:
    """Say whether two outputs that are so far apart are the same but for rounding."""
    return Finding(point, "yes", value=far) if far <= limit else Finding(point, "no", f"{100 * far:.0f} % apart", far)


def symmetry(point: str, measure: Callable[..., float]) -> Callable[[Subject], Finding]:
    def look(subject: Subject) -> Finding:
        size = ODD
        try:
            module = subject.shaken(size=size)
            module(subject.images(size=size))
        except Exception:
            size = subject.size  # it takes no other
            module = subject.shaken()
        far = measure(module, subject.images(size=size))
        return within(point, far, NEAR)

    return look


def starts_as_identity(subject: Subject) -> Finding:
    """Before training it changes nothing."""
    far = symmetries.identity(subject.make().eval(), subject.images())
    return within("identity at the start", far, 0)


def parameters(subject: Subject) -> Finding:
    count = count_parameters(subject.make())
    return Finding("parameters", "measured", f"{count:,}", count)


def multiply_adds(subject: Subject) -> Finding:
    count = count_macs(subject.make(), (subject.channels, *subject.size))
    return Finding("multiply-adds of an image", "measured", f"{count:,}", count)


def memory_exponent(subject: Subject) -> Finding:
    """By which power of the number of pixels the largest tensor of a training step grows."""
    found = []
    for side in SIDES:
        size = (side, side)
        x = subject.images(1, size=size)
        found.append(largest(subject.shaken(size=size), x))
    exponent = math.log(found[1] / found[0]) / math.log((SIDES[1] / SIDES[0]) ** 2)
    return Finding("memory grows with pixels to the power", "measured", f"{exponent:.2f}", exponent)


PROPERTIES: tuple[Callable[[Subject], Finding], ...] = (
    *(symmetry(point, measure) for point, measure in symmetries.SYMMETRIES.items()),
    starts_as_identity,
    parameters,
    multiply_adds,
    memory_exponent,
)
