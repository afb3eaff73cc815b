"""What is measured: arms, each a mechanism with its options, and cells, each an arm at one size of the map."""

import inspect
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from attn_train.attention import ATTENTION
from attn_train.attention.attention import Attention
from attn_train.errors import ConfigError
from attn_train.settings import options
from attn_train.settings.bench import usual_options
from attn_train.writing.text import printable


@dataclass(frozen=True)
class Arm:
    """A mechanism with its options."""

    name: str
    options: dict[str, Any]
    overrides: dict[str, Any] = field(default_factory=dict)  # those of the options that the command line sets

    @property
    def label(self) -> str:
        return printable(" ".join([self.name, *(f"{key}={value}" for key, value in self.overrides.items())]))


@dataclass(frozen=True)
class Cell:
    """An arm at one size of the feature map: `side` x `side` pixels, which are its tokens."""

    arm: Arm
    side: int
    channels: int

    @property
    def tokens(self) -> int:
        return self.side**2


def build(name: str, values: dict[str, Any], channels: int, side: int) -> Attention:
    """Make a mechanism on torch's default device; raise ConfigError for options it does not have, ValueError for a
    map it refuses."""
    return ATTENTION[name](channels, size=(side, side), **options.bind(name, ATTENTION[name], values))


def usual(name: str, conf: Path) -> dict[str, Any]:
    """Return a mechanism's options as its file in `conf`/model has them, or as its class does: a plugin has no file."""
    own = inspect.signature(ATTENTION[name]).parameters.values()
    defaults = {p.name: p.default for p in own if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}
    return defaults | usual_options(name, conf)


def make_arms(models: Any, conf: Path) -> list[Arm]:
    """Return the arms that the setting `models` names, their options as in `conf`/model; null names all mechanisms."""
    if models is None:
        models = sorted(ATTENTION)
    arms: list[Arm] = []
    for model in models if isinstance(models, list) else [models]:
        section = model if isinstance(model, dict) else {"name": model}
        name, overrides = section.get("name"), {str(key): value for key, value in section.items() if key != "name"}
        if not isinstance(name, str) or name not in ATTENTION:
            raise ConfigError(f"unknown model '{name}'; choose from {', '.join(sorted(ATTENTION))}")
        values = usual(name, conf) | overrides
        options.bind(name, ATTENTION[name], values)
        arm = Arm(name, values, overrides)
        if arm.label in [other.label for other in arms]:
            raise ConfigError(f"models names {arm.label} twice; leave one out")
        arms.append(arm)
    if not arms:
        raise ConfigError(f"models=[] is empty; choose from {', '.join(sorted(ATTENTION))}")
    return arms


def make_cells(arms: list[Arm], places: list[tuple[int, int]]) -> list[Cell]:
    """Return each arm at each of `places` (side, channels).

    Raises ConfigError where a mechanism refuses a map because of options of the command line. One that refuses it with
    its usual options too stays: its cell says why.
    """
    cells = [Cell(arm, side, channels) for side, channels in places for arm in arms]
    for cell in cells:
        reason = refusal(cell.arm.name, cell.arm.options, cell)
        usual = {key: value for key, value in cell.arm.options.items() if key not in cell.arm.overrides}
        if reason is not None and cell.arm.overrides and refusal(cell.arm.name, usual, cell) is None:
            raise ConfigError(f"{cell.arm.label}: {reason}")
    return cells


def refusal(name: str, values: dict[str, Any], cell: Cell) -> str | None:
    """Say why a mechanism cannot be made for a cell's map, or None."""
    try:
        with torch.device("meta"):
            build(name, values, cell.channels, cell.side)
    except (ValueError, ConfigError) as error:
        return str(error)
    except RuntimeError:
        return None  # its constructor computes, which the meta device cannot: see what its own process reports
    return None


def orders(cells: list[Cell], rounds: int, seed: int) -> list[list[Cell]]:
    """Return the cells of each round, shuffled so that a drift of the machine's speed affects all alike."""
    generator = random.Random(seed)
    return [generator.sample(cells, len(cells)) for _ in range(rounds)]
