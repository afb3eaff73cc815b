"""What a finished run leaves: predictions.npz, then result.json, whose presence means finished; pictures come after."""

import json
import logging
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from attn_train.runs import accuracy, finished
from attn_train.training.inference import Evaluation
from attn_train.writing.durable import write_durably
from attn_train.writing.quoting import pasted

log = logging.getLogger(__name__)


def read(folder: Path) -> dict[str, Any] | None:
    """Return the result of the run in `folder`, or None if it has not finished."""
    path = folder / "result.json"
    if not path.exists():
        return None
    result: dict[str, Any] = {}
    try:
        result = finished.load_result(folder)
    except OSError as error:
        log.warning("%s cannot be read (%s): the run counts as unfinished", path, error.strerror)
        return None
    except ValueError:
        pass
    if "epochs" not in result:
        log.warning("%s is damaged: the run counts as unfinished", path)
        return None
    return result


def discard(folder: Path) -> None:
    """Take back the result of a run that goes on for longer: its presence means finished."""
    (folder / "result.json").unlink(missing_ok=True)


def versions() -> dict[str, str]:
    names = ("attn-train", "torch", "torchvision", "numpy", "hydra-core")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return the commit of the checkout that this package runs from, with `+` where it was changed; None elsewhere."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(checkout), *arguments]
        ran = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=10)
        return ran.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def write(folder: Path, values: dict[str, Any], final: Evaluation) -> dict[str, Any]:
    """Write predictions.npz, of the final test, and result.json; return the result: `values`, and what the program and
    its libraries are."""
    found = {**values, "versions": versions(), "commit": commit()}
    logits, labels, index = final.logits.numpy(), final.labels.numpy(), np.arange(final.total)
    write_durably(
        folder / "predictions.npz",
        lambda file: np.savez_compressed(file, logits=logits, labels=labels, index=index),
    )
    text = json.dumps(found, indent=2) + "\n"
    write_durably(folder / "result.json", lambda file: file.write(text.encode()))
    return found


def objective(found: dict[str, Any]) -> float:
    """Return what a sweeper may tune on: validation accuracy where there is one, else test accuracy."""
    return float(found[f"{accuracy.split_of([found])}_accuracy"])


def report(found: dict[str, Any], folder: Path) -> None:
    """Print the last lines of a run."""
    log.info("Accuracy of the model on the %d test images: %.2f %%", found["total"], 100 * found["test_accuracy"])
    log.info("run folder: %s", folder)
    log.info("look at it: %s", pasted("tensorboard", "--logdir", folder))
