"""Plugins that are installed: packages that name their mechanisms and networks by entry points."""

import re
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from torch import nn

from attn_train.errors import ConfigError
from attn_train.plugins.source import Source, reason

GROUPS = {"model": "attn_train.attention", "backbone": "attn_train.backbones"}


def mentioned(texts: Iterable[str]) -> list[EntryPoint]:
    """Return the entry points whose names stand in one of the texts; none of them is imported."""
    text = "\n".join(texts)
    points = [point for group in GROUPS.values() for point in entry_points(group=group)]
    return [point for point in points if re.search(rf"(?<![\w.]){re.escape(point.name)}(?!\w)", text)]


def load(point: EntryPoint) -> Source:
    """Import what an entry point names; raise ConfigError in one line where that fails, or is no class."""
    package = "a package without a name" if point.dist is None else f"{point.dist.name}=={point.dist.version}"
    try:
        kind: Any = point.load()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"the installed {point.name} of {package} fails: {reason(error)}") from error
    if not isinstance(kind, type) or not issubclass(kind, nn.Module):
        raise ConfigError(f"the installed {point.name} of {package}, {point.value}, is no torch.nn.Module")
    is_model = point.group == GROUPS["model"]
    return Source(package, package, {point.name: kind} if is_model else {}, {} if is_model else {point.name: kind})
