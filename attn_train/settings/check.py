"""The settings of attn-check: their types and bounds. The values stand in conf/check.yaml."""

from dataclasses import dataclass
from typing import Annotated, Any

from attn_train.settings.bounds import PATHS, at_least, one_of


@dataclass
class CheckSettings:
    model: dict[str, Any]
    channels: Annotated[int, at_least(1)]
    size: Annotated[int, at_least(1)]
    plugins: Annotated[list[str], PATHS]
    format: Annotated[str, one_of("table", "json")]
