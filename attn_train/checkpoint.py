"""Checkpoints that survive a kill at any moment: `last.pt`, `previous.pt`, `best.pt`, each with a readable JSON
beside it.

A checkpoint is written to a temporary file, flushed to the disk and renamed. It is believed only if its SHA-256
stands in one of the JSON files, because torch.load accepts a flipped bit. Only tensors and plain values are stored,
and no pickle is trusted.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import torch

from attn_train.errors import CheckpointError, ResourceError

VERSION = 2

log = logging.getLogger(__name__)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, write: Any) -> None:
    """Call `write(file)` on a new file and give it its name `path` only once it is on the disk."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ResourceError(
            f"could not write {path}: {error.strerror or error}; "
            f"free some space and go on with resume={path.parent.parent}"
        ) from error
    sync_folder(path.parent)


def save(folder: Path, name: str, state: dict[str, Any], summary: dict[str, Any]) -> None:
    """Save `state` as `name`.pt in `folder`, with `summary` and its digest in `name`.json.

    A `last` that was there becomes `previous`, and is dropped only when the new one is complete. The order of the
    renames leaves at every moment a checkpoint whose digest is in some JSON file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new, new_json = folder / f"{name}.new.pt", folder / f"{name}.new.json"
    if new_json.exists() and not new.exists():
        # A kill between the last two renames: finish them, or the digest of a sound checkpoint would be overwritten.
        os.replace(new_json, folder / f"{name}.json")
    write_durably(new, lambda file: torch.save({**state, "version": VERSION}, file))
    text = json.dumps({**summary, "version": VERSION, "sha256": sha256(new)}, indent=2) + "\n"
    write_durably(new_json, lambda file: file.write(text.encode()))
    if name == "last" and (folder / "last.pt").exists():
        if (folder / "last.json").exists():
            os.replace(folder / "last.json", folder / "previous.json")
        os.replace(folder / "last.pt", folder / "previous.pt")
    os.replace(new, folder / f"{name}.pt")
    os.replace(new_json, folder / f"{name}.json")
    sync_folder(folder)


def known_digests(folder: Path) -> set[str]:
    digests = set()
    for path in folder.glob("*.json"):
        try:
            digests.add(json.loads(path.read_text())["sha256"])
        except (ValueError, KeyError, TypeError, OSError):
            log.warning("%s cannot be read; going on without it", path)
    return digests


def load(folder: Path, names: tuple[str, ...] = ("last", "previous")) -> dict[str, Any] | None:
    """Load the first sound checkpoint among `names`, or return None where there is none at all.

    A damaged one is set aside under the name `<name>.damaged.pt` with a warning. Raises CheckpointError if all are
    damaged or one is of a newer version.
    """
    damaged = []
    digests = known_digests(folder)
    for name in names:
        path = folder / f"{name}.pt"
        if not path.exists():
            continue
        if sha256(path) not in digests:
            aside = folder / f"{name}.damaged.pt"
            os.replace(path, aside)
            damaged.append(str(aside))
            log.warning("DAMAGED CHECKPOINT: %s does not match its digest; set aside as %s", path, aside.name)
            continue
        return read(path)
    if damaged:
        raise CheckpointError(f"no usable checkpoint in {folder}: {', '.join(damaged)} damaged; train again")
    return None


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint file as tensors and plain values only; raise CheckpointError for anything else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path} cannot be read as a checkpoint of plain tensors: {reason}") from error
    version = state.get("version") if isinstance(state, dict) else None
    if version != VERSION:
        raise CheckpointError(f"{path} has format version {version}; this program reads version {VERSION}")
    return dict(state)


def evaluated_weights(state: dict[str, Any]) -> dict[str, Any]:
    """Return the weights that a run was tested with: their moving average where it kept one."""
    return dict(state["model"] if state["average"] is None else state["average"])


def load_model(model: torch.nn.Module, saved: dict[str, Any], path: Path) -> None:
    """Load a model's weights from those of the checkpoint in `path`; raise CheckpointError naming the keys that
    differ."""
    own = model.state_dict()
    wrong = sorted(set(own) ^ set(saved)) + sorted(
        key for key in set(own) & set(saved) if own[key].shape != saved[key].shape
    )
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise CheckpointError(f"the checkpoint in {path} is of another model: {', '.join(wrong[:5])}{more} differ")
    model.load_state_dict(saved)
