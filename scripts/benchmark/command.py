"""Run attn-train as a user does, in a process of its own, and read what it leaves."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ATTN_TRAIN = str(Path(sysconfig.get_path("scripts")) / "attn-train")
EPOCH = re.compile(r"epoch (\d+)/\d+ .* test loss \S+ accuracy (\S+) %")


@dataclass
class Finished:
    """A run: its result.json, and the seconds from Enter to each epoch's test and to the end."""

    result: dict[str, Any]
    epochs: list[tuple[float, float]]  # seconds, accuracy in per cent
    seconds: float


def train(folder: Path, name: str, *words: str, fresh_compiler: bool = False) -> Finished:
    """Train in `folder`/`name`; end the benchmark where that fails.

    With `fresh_compiler` nothing that was compiled before is found again.
    """
    run = folder / name
    environment = dict(os.environ)
    if fresh_compiler:
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(folder / f"compiled_{name}")
    started = time.perf_counter()
    epochs = []
    command = [ATTN_TRAIN, *words, f"hydra.run.dir={run}"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, encoding="utf-8", env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if match := EPOCH.search(line):
                epochs.append((time.perf_counter() - started, float(match[2])))
    if process.returncode:
        sys.exit(f"benchmark: attn-train {' '.join(words)} ended with {process.returncode}")
    seconds = time.perf_counter() - started
    return Finished(json.loads((run / "result.json").read_text(encoding="utf-8")), epochs, seconds)
