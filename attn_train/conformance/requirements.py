"""What a mechanism must do, and what it may be limited in: each point a function that returns what it found."""

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from attn_train.attention import ATTENTION
from attn_train.conformance import symmetries
from attn_train.conformance.finding import Finding, in_a_line
from attn_train.conformance.subject import Subject

# Float32 keeps 24 bits, and some operations follow each other.
NEAR = 1e-4
# bfloat16 keeps 8.
ROUGH = 0.1


def shape(subject: Subject) -> Finding:
    """The shape and the type of the map are kept, and the map itself is left as it is."""
    module, x = subject.shaken(), subject.images()
    before = x.clone()
    out = module(x)
    if out.shape != x.shape:
        return Finding("shape", "fails", f"{shown(x)} becomes {shown(out)}")
    if out.dtype != x.dtype:
        return Finding("shape", "fails", f"{x.dtype} becomes {out.dtype}")
    if not out.isfinite().all():
        return Finding("shape", "fails", "the output is not finite")
    if not torch.equal(x, before):
        return Finding("shape", "fails", "it changes its input")
    return Finding("shape", "passes", shown(x))


def shown(x: Tensor) -> str:
    return "x".join(map(str, x.shape))


def other_sizes(subject: Subject) -> Finding:
    """Maps of other sizes than it was made for, where training begins at a lower resolution."""
    height, width = subject.size
    module = subject.shaken()
    sizes = [(height // 2 or 1, width // 2 or 1), (height + 1, width + 3), (1, 1)]
    return over_sizes("other sizes", sizes, lambda size: (module, subject.images(2, size=size)))


def odd_sizes(subject: Subject) -> Finding:
    """Maps of odd and unequal sides, and of one pixel, that it was made for."""
    return over_sizes(
        "odd sizes", [(5, 7), (1, 6), (1, 1)], lambda size: (subject.shaken(size=size), subject.images(2, size=size))
    )


def over_sizes(
    point: str, sizes: list[tuple[int, int]], make: Callable[[tuple[int, int]], tuple[nn.Module, Tensor]]
) -> Finding:
    faults = []
    for size in sizes:
        try:
            module, x = make(size)
            if (out := module(x)).shape != x.shape:
                faults.append(f"{size[0]}x{size[1]} becomes {shown(out)}")
        except Exception as error:
            faults.append(f"{size[0]}x{size[1]}: {in_a_line(error)}")
    listed = ", ".join(f"{height}x{width}" for height, width in sizes)
    return Finding(point, "limited", "; ".join(faults)) if faults else Finding(point, "passes", listed)


def few_channels(subject: Subject) -> Finding:
    """A map of one channel."""
    try:
        subject.shaken(channels=1)(subject.images(channels=1))
    except Exception as error:
        return Finding("1 channel", "limited", in_a_line(error))
    return Finding("1 channel", "passes")


def one_image(subject: Subject) -> Finding:
    """A batch of one image, in training and in evaluation."""
    try:
        for training in (True, False):
            subject.shaken().train(training)(subject.images(1))
    except Exception as error:
        return Finding("batch of 1", "limited", in_a_line(error))
    return Finding("batch of 1", "passes")


def bfloat16(subject: Subject) -> Finding:
    """Under autocast to bfloat16 it works, and stays near what float32 gives."""
    module, x = subject.shaken(), subject.images()
    try:
        with torch.autocast("cpu", torch.bfloat16):
            out = module(x)
    except Exception as error:
        return Finding("bfloat16", "limited", f"{in_a_line(error)}; train with device.precision=float32")
    far = symmetries.distance(out.float(), module(x))
    if far > ROUGH or not out.isfinite().all():
        return Finding("bfloat16", "limited", f"{100 * far:.0f} % from float32; train with device.precision=float32")
    return Finding("bfloat16", "passes", f"{100 * far:.1f} % from float32")


def channels_last(subject: Subject) -> Finding:
    """In the memory format channels_last it gives the same."""
    module, x = subject.shaken(), subject.images()
    far = symmetries.channels_last(module, x)
    if far > NEAR:
        return Finding("channels_last", "fails", f"{100 * far:.1f} % from what the usual format gives")
    kept = module(x.to(memory_format=torch.channels_last)).is_contiguous(memory_format=torch.channels_last)
    return Finding("channels_last", "passes", "" if kept else "it takes or gives another format: a copy a step")


def gradients(subject: Subject) -> Finding:
    """A training step gives every parameter, and the input, a finite gradient."""
    module, x = subject.shaken().train(), subject.images().requires_grad_()
    (module(x) * subject.images().roll(1, 0)).sum().backward()
    of = {"the input": x.grad} | {name: value.grad for name, value in module.named_parameters() if value.requires_grad}
    wild = [name for name, gradient in of.items() if gradient is not None and not gradient.isfinite().all()]
    if wild:
        return Finding("gradients", "fails", f"not finite: {', '.join(wild)}")
    lacking = [name for name, gradient in of.items() if gradient is None]
    if lacking:
        return Finding("gradients", "limited", f"never trained: {', '.join(lacking)}")
    return Finding("gradients", "passes", f"parameters: {len(of) - 1}")


def same_again(subject: Subject) -> Finding:
    """In evaluation a second call gives the same."""
    far = symmetries.again(subject.shaken(), subject.images())
    if far:
        return Finding("the same again", "fails", f"two calls in evaluation are {100 * far:.1f} % apart")
    return Finding("the same again", "passes")


def each_image_alone(subject: Subject) -> Finding:
    """In evaluation an image's output does not depend on the others of its batch."""
    module = subject.shaken()
    far = symmetries.alone(module, subject.images(), 2 if module.pairs else 1)
    if far > NEAR:
        return Finding("each image alone", "fails", f"in a batch an image's output is {100 * far:.1f} % off")
    return Finding("each image alone", "passes", "in pairs, as it says" if module.pairs else "")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what torch logs of a compilation that fails to itself."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def compiles(subject: Subject) -> Finding:
    """torch.compile traces it as one graph, which gives the same."""
    module, x = subject.shaken(), subject.images()
    torch.compiler.reset()
    try:
        with quiet():
            compiled = torch.compile(module, fullgraph=True, dynamic=False, backend="aot_eager")
            far = symmetries.distance(compiled(x), module(x))
    except Exception as error:
        return Finding("compiled", "limited", f"{in_a_line(error)}; train with device.compile=false")
    if far > NEAR:
        return Finding("compiled", "fails", f"{100 * far:.1f} % from what it gives as it is")
    return Finding("compiled", "passes")


def exports(subject: Subject) -> Finding:
    """torch.export writes it down as a graph, which gives the same."""
    module, x = subject.shaken(), subject.images()
    try:
        with quiet():
            far = symmetries.distance(torch.export.export(module, (x,)).module()(x), module(x))
    except Exception as error:
        return Finding("exported", "limited", in_a_line(error))
    if far > NEAR:
        return Finding("exported", "fails", f"{100 * far:.1f} % from what it gives as it is")
    return Finding("exported", "passes")


def options_count(subject: Subject) -> Finding:
    """Each setting, given another value, has an effect on the parameters, the output or the training."""
    kind = ATTENTION[subject.name]
    hints = get_type_hints(kind.__init__)
    idle, tried = [], []
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind is not parameter.KEYWORD_ONLY or name in ("layout", "code"):
            continue
        value = subject.settings.get(name, parameter.default)
        outcomes = [has_effect(subject, name, other) for other in others(value, hints.get(name))]
        known = [outcome for outcome in outcomes if outcome is not None]
        tried += [name] if known else []
        if known and not any(known):
            idle.append(name)
    if idle:
        return Finding("settings", "limited", f"no effect seen of {', '.join(idle)}")
    return Finding("settings", "passes", f"tried: {', '.join(tried) or 'none'}")


def others(value: Any, hint: Any) -> list[Any]:
    """Return values to try instead of a setting's own."""
    if get_origin(hint) is Literal:
        return [choice for choice in get_args(hint) if choice != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [2 * value, value // 2, value + 2, value + 1] if value else [1, 2]
    if isinstance(value, float):
        return [value / 2, 2 * value] if value else [0.5]
    return []


def has_effect(subject: Subject, name: str, value: Any) -> bool | None:
    """Say whether another value of a setting changes anything; None where the module cannot be made or called with
    it."""
    try:
        module, other = subject.shaken(), subject.shaken(**{name: value})
        if [p.shape for p in module.parameters()] != [p.shape for p in other.parameters()]:
            return True
        x = subject.images()
        for training in (False, True):
            found = []
            for one in (module, other):
                torch.manual_seed(11)  # for dropout
                found.append(one.train(training)(x))
            if not torch.equal(*found):
                return True
    except Exception:
        return None
    return False


REQUIREMENTS: tuple[Callable[[Subject], Finding], ...] = (
    shape,
    other_sizes,
    odd_sizes,
    few_channels,
    one_image,
    bfloat16,
    channels_last,
    gradients,
    same_again,
    each_image_alone,
    compiles,
    exports,
    options_count,
)
