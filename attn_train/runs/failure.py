"""Why a run failed, as its folder tells: failure.json, of the last attempt, gone once the run goes on."""

import json
import logging
import time
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from attn_train import errors
from attn_train.writing.durable import write_utf8

NAME = "failure.json"
# The exit codes of what a run does to itself, and not what it was given or where: an error nobody expected, a loss that
# is not finite.
OWN = (1, 4)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """How a run failed, and when, in seconds since 1970."""

    reason: str
    exit_code: int
    time: float


def describe(error: BaseException, secret: str | None = None) -> Failure:
    """Return how a job failed by `error`, without `secret` in the reason; log the traceback of an unexpected error."""
    expected = errors.expected(error)
    if expected is None:
        log.error("%s", "".join(traceback.format_exception(error)))
    reason = str(expected or f"unexpected {type(error).__name__}: {error}")
    if secret:
        reason = reason.replace(secret, "dataset.url")
    return Failure(reason, expected.exit_code if expected else 1, time.time())


def read(folder: Path) -> Failure | None:
    """Return how the run in `folder` failed; None where nothing readable says so."""
    try:
        values = json.loads((folder / NAME).read_bytes())
        return Failure(str(values["reason"]), int(values.get("exit_code", 1)), float(values.get("time", 0)))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(folder: Path, failure: Failure) -> None:
    write_utf8(folder / NAME, json.dumps(asdict(failure)) + "\n")


def record(folder: Path, error: Exception) -> None:
    """Leave in the folder of a run why it failed, where it had begun and failed by itself: that counts against its
    arm."""
    expected = errors.expected(error)
    if expected is not None and expected.exit_code in OWN and (folder / "config.yaml").exists():
        with suppress(OSError):
            write(folder, describe(error))


def discard(folder: Path) -> None:
    """Remove the failure of an earlier attempt."""
    (folder / NAME).unlink(missing_ok=True)
