"""The result of a finished run: predictions.npz, then result.json, whose presence means that the run has finished."""

import json
import logging
import platform
import subprocess
from contextlib import suppress
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
    """Remove the result of a run that is trained further."""
    (folder / "result.json").unlink(missing_ok=True)


def versions() -> dict[str, str]:
    """Return the versions of Python, this program and its main libraries, as far as they are installed."""
    installed = {"python": platform.python_version()}
    for name in ("attn-train", "torch", "torchvision", "numpy", "hydra-core"):
        with suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    return installed


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
    """Write predictions.npz, of the final evaluation, and result.json; return the result, `values` with the versions
    and the commit of the program."""
    result = {**values, "versions": versions(), "commit": commit()}
    logits, labels, index = final.logits.numpy(), final.labels.numpy(), np.arange(final.total)
    write_durably(
        folder / "predictions.npz",
        lambda file: np.savez_compressed(file, logits=logits, labels=labels, index=index),
    )
    text = json.dumps(result, indent=2) + "\n"
    write_durably(folder / "result.json", lambda file: file.write(text.encode()))
    return result


def objective(result: dict[str, Any]) -> float:
    """Return the accuracy that a sweeper may tune on: that on validation images if there are any, else on test ones."""
    return float(result[f"{accuracy.split_of([result])}_accuracy"])


def report(result: dict[str, Any], folder: Path) -> None:
    """Print the last lines of a run."""
    log.info("Accuracy of the model on the %d test images: %.2f %%", result["total"], 100 * result["test_accuracy"])
    log.info("run folder: %s", folder)
    log.info("look at it: %s", pasted("tensorboard", "--logdir", folder))
