"""Run a measurement in a process of its own, and say how it ended: no cell ends the bench."""

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

# Seconds that a process may take to import torch and to count, which the cell's own limit leaves out.
START_LIMIT = 300.0

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def start(order: dict[str, Any], errors: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start the process for `order`, in a session of its own: Ctrl-C is for the bench, which then ends it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
    process = child.start("-m", "attn_train.cost.bench.measure", **pipes, start_new_session=True)
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(order).encode())
        process.stdin.close()
    except OSError:
        pass  # it has ended already; how, its exit status says
    return process


def listen(stream: IO[bytes], told: "queue.Queue[dict[str, Any] | None]") -> None:
    """Put each JSON object that arrives into a queue, and None at the end."""
    for line in stream:
        try:
            told.put(json.loads(line))
        except ValueError:
            break  # cut off by its end
    told.put(None)


def run(order: dict[str, Any], stopped: Callable[[], bool]) -> dict[str, Any] | None:
    """Run the measurement that `order` describes; return what it found with its `status` and `reason`, None if
    `stopped` said so meanwhile.

    The status is ok, out of memory, too slow, killed, refused or failed. What was found before stays.
    """
    outcome: dict[str, Any] = {}
    told: queue.Queue[dict[str, Any] | None] = queue.Queue()
    with tempfile.TemporaryFile() as errors:
        process = start(order, errors)
        assert process.stdout is not None
        reader = threading.Thread(target=listen, args=(process.stdout, told), daemon=True)
        reader.start()
        deadline = time.monotonic() + START_LIMIT
        try:
            while True:
                if stopped():
                    return None
                if time.monotonic() > deadline:
                    begun = "stage" in outcome
                    outcome |= {"status": "too slow", "reason": f"more than {order['time_limit']:g} s"}
                    return outcome if begun else {**outcome, "status": "failed", "reason": "its process does not start"}
                try:
                    message = told.get(timeout=0.1)
                except queue.Empty:
                    continue
                if message is None:
                    break
                if "stage" in message and "stage" not in outcome:
                    deadline = time.monotonic() + order["time_limit"]
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
