"""One file with a trained network, for programs that share nothing with this one: safetensors, which holds tensors and
texts and no code (https://github.com/huggingface/safetensors).

The texts say what the numbers belong to: `model` and `backbone` (their sections, as JSON), `channels`, `image_size`,
`classes`, `mean` and `deviation` (of pixels between 0 and 1, by channel), `views`, `step`,
`config_digest` and `format`.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from attn_train import build
from attn_train.commands.network import Network
from attn_train.errors import CheckpointError, ConfigError
from attn_train.settings import identity
from attn_train.settings.schema import Settings
from attn_train.training.trainer import load_weights
from attn_train.writing.durable import write_durably

FORMAT = "attn-train 1"
SUFFIX = ".safetensors"


def write(path: Path, model: nn.Module, config: Settings, channels: int, classes: tuple[str, ...], step: int) -> None:
    """Write the weights of `model` and what they belong to; raises ResourceError where that cannot be done."""
    network = build.plain_network(config)
    facts: dict[str, Any] = {
        "model": network.model,
        "backbone": network.backbone,
        "channels": channels,
        "image_size": config.dataset.image_size,
        "classes": list(classes),
        "mean": config.dataset.mean,
        "deviation": config.dataset.deviation,
        "views": config.eval.views,
        "step": step,
        "config_digest": identity.digest(asdict(config)),
    }
    texts = {"format": FORMAT, **{key: json.dumps(value) for key, value in facts.items()}}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    write_durably(path, lambda file: file.write(save(tensors, texts)))


def load(path: Path) -> Network:
    """Read an exported file; raises CheckpointError for anything else."""
    try:
        with safe_open(str(path), framework="pt") as file:
            texts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if texts.get("format") != FORMAT:
            raise CheckpointError(f"{path} has the format {texts.get('format')}; this program reads '{FORMAT}'")
        facts = {key: json.loads(text) for key, text in texts.items() if key != "format"}
        channels, size, classes = facts["channels"], facts["image_size"], tuple(facts["classes"])
        with torch.random.fork_rng(devices=[]):
            model = build.make_network(facts["model"], facts["backbone"], size, channels, len(classes))
        normalization = build.per_channel_normalization(facts["mean"], facts["deviation"], channels)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{path} cannot be read as an exported network: {error}") from error
    load_weights(model, tensors, path)
    return Network(model.eval(), normalization, classes, channels, size, facts.get("views", 1))
