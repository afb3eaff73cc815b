"""Read from finished runs what a bench measures: their mechanisms, the maps these work on, the batch, the device."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from attn_train import build
from attn_train.attention import ATTENTION
from attn_train.cost.bench import cells
from attn_train.cost.bench.cells import Arm, Cell
from attn_train.errors import ConfigError
from attn_train.machine import device as devices
from attn_train.runs import result
from attn_train.runs.finished import read_config
from attn_train.settings import bench as settings
from attn_train.settings.bench import BenchSettings
from attn_train.settings.schema import DeviceSettings

DEVICE = tuple(field.name for field in fields(DeviceSettings) if field.name != "cuda_graphs")


@dataclass(frozen=True)
class Trained:
    """What a bench needs of a finished run."""

    folder: str
    model: dict[str, Any]  # the section of its settings, with the name
    places: list[tuple[int, int]]  # (side, channels) of the maps with attention, each once
    batch: int  # images at once
    device: dict[str, Any]


def read(folder: str) -> Trained:
    """Read what a run trained; raise ConfigError where its folder does not say."""
    try:
        values = read_config(Path(folder))
        train, attends = values["train"], values.get("control", "none") == "none"
        places = [(int(c), int(height), int(width)) for c, height, width in maps(folder, values)] if attends else []
        batch = -(-train["batch_size"] // train["accumulate"])
        model, device = values["model"], dict(values["device"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"runs: the config.yaml of {folder} does not say what it trained ({reason})") from error
    for _, height, width in places:
        if height != width:
            raise ConfigError(
                f"runs: the attention of {folder} stands on a map of {height}x{width}, and a bench measures square ones"
            )
    return Trained(folder, model, list(dict.fromkeys((height, c) for c, height, _ in places)), batch, device)


def maps(folder: str, values: dict[str, Any]) -> Sequence[Sequence[int]]:
    """Return the maps (channels, height, width) on which a run has attention.

    They stand in its result; for a result of another version, which lacks them, its network is made again.
    """
    recorded: Sequence[Sequence[int]] | None = (result.read(Path(folder)) or {}).get("attention_places")
    if recorded is not None:
        return recorded
    with torch.device("meta"):
        # The maps do not depend on the images' channels nor on the number of classes.
        network = build.make_network(values["model"], values["backbone"], values["dataset"]["image_size"], 3, 10)
    return network.attention_places


def with_defaults_of(runs: Sequence[Trained], config: BenchSettings) -> BenchSettings:
    """Return the settings, with the batch and the device of the runs where they set none; raise ConfigError where the
    runs differ in their batch, or this machine lacks their device."""
    if not runs:
        return config
    batches = {run.batch: run.folder for run in runs}
    if config.batch is None and not config.scaling and len(batches) > 1:
        listed = ", ".join(f"{batch} images ({folder})" for batch, folder in batches.items())
        raise ConfigError(f"runs train on {listed} at once; give batch=, or measure them apart")
    batch = config.batch if config.scaling or config.batch is not None else runs[0].batch
    return replace(config, batch=batch, device=device_of(config.device, runs))


def device_of(asked: DeviceSettings, runs: Sequence[Trained]) -> DeviceSettings:
    """Return the settings of the device; one left on auto is that of the runs, where these agree."""
    kinds = {run.device.get("kind") for run in runs}
    if asked.kind == "auto" and len(kinds) == 1 and not kinds <= set(devices.available()):
        raise ConfigError(
            f"runs were trained on {kinds.pop()}, which this machine has not; measure there, or say device=cpu for "
            "what it costs here"
        )
    if asked.kind != "auto" and kinds != {asked.kind}:
        return asked
    shared = {key: runs[0].device.get(key) for key in DEVICE if len({repr(run.device.get(key)) for run in runs}) == 1}
    left_open = {key: value for key, value in shared.items() if getattr(asked, key) in ("auto", None)}
    return replace(asked, **{key: value for key, value in left_open.items() if value is not None})


def arm_of(run: Trained, conf: Path) -> Arm:
    """Return a run's mechanism as an arm, labelled with the options that are not the usual ones."""
    name = str(run.model.get("name"))
    usual = cells.usual(name, conf) if name in ATTENTION else {}
    options = {key: value for key, value in run.model.items() if key not in usual or value != usual[key]}
    return cells.make_arms([{**options, "name": name}], conf)[0]


def make_cells(config: BenchSettings, runs: Sequence[Trained], conf: Path) -> list[Cell]:
    """Return the cells to measure.

    Models or maps that the settings leave open are those of the runs; where both are open, each mechanism is measured
    on its own maps.
    """
    attending = [run for run in runs if run.places]
    open_models = config.models is None
    open_maps = not config.scaling and config.sizes is None and config.channels is None
    if runs and not attending and (open_models or open_maps):
        raise ConfigError(
            "runs: none of them has attention; say what to measure, like models=[gated] sizes=[32,8] channels=[64,256]"
        )
    if runs and open_models and open_maps:
        every = [Cell(arm_of(run, conf), side, channels) for run in attending for side, channels in run.places]
        return list({(cell.arm.label, cell.side, cell.channels): cell for cell in every}.values())
    arms = cells.make_arms(config.models, conf)
    if runs and open_models:
        arms = list({arm.label: arm for arm in (arm_of(run, conf) for run in attending)}.values())
    places = settings.places(config)
    if runs and open_maps:
        places = list(dict.fromkeys(place for run in attending for place in run.places))
    return cells.make_cells(arms, places)
