"""Run a measurement in a process of its own, so that no cell can end the bench."""

import json
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from typing import IO, Any

from attn_train.machine import child

START_LIMIT = 300.0  # seconds to import torch and to count, besides the cell's own time limit

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def start(task: dict[str, Any], errors: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start the process for `task`, in a session of its own: Ctrl-C reaches only the bench, which then ends it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
    process = child.start("-m", "attn_train.cost.bench.measure", **pipes, start_new_session=True)
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(task).encode())
        process.stdin.close()
    except OSError:
        pass  # it has ended already; its exit status says how
    return process


def listen(stream: IO[bytes], messages: "queue.Queue[dict[str, Any] | None]") -> None:
    """Put each JSON object that arrives into a queue, and None at the end."""
    for line in stream:
        try:
            messages.put(json.loads(line))
        except ValueError:
            break  # cut off when the process ended
    messages.put(None)


def run(task: dict[str, Any], stopped: Callable[[], bool]) -> dict[str, Any] | None:
    """Run the measurement that `task` describes; return its figures with `status` and `reason`, None if `stopped`.

    The status is ok, out of memory, too slow, killed, refused or failed. Figures known before a failure are kept.
    """
    outcome: dict[str, Any] = {}
    messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
    with tempfile.TemporaryFile() as errors:
        process = start(task, errors)
        assert process.stdout is not None
        reader = threading.Thread(target=listen, args=(process.stdout, messages), daemon=True)
        reader.start()
        deadline = time.monotonic() + START_LIMIT
        try:
            while True:
                if stopped():
                    return None
                if time.monotonic() > deadline:
                    begun = "stage" in outcome
                    outcome |= {"status": "too slow", "reason": f"more than {task['time_limit']:g} s"}
                    return outcome if begun else {**outcome, "status": "failed", "reason": "its process does not start"}
                try:
                    message = messages.get(timeout=0.1)
                except queue.Empty:
                    continue
                if message is None:
                    break
                if "stage" in message and "stage" not in outcome:
                    deadline = time.monotonic() + task["time_limit"]
                outcome |= message
            process.wait(timeout=60)
        finally:
            process.send_signal(KILL)
            process.wait()
            reader.join()
            process.stdout.close()
        return outcome if "status" in outcome else outcome | ending(process.returncode, errors)


def ending(code: int, errors: IO[bytes]) -> dict[str, str]:
    """Say how a process ended that did not say so itself."""
    if code < 0:
        return {"status": "killed", "reason": f"by {signal.Signals(-code).name}"}
    return {"status": "failed", "reason": child.last_line(errors) or f"its process ended with exit code {code}"}
