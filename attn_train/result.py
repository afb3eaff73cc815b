"""What a finished run leaves: predictions.npz, then result.json, whose presence means finished; pictures come after."""

import json
import logging
import platform
import subprocess
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attn_train import accuracy, config as configuration, cost, identity
from attn_train.device import peak_memory_bytes
from attn_train.durable import write_durably
from attn_train.inference import Evaluation
from attn_train.quoting import pasted
from attn_train.speed import Speed

if TYPE_CHECKING:
    from attn_train.run import Run

log = logging.getLogger(__name__)


def read(folder: Path) -> dict[str, Any] | None:
    """Return the result of the run in `folder`, or None if it has not finished."""
    path = folder / "result.json"
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        log.warning("%s cannot be read (%s): the run counts as unfinished", path, error.strerror)
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict) or "epochs" not in found:
        log.warning("%s is damaged: the run counts as unfinished", path)
        return None
    return found


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
    checkout = Path(__file__).resolve().parent.parent
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


def write(run: "Run", final: Evaluation, speed: Speed) -> dict[str, Any]:
    """Write predictions.npz and result.json of a finished run; return the result."""
    config = run.config
    images = run.splits["test"].images
    found = {
        "model": config.model["name"],
        "control": config.control,
        "backbone": config.backbone["name"],
        "dataset": config.dataset.name,
        "seed": config.seed,
        "epochs": config.train.epochs,
        "test_accuracy": final.accuracy,
        "correct": final.correct,
        "total": final.total,
        "test_loss": final.loss,
        "parameters": cost.count_parameters(run.model),
        "macs": cost.count_macs(run.model, (images.shape[1], images.shape[2], images.shape[3])),
        "attention_places": [list(place) for place in run.model.attention_places],
        "train_seconds": round(run.progress.train_seconds, 3),
        "compile_seconds": round(speed.compile_seconds, 3) if run.device.compile else 0.0,
        "images_per_second": round(speed.steady_rate, 1),
        "peak_memory_bytes": peak_memory_bytes(run.device),
        "device": run.device.kind,
        "precision": run.device.precision,
        "versions": versions(),
        "commit": commit(),
        "data_digest": run.dataset.digest,
        "config_digest": configuration.digest(asdict(config)),
        **identity.summary(asdict(config), run.device.precision),
    }
    if len(run.trained_on) > 1:
        found["data_digests"] = [data.digest for data in run.trained_on]  # it went on with other data
    if "val" in run.splits:
        validated = run.evaluate("val", config.eval.views)
        found |= {"val_accuracy": validated.accuracy, "val_total": validated.total}
    logits, labels, index = final.logits.numpy(), final.labels.numpy(), np.arange(final.total)
    write_durably(
        run.folder / "predictions.npz",
        lambda file: np.savez_compressed(file, logits=logits, labels=labels, index=index),
    )
    text = json.dumps(found, indent=2) + "\n"
    write_durably(run.folder / "result.json", lambda file: file.write(text.encode()))
    return found


def objective(found: dict[str, Any]) -> float:
    """Return what a sweeper may tune on: validation accuracy where there is one, else test accuracy."""
    return float(found[f"{accuracy.split_of([found])}_accuracy"])


def report(found: dict[str, Any], folder: Path) -> None:
    """Print the last lines of a run."""
    log.info("Accuracy of the model on the %d test images: %.2f %%", found["total"], 100 * found["test_accuracy"])
    log.info("run folder: %s", folder)
    log.info("look at it: %s", pasted("tensorboard", "--logdir", folder))
