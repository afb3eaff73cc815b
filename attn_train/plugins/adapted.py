"""A person's module as a mechanism: the map is brought to it in the form it takes, and what it returns is read."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.plugins.signature import MISSING, Asked, asked_by, forward_arguments

Layout = Literal["map", "tokens", "channels_last"]
LAYOUTS: tuple[Layout, ...] = ("map", "tokens", "channels_last")
# Sides that are no module's channels, and not each other's: a module that takes such a map takes its axes as they are.
ODD = (5, 7)


@dataclass(frozen=True)
class Found:
    """What a trial call shows of a module."""

    layout: Layout
    square: bool = False  # its constructor takes the size as one integer
    bfloat16: str | None = None  # why it fails in bfloat16; None: it does not
    contiguous: bool = False  # it fails on a map in the memory format channels_last, and gets a copy in the usual one


class Adapted(Attention):
    """A module of a person's own, made and called by the conventions that its signature shows (see `signature`).

    Of a tuple or list that it returns the first tensor of the map's shape counts. Raises ValueError where it cannot be
    made, or gives another shape.
    """

    kind: ClassVar[type[nn.Module]]
    asked: ClassVar[Asked]
    place: ClassVar[str]
    code: ClassVar[str]
    found: ClassVar[dict[Any, Found]]

    def __init__(self, channels: int, size: tuple[int, int], layout: str, code: str, settings: dict[str, Any]) -> None:
        super().__init__()
        if code != self.code:
            raise ValueError(
                f"code={code} is that of another version than {self.place} is, {self.code}; bring that one back: a run "
                "keeps a copy of the file in its folder, in plugins/"
            )
        key = (channels, size, layout, repr(settings))
        if key not in self.found:
            self.found[key] = self.trial(channels, size, layout, settings)
        self.facts = self.found[key]
        self.bfloat16_fault = self.facts.bfloat16
        self.inner = self.make(channels, size, settings, self.facts.square)
        self.arguments = forward_arguments(self.inner)
        if torch.get_default_device().type == "meta":
            self.inner.to("meta")

    @classmethod
    def make(cls, channels: int, size: tuple[int, int], settings: dict[str, Any], square: bool) -> nn.Module:
        """Make the module; on the CPU, for its constructor may compute, which the meta device could not."""
        asked = cls.asked
        values: dict[str, Any] = dict.fromkeys(asked.channels, channels)
        values |= dict.fromkeys(asked.sizes, size[0] if square else size)
        values |= dict.fromkeys(asked.heights, size[0]) | dict.fromkeys(asked.widths, size[1])
        values |= dict.fromkeys(asked.tokens, size[0] * size[1])
        for name, value in settings.items():
            values[name] = tuple(value) if asked.settings[name].is_tuple and isinstance(value, list) else value
        by_place = [values.pop(name) for name in asked.positional if name in values]
        try:
            with torch.device("cpu"):
                return cls.kind(*by_place, **values)
        except Exception as error:
            raise ValueError(f"its constructor fails: {in_a_line(error)}") from error

    @classmethod
    def trial(cls, channels: int, size: tuple[int, int], layout: str, settings: dict[str, Any]) -> Found:
        """Find out by calls how a module takes the map; raise ValueError where it takes it in no way.

        A map of odd sides comes first, which only the right axes fit, then one of the module's own size.
        """
        layouts = LAYOUTS if layout == "auto" else [choice for choice in LAYOUTS if choice == layout]
        faults: dict[str, str] = {}
        with torch.device("cpu"), torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            for square in (False, True) if cls.asked.sizes and size[0] == size[1] else (False,):
                try:
                    module = cls.make(channels, size, settings, square).eval()
                except ValueError as error:
                    faults["made"] = str(error)
                    continue
                for sides in (ODD, size):
                    for choice in layouts:
                        x = torch.randn(2, channels, *sides, device="cpu")
                        fault = fault_of(module, x, choice)
                        if fault is None:
                            last = fault_of(module, x.to(memory_format=torch.channels_last), choice)
                            with torch.autocast("cpu", torch.bfloat16):
                                return Found(choice, square, fault_of(module, x, choice), last is not None)
                        faults[choice] = fault
        if "made" in faults and len(faults) == 1:
            raise ValueError(faults["made"])
        told = "; ".join(f"as {choice}: {faults[choice][:80]}" for choice in layouts if choice in faults)
        raise ValueError(f"it does not map {channels}x{size[0]}x{size[1]} to the same shape ({told})")

    def forward(self, x: Tensor) -> Tensor:
        if self.facts.contiguous:
            x = x.contiguous()
        return call(self.inner, self.arguments, x, self.facts.layout)

    def attention_map(self, x: Tensor) -> Tensor | None:
        return self.inner.attention_map(x) if isinstance(self.inner, Attention) else None


def call(module: nn.Module, arguments: list[str], x: Tensor, layout: Layout) -> Tensor:
    """Call a module with a map in the form that it takes, and return its result as a map of the same shape.

    Args:
        arguments: what each argument of its forward is given, x, size, height or width.
        x: (batch, channels, height, width).
    """
    height, width = x.shape[2:]
    given = x
    if layout == "tokens":
        given = x.flatten(2).transpose(1, 2)
    elif layout == "channels_last":
        given = x.permute(0, 2, 3, 1)
    values = {"x": given, "height": height, "width": width, "size": (height, width)}
    result = shaped(module(*(values[name] for name in arguments)), given.shape)
    if layout == "tokens":
        return result.transpose(1, 2).unflatten(2, (height, width))
    return result.permute(0, 3, 1, 2) if layout == "channels_last" else result


def shaped(result: Any, shape: torch.Size) -> Tensor:
    """Return the first tensor of a shape in what a module returned; raise ValueError where there is none."""
    tensors = list(tensors_in(result))
    for tensor in tensors:
        if tensor.shape == shape:
            return tensor
    given = ", ".join("x".join(map(str, tensor.shape)) for tensor in tensors) or "no tensor"
    raise ValueError(f"it returns {given} for {'x'.join(map(str, shape))}")


def tensors_in(result: Any) -> Iterator[Tensor]:
    """Yield the tensors of what a module returned, in order."""
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, tuple | list):
        for part in result:
            yield from tensors_in(part)


def fault_of(module: nn.Module, x: Tensor, layout: Layout) -> str | None:
    """Say in a line why a module does not take a map in a layout; None where it does."""
    try:
        call(module, forward_arguments(module), x, layout)
    except Exception as error:
        return in_a_line(error)
    return None


def in_a_line(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0][:160]
    return first if isinstance(error, ValueError) and first else f"{type(error).__name__}: {first}".rstrip(": ")


def adapt(kind: type[nn.Module], place: str, code: str) -> type[Attention]:
    """Return a module's class as a mechanism: a class whose keyword-only parameters are its settings, with `layout` and
    `code` beside them."""
    asked = asked_by(kind)
    own_layout = "layout" in asked.settings  # then its own is meant
    hints = {name: setting.hint for name, setting in asked.settings.items()} | {"code": str}
    defaults = {name: setting.default for name, setting in asked.settings.items()} | {"code": code}
    if not own_layout:
        hints["layout"] = Literal[("auto", *LAYOUTS)]
        defaults["layout"] = "auto"

    def construct(self: Adapted, channels: int, size: tuple[int, int], **values: Any) -> None:
        layout = "auto" if own_layout else values.pop("layout", "auto")
        Adapted.__init__(self, channels, size, layout, values.pop("code", code), values)

    construct.__annotations__ = hints
    place_only, keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    empty = inspect.Parameter.empty
    signature = inspect.Signature(
        [inspect.Parameter(name, place_only) for name in ("channels", "size")]
        + [
            inspect.Parameter(name, keyword, default=empty if default == MISSING else default, annotation=hints[name])
            for name, default in defaults.items()
        ]
    )
    members: dict[str, Any] = {
        "__init__": construct,
        "__signature__": signature,
        "__doc__": kind.__doc__,
        "kind": kind,
        "asked": asked,
        "place": place,
        "code": code,
        "found": {},
        "pairs": getattr(kind, "pairs", False),
    }
    return type(kind.__name__, (Adapted,), members)
