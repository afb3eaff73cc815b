"""What some fifteen small commands leave, written down, so that a change of the code can be held against it.

  python scripts/outcomes.py record before.json --root DATA
  python scripts/outcomes.py record after.json --root DATA
  python scripts/outcomes.py compare before.json after.json

A record holds, for each command, its exit code, what it printed, and of each run's folder the digest of its
predictions, its metrics and its result, all without times, memory and names that hold a date. Two records of one
machine are equal bit for bit where the code does the same. Without --root the runs on CIFAR-10 are left out. A record
takes some four minutes.
"""

import argparse
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

# One thread and float32: the same sums in the same order.
EXACT = ("device=cpu", "device.precision=float32", "device.threads=1", "device.compile=false")
SMALL = (*EXACT, "dataset=synthetic", "dataset.image_size=16", "train.epochs=2", "train.batch_size=64")
NARROW = (*SMALL, "backbone.widths=[8,16,16]")
RUNS: dict[str, tuple[str, ...]] = {
    "digits": (*EXACT, "dataset=digits", "dataset.image_size=16", "train.epochs=2", "backbone.widths=[8,16,16]"),
    "article": (*SMALL, "backbone=article", "model=self_attention", "optimizer=adam", "schedule=constant"),
    "resnet": (*SMALL, "backbone=resnet", "backbone.width=8", "model=se", "optimizer=sgd", "schedule=cosine"),
    "adamw": (*NARROW, "model=cbam", "optimizer=adamw", "schedule=one_cycle"),
    "control": (*NARROW, "model=gated", "control=parameters"),
    "placebo": (*NARROW, "model=placebo_shuffled"),
    "average": (*NARROW, "train.ema_decay=0.9", "eval.views=6"),
    "mixing": (*NARROW, "dataset.augment.mixup=0.2", "dataset.augment.cutmix=1", "dataset.augment.policy=randaugment"),
    "accumulation": (*NARROW, "train.accumulate=4", "train.clip_norm=1", "train.drop_last=false"),
    "validation": (*NARROW, "dataset.val_size=64", "train.prune=0.25", "train.prune_from=1"),
    "killed": (*NARROW, "train.epochs=12", "train.checkpoint_every=3", "train.log_every=1"),
}
CIFAR = (*EXACT, "dataset=cifar10", "dataset.limit=200", "train.batch_size=250", "train.epochs=2", "eval.views=1")
CLOCK = ("commit", "versions", "train_seconds", "compile_seconds", "images_per_second", "peak_memory_bytes")
# What differs between two runs of one command: dates in names of folders, and what a clock says.
CHANGING = re.compile(
    r"\d{4}-\d\d-\d\d|\d\d-\d\d-\d\d|\d\d:\d\d:\d\d,\d+|_[0-9a-f]{6}\b|[\d.,]+ (?:s|ms|MB|images/s|minutes?)\b"
)
# In tables: seconds and MB behind parameters and multiply-adds, and the last column of a sweep's, its seconds.
MEASURED = re.compile(r"( [\d,]{4,} [\d,]{5,}) [\d.]+ \d+|( \d+\.\d\d %(?: [\d.-]+)?) [\d.]+$", re.MULTILINE)


def command(name: str, folder: Path, *words: str) -> dict[str, Any]:
    """Run attn-NAME in `folder`; return how it ended and what it printed, without what a clock says."""
    program = Path(sys.executable).parent / f"attn-{name}"
    ended = subprocess.run([program, *words], cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)
    printed = re.sub(" +", " ", CHANGING.sub("#", ended.stdout + ended.stderr))
    lines = MEASURED.sub(r"\1\2 #", printed).splitlines()
    return {"code": ended.returncode, "printed": [line for line in lines if "packed" not in line]}


def killed(folder: Path, words: tuple[str, ...]) -> None:
    """Start a run and kill it once it has logged some steps."""
    program = Path(sys.executable).parent / "attn-train"
    process = subprocess.Popen([program, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = folder / "killed" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.read_bytes().count(b"\n") > 20):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def left(run: Path) -> dict[str, Any]:
    """Return what a run's folder holds, without times."""
    with np.load(run / "predictions.npz") as arrays:
        predictions = {name: hashlib.sha256(arrays[name].tobytes()).hexdigest() for name in arrays.files}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    return {
        "predictions": predictions,
        "metrics": [{key: value for key, value in row.items() if key not in CLOCK} for row in rows],
        "result": {key: value for key, value in result.items() if key not in CLOCK},
    }


def record(root: Path | None) -> dict[str, Any]:
    """Run every command; return what each left."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        runs = RUNS if root is None else RUNS | {"cifar10": (*CIFAR, f"dataset.root={root.resolve()}")}
        for name, words in runs.items():
            words = (*words, f"hydra.run.dir={name}")
            if name == "killed":
                killed(folder, words)
            print(name, flush=True)
            found[name] = command("train", folder, *words) | left(folder / name)
        found["eval"] = command("eval", folder, "run=digits", "eval.views=2")
        sweep = ("-m", *NARROW, "model=none,gated", "seed=0,1", "sweep=sweep")
        found["sweep"] = command("train", folder, *sweep)
        found["compare"] = command("compare", folder, "outputs/sweep", "output=compared")
        recipe = f"recipe=[{','.join(NARROW)},train.max_steps=4]"
        found["study"] = command("study", folder, "arms=[none,gated]", recipe, "max_seeds=5", "sweep=study")
        for run in sorted(path.parent for path in folder.glob("outputs/*/*/result.json")):
            found[f"{run.parent.name}/{run.name}"] = left(run)
    return found


def differences(before: Any, after: Any, place: str = "") -> list[str]:
    """Return a line for each place in which two records differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted(before.keys() | after.keys())
        return [line for name in names for line in differences(before.get(name), after.get(name), f"{place}/{name}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = zip(before, after, strict=True)
        return [line for number, pair in enumerate(pairs) for line in differences(*pair, f"{place}[{number}]")]
    return [] if before == after else [f"{place}: {before} before, {after} after"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    recording = parts.add_parser("record", help="run the commands and write down what they leave")
    recording.add_argument("file", type=Path)
    recording.add_argument("--root", type=Path, help="a folder with CIFAR-10")
    comparing = parts.add_parser("compare", help="show where two records differ; exit code 1 where they do")
    comparing.add_argument("files", type=Path, nargs=2)
    given = parser.parse_args()
    if given.part == "record":
        os.environ["OMP_NUM_THREADS"] = "1"
        given.file.write_text(json.dumps(record(given.root), indent=1) + "\n", encoding="utf-8")
        return 0
    before, after = (json.loads(path.read_text(encoding="utf-8")) for path in given.files)
    lines = differences(before, after)
    print("\n".join(lines) or "the same")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
