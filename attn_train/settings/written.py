"""Write a run's configuration into its folder."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from attn_train.settings.identity import role
from attn_train.settings.roles import PLACE
from attn_train.settings.schema import Decided, Settings
from attn_train.writing.durable import write_durably


def write(folder: Path, decided: Decided, references: dict[str, str] | None = None) -> None:
    """Write what a run does to config.yaml in `folder`.

    `references` are the settings that came from the environment, dotted, as they were given: they are written so, and
    not by their value, which may be a secret. An address is left out: it would be fetched from whoever reads the file.
    """
    _write(folder, _referring(asdict(decided), references or {}))


def write_places(folder: Path, config: Settings, references: dict[str, str]) -> None:
    """Write where the data of the run in `folder` lies into its config.yaml, and nothing else; see write."""
    path = folder / "config.yaml"
    if not path.exists():
        return
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    places = {name: value for name, value in asdict(config.dataset).items() if role(f"dataset.{name}") is PLACE}
    dataset = values["dataset"] | places
    now = _referring(values | {"dataset": dataset}, references)
    if now != values:
        _write(folder, now)


def _referring(values: dict[str, Any], references: dict[str, str]) -> dict[str, Any]:
    for key, given in references.items():
        *sections, last = key.split(".")
        section = values
        for name in sections:
            section = section[name]
        section[last] = None if key == "dataset.url" else given
    return values


def _write(folder: Path, values: dict[str, Any]) -> None:
    text = yaml.safe_dump(values, sort_keys=False)
    write_durably(folder / "config.yaml", lambda file: file.write(text.encode()))
