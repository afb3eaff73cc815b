"""Checkpoints that survive a kill at any moment: `last.pt`, `previous.pt`, `best.pt`, each with a readable JSON
beside it.

A checkpoint is written to a temporary file, flushed to the disk and renamed. It is loaded only if its SHA-256 stands in
one of the JSON files, because torch.load accepts a flipped bit. Only tensors and plain values are stored, and no other
pickle is loaded. One of another VERSION, older or newer, is refused, because what it lacks could only be guessed; the
version of the program that wrote it, which result.json names, reads it.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from attn_train.errors import CheckpointError, ResourceError, expected
from attn_train.writing.durable import not_written, sync_folder, write_durably

VERSION = 3

log = logging.getLogger(__name__)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a checkpoint; raise CheckpointError where the file cannot be read."""
    try:
        return sha256(path)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror}; mend that, and run the command again"
        ) from error


def save(folder: Path, name: str, state: dict[str, Any], summary: dict[str, Any]) -> None:
    """Save `state` as `name`.pt in `folder`, with `summary` and its digest in `name`.json.

    The `last` before becomes `previous` once the new one is complete. The order of the renames leaves at every moment a
    checkpoint whose digest is in some JSON file.

    Raises ResourceError where the files cannot be written.

    Args:
        name: last or best.
        state: tensors and plain values.
        summary: what a person reads beside it, like the step.
    """
    new, new_json = folder / f"{name}.new.pt", folder / f"{name}.new.json"
    try:
        # Without its parents: if the run folder was deleted, a new one would hold a run without its beginning.
        folder.mkdir()
    except FileExistsError:
        pass  # not exist_ok=True: it raises this error too if the folder is deleted while it looks
    except OSError as error:
        raise not_written(new, error) from error
    if new_json.exists() and not new.exists():
        # A kill came between the last two renames. Finish them: else the digest of a sound checkpoint is overwritten.
        os.replace(new_json, folder / f"{name}.json")
    try:
        write_durably(new, lambda file: torch.save({**state, "version": VERSION}, file))
        text = json.dumps({**summary, "version": VERSION, "sha256": sha256(new)}, indent=2) + "\n"
        write_durably(new_json, lambda file: file.write(text.encode()))
    except ResourceError:
        # In this order: of a JSON file alone it is assumed that its checkpoint was renamed already.
        new_json.unlink(missing_ok=True)
        new.unlink(missing_ok=True)
        raise
    try:
        put_in_place(folder, name)
    except OSError as error:
        raise not_written(new, error) from error


def put_in_place(folder: Path, name: str) -> None:
    """Give a complete new checkpoint its name; the `last` before becomes `previous`."""
    if name == "last" and (folder / "last.pt").exists():
        if (folder / "last.json").exists():
            os.replace(folder / "last.json", folder / "previous.json")
        os.replace(folder / "last.pt", folder / "previous.pt")
    os.replace(folder / f"{name}.new.pt", folder / f"{name}.pt")
    os.replace(folder / f"{name}.new.json", folder / f"{name}.json")
    sync_folder(folder)


def clean(folder: Path) -> None:
    """Finish what a kill interrupted: give a complete new checkpoint its name, and remove an incomplete one."""
    for path in folder.glob("*.tmp"):
        path.unlink()
    for name in ("last", "best"):
        new, new_json = folder / f"{name}.new.pt", folder / f"{name}.new.json"
        if new_json.exists() and not new.exists():
            os.replace(new_json, folder / f"{name}.json")
        elif new_json.exists() and sha256(new) in known_digests(folder):
            put_in_place(folder, name)
        for path in (new_json, new):
            path.unlink(missing_ok=True)


def known_digests(folder: Path) -> set[str]:
    """Return the digests in the JSON files of `folder`."""
    digests = set()
    for path in folder.glob("*.json"):
        try:
            digests.add(json.loads(path.read_text(encoding="utf-8"))["sha256"])
        except (ValueError, KeyError, TypeError, OSError):
            log.warning("%s cannot be read; going on without it", path)
    return digests


def load(folder: Path, names: tuple[str, ...] = ("last", "previous")) -> dict[str, Any] | None:
    """Load the first sound checkpoint among `names`, or return None where there is none at all.

    A damaged one is renamed to `<name>.damaged.pt` with a warning. Raises CheckpointError if all are damaged, or the
    sound one is of another version.
    """
    damaged = []
    digests = known_digests(folder)
    for name in names:
        path = folder / f"{name}.pt"
        if not path.exists():
            continue
        if digest_of(path) not in digests:
            aside = folder / f"{name}.damaged.pt"
            try:
                os.replace(path, aside)
            except OSError:  # a folder without write access, which attn-eval reads too
                log.warning("DAMAGED CHECKPOINT: %s does not match its digest; passed over", path)
                damaged.append(str(path))
                continue
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


@contextmanager
def refusing_misfits(folder: Path) -> Iterator[None]:
    """Turn errors of missing or misshapen parts of a checkpoint into CheckpointError: its digest excludes neither."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        if expected(error) is not None:  # out of memory
            raise
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CheckpointError(f"the checkpoint in {folder} does not fit this run ({reason}); train again") from error


def evaluated_weights(state: dict[str, Any]) -> dict[str, Any]:
    """Return the weights that a run is evaluated with: their moving average where it has one."""
    return dict(state["model"] if state["average"] is None else state["average"])
