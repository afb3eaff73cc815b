"""How long a user waits: for --help, and from Enter to the end of the first step."""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from command import ATTN_TRAIN


def help_seconds() -> float:
    started = time.perf_counter()
    subprocess.run([ATTN_TRAIN, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def first_step_seconds(folder: Path, root: Path, compile: bool) -> float:
    """Return the seconds from Enter until the first step's row stands in metrics.jsonl."""
    run = folder / "start"
    shutil.rmtree(run, ignore_errors=True)
    words = ["dataset=cifar10", f"dataset.root={root}", "train.max_steps=2", "train.log_every=1"]
    words += [f"device.compile={str(compile).lower()}", "eval.views=1", f"hydra.run.dir={run}"]
    started = time.perf_counter()
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(root / "compiled")}
    process = subprocess.Popen([ATTN_TRAIN, *words], cwd=folder, stdout=subprocess.DEVNULL, env=environment)
    metrics = run / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size) and process.poll() is None:
        time.sleep(0.01)
    seconds = time.perf_counter() - started
    process.kill()
    process.wait()
    if not metrics.exists():
        sys.exit(f"benchmark: attn-train {' '.join(words)} ended before its first step")
    return seconds


def measure(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    found: dict[str, object] = {"help_seconds": statistics.median(help_seconds() for _ in range(5))}
    print(f"  attn-train --help: {found['help_seconds']:.2f} s (median of 5)")
    for compile in (False, True):
        with tempfile.TemporaryDirectory() as fresh:
            # The images alone, so that nothing is packed yet.
            source = Path(fresh) / "cifar10"
            source.symlink_to(given.root.resolve() / "cifar10")
            kind = "compiled" if compile else "eager"
            for state in ("cold", "warm"):
                seconds = first_step_seconds(folder, Path(fresh), compile)
                found[f"{kind}_{state}_seconds"] = seconds
                print(f"  from Enter to the first step, {kind}, {state}: {seconds:.1f} s")
    return found
