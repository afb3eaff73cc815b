"""Find a control: the widths at which the plain network costs as much as the network with attention."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch

from attn_train import build
from attn_train.backbones import BACKBONES
from attn_train.cost import timing
from attn_train.cost.counting import count_macs, count_parameters
from attn_train.cost.steptime import LEAST, StepTimes
from attn_train.cost.timing import TOLERANCE, Timing
from attn_train.errors import ConfigError
from attn_train.settings import identity, widths as search
from attn_train.settings.roles import NAME, OWN_SEED, SEED, flatten
from attn_train.settings.schema import Settings
from attn_train.writing.quoting import pasted

UNITS = {"parameters": "parameters", "macs": "multiply-adds", "time": "seconds a training step"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Match:
    """The widths of a control, and what it costs beside the network with attention."""

    control: str  # parameters, macs or time
    model: str
    widths: list[int]
    base: list[int]  # the backbone's own widths
    target: float  # of the network with attention; parameters, multiply-adds or seconds
    cost: float  # of the control
    uncertainty: float = 0.0  # of the error: half the width of its interval, where the cost was measured

    @property
    def error(self) -> float:
        """By how much the control costs more, as a share."""
        return self.cost / self.target - 1

    @property
    def setting(self) -> str:
        """The word of a command line that sets the same control without a search."""
        return f"control_width=[{','.join(map(str, self.widths))}]"

    @property
    def is_plain(self) -> bool:
        """Whether the control is the network of model=none itself, because attention costs less than a channel."""
        return self.widths == self.base

    def __str__(self) -> str:
        form = ".4g" if self.control == "time" else ",.0f"
        widths, base = (", ".join(map(str, channels)) for channels in (self.widths, self.base))
        instead = "its own: model=none itself" if self.is_plain else f"instead of {base}"
        about = f" (give or take {100 * self.uncertainty:.1f})" if self.uncertainty else ""
        return (
            f"control={self.control}: the plain network with widths {widths} ({instead}) has {self.cost:{form}} "
            f"{UNITS[self.control]}, with model={self.model} it has {self.target:{form}}: "
            f"{100 * self.error:+.2f} %{about}"
        )


# The controls found in this process, by what they depend on: the seeds of a sweep share them.
_solved: dict[str, Match] = {}


def solve(config: Settings) -> Match:
    """Find the widths of the control that `config` asks for, whatever its `control_width`; only once in a process.

    Parameters and multiply-adds are counted, for one image at full resolution. The time of a training step is measured
    with the run's own batch, optimizer and device, as the mean over the run; it needs the data, for the number of steps
    at each resolution. Raises ConfigError where the cost differs, or may differ, by more than TOLERANCE.
    """
    if config.control == "none":
        raise ValueError("there is no control to solve")
    # Runs that differ only in seeds and names share a control.
    values = flatten(asdict(replace(config, control_width=None)))
    settings = {key: value for key, value in values.items() if identity.role(key) not in (SEED, OWN_SEED, NAME)}
    key = json.dumps(settings, sort_keys=True)
    if key not in _solved:
        match = search_widths(config)
        advice = "give the backbone more channels, whose steps are finer, or choose another control"
        if match.uncertainty > TOLERANCE / 2 or abs(match.error) <= TOLERANCE:
            advice = "the machine is too busy to measure it: let nothing else run, and try again"
        elif match.is_plain:  # the mechanism replaces a costlier one of the backbone's own
            advice = "a control is never narrower than the backbone; compare with model=none"
        check_tolerance(match, advice)
        _solved[key] = match
    return _solved[key]


def search_widths(config: Settings) -> Match:
    """Find the control that `config` asks for; raise ConfigError where no widths can match."""
    backbone, values = build.choose("backbone", BACKBONES, config.backbone)
    base: list[int] = backbone.stage_widths(values)
    arm = replace(config, control="none", control_width=None)
    unit = "macs" if config.control == "time" else config.control
    target = count(arm, unit)

    def cost(widths: list[int]) -> int:
        return count(replace(config, control_width=widths), unit)

    try:
        if config.control == "time":
            return measure(config, arm, base, cost, target)
        widths = search.nearest(base, cost, target)
    except ValueError as error:
        raise ConfigError(f"control={config.control}: {error}; choose another control") from error
    return Match(config.control, str(config.model["name"]), widths, base, target, cost(widths))


def measure(config: Settings, arm: Settings, base: list[int], macs: Callable[[list[int]], int], start: int) -> Match:
    """Find the control by the time of training steps.

    Args:
        arm: the run with attention.
        base: the backbone's own widths.
        macs: counts the multiply-adds of a control with these widths.
        start: the arm's multiply-adds, where the search begins.
    """
    log.info(
        "control=time: timing steps of the plain network and of model=%s in turn, for a minute or more; at each "
        "resolution %d steps (slow ones) to as many as take %.0f s, after a shorter look at each of up to %d widths",
        arm.model["name"],
        2 * timing.BLOCKS * timing.SLOW_PAIRS,
        2 * timing.BLOCKS * timing.PAIRS * LEAST,
        search.PROBES,
    )
    times = StepTimes(arm)

    def time(widths: list[int], blocks: int) -> Timing:
        return times.beside(replace(config, control_width=widths), blocks)

    widths, timed = timing.match(base, macs, start, time)
    cost = timed.ratio * timed.seconds
    return Match(config.control, str(config.model["name"]), widths, base, timed.seconds, cost, timed.uncertainty)


def count(config: Settings, unit: str) -> int:
    """Count the parameters or the multiply-adds of the network that `config` trains."""
    source = build.make_source(config.dataset)
    shape = (source.channels, config.dataset.image_size, config.dataset.image_size)
    with torch.device("meta"):
        model = build.make_model(config, source.channels, len(source.classes))
        if unit == "parameters":
            return count_parameters(model)
        try:
            return count_macs(model, shape)
        except RuntimeError:
            pass  # an operator without a meta kernel: counted on a real image
    return count_macs(build.make_model(config, source.channels, len(source.classes)), shape)


def check_tolerance(match: Match, advice: str) -> None:
    """Raise ConfigError where the cost of a control differs, or may differ, from its target by more than TOLERANCE."""
    if not timing.is_within(match.error, match.uncertainty):
        may_be = "which may be " if abs(match.error) <= TOLERANCE else ""
        raise ConfigError(f"{match}, {may_be}more than {100 * TOLERANCE:g} % apart; {advice}")


def check_control(config: Settings) -> None:
    """Raise ConfigError for a control that cannot be matched, as far as that is known without the data.

    A `control_width` of the user's is checked too, where its cost can be counted.
    """
    if config.control_width is None:
        if config.control in ("parameters", "macs"):
            solve(config)
        return
    built = build.plain_network(config)
    if config.control == "time":
        return
    arm = replace(config, control="none", control_width=None)
    backbone = BACKBONES[config.backbone["name"]]
    check_tolerance(
        Match(
            config.control,
            str(config.model["name"]),
            backbone.stage_widths(built.backbone),
            backbone.stage_widths(config.backbone),
            count(arm, config.control),
            count(config, config.control),
        ),
        "leave control_width out to have it solved",
    )


def decide_control(config: Settings) -> Settings:
    """Return the configuration with the width of its control; unchanged where it has one, or asks for no control."""
    if config.control == "none" or config.control_width is not None:
        return config
    match = solve(config)
    log.info("%s; the same for another run: %s", match, pasted(match.setting))
    return replace(config, control_width=match.widths)
