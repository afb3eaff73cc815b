"""What a run survives, at length: kills, sweeps, a soak, a fuzz. Not a test: it takes minutes to hours.

    python scripts/torture.py kills --kills 500
    python scripts/torture.py sweep200 side_by_side
    python scripts/torture.py soak --minutes 30
    python scripts/torture.py fuzz --overrides 2000 --runs 60
    python scripts/torture.py checkpoint

Each part prints its figures and ends the command with 1 where one is not what it must be. Linux only. Leave the code
and conf/ alone meanwhile.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz
import numpy as np
import torch

from attn_train import cli
from attn_train.errors import CheckpointError
from attn_train.runs import checkpoint
from attn_train.runs.journal import FolderJournal

TINY = (
    "+experiment=smoke",
    "device=cpu",
    "device.precision=float32",
    "device.channels_last=false",
    "device.threads=1",
    "backbone.widths=[8,8,8]",
)
KILLED = (*TINY, "train.epochs=6", "train.max_steps=null", "train.batch_size=16", "train.checkpoint_every=1")
VARIANTS = (
    ("optimizer=adam", "train.prune=0.25", "train.prune_from=2"),
    ("optimizer=muon", "schedule=one_cycle"),
    ("optimizer=sgd", "schedule=cosine", "train.drop_last=false", "train.batch_size=20"),
    ("optimizer=adamw", "schedule=constant", "dataset.augment.policy=trivialaugment", "train.ema_decay=0"),
)
# The commit too: somebody may make one meanwhile.
CLOCK = ("commit", "train_seconds", "compile_seconds", "images_per_second", "peak_memory_bytes")


def fork(folder: Path, words: tuple[str, ...] | list[str], prepare: Callable[[], None] = lambda: None) -> int:
    """Start attn-train in a forked process, its output in `folder`.out and .err; return its number.

    A fork has everything imported, which saves seconds a run; nothing may have computed before, as threads do not
    survive it.
    """
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        for name, stream in (("out", 1), ("err", 2)):
            os.dup2(os.open(f"{folder}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        prepare()
        os.chdir(folder.parent)
        sys.argv = ["attn-train", *words]
        cli.train()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def wait(child: int, seconds: float) -> int | None:
    """Return the exit code of a child (negative: the signal), or None where it lives on after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def outcome(folder: Path) -> dict[str, Any]:
    """Return all that a run left, without what the clock and the machine decide."""
    state = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    state["progress"].pop("train_seconds")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    with np.load(folder / "predictions.npz") as arrays:
        predictions = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    return {
        "state": state,
        "rows": [{key: value for key, value in row.items() if key not in CLOCK} for row in rows],
        "result": {key: value for key, value in result.items() if key not in CLOCK},
        "predictions": predictions,
    }


def newest(folder: Path) -> int:
    """Return the step of the newest sound checkpoint, -1 without any; raise CheckpointError where all are damaged."""
    state = checkpoint.load(folder / "checkpoints") if (folder / "checkpoints").exists() else None
    return -1 if state is None else state["step"]


def kills(folder: Path, options: argparse.Namespace, draw: random.Random) -> bool:
    """Kill runs at random moments, go on, and compare what comes out with the run that was left alone."""
    expected, duration = [], 0.0
    for number, variant in enumerate(VARIANTS):
        begun = time.monotonic()
        place = folder / f"reference{number}"
        assert wait(fork(place, (*KILLED, *variant, f"hydra.run.dir={place}")), 300) == 0, place
        duration = max(duration, time.monotonic() - begun)
        expected.append(outcome(place))
    done = lost = differing = runs = 0
    while done < options.kills:
        number, place, kept = draw.randrange(len(VARIANTS)), folder / f"killed{runs}", -1
        words = (*KILLED, *VARIANTS[number], f"hydra.run.dir={place}")
        for _ in range(draw.randint(1, 4)):
            child = fork(place, words)
            if wait(child, draw.uniform(0, duration)) is not None:
                break
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            done += 1
            try:
                step = newest(place)
            except CheckpointError:
                step = -2
            lost += step < kept
            kept = max(kept, step)
        code = wait(fork(place, words), 300)
        runs += 1
        found = outcome(place) if code == 0 else {}
        if parts := [key for key, value in expected[number].items() if not same(found.get(key), value)]:
            differing += 1
            print(f"  exit code {code}; {' and '.join(parts)} differ: {' '.join(words)}")
        shutil.rmtree(place)
    print(f"kills: {done} kills of {runs} runs, {lost} lost checkpoints, {differing} differing results")
    return not lost and not differing


def look(process: int) -> tuple[float, int]:
    """Return the resident memory (MB) and the number of open files of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(os.listdir(f"/proc/{process}/fd"))


def watch(process: "subprocess.Popen[bytes]", seconds: float) -> list[tuple[float, int]]:
    """Look at a process twice a second until it ends, or so many seconds have passed."""
    seen, deadline = [], time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            seen.append(look(process.pid))
        except OSError:
            break
        time.sleep(0.5)
    return seen


def flat(name: str, seen: list[tuple[float, int]], limit: float) -> bool:
    """Print memory and open files over time; say whether the last quarter lies within `limit` of the second."""
    quarter = max(1, len(seen) // 4)
    early, late = seen[quarter : 2 * quarter] or seen[:1], seen[-quarter:]
    memory = [statistics.median(one for one, _ in part) for part in (early, late)]
    files = [statistics.median(count for _, count in part) for part in (early, late)]
    growth = memory[1] / memory[0] - 1
    print(
        f"{name}: {len(seen)} looks; memory {memory[0]:.0f} MB in the second quarter, {memory[1]:.0f} MB in the last "
        f"({100 * growth:+.2f} %); open files {files[0]:g}, {files[1]:g}"
    )
    return growth <= limit and files[1] <= files[0]


def start(folder: Path, *words: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", "from attn_train import cli; cli.train()", *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def sweep200(folder: Path, options: argparse.Namespace, draw: random.Random) -> bool:
    """Train many short jobs in one sweep, in one process."""
    begun = time.monotonic()
    process = start(folder, "-m", *TINY, "sweep=many", f"seed=range({options.jobs})")
    seen = watch(process, 86400)
    results = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("outputs/many/*/result.json")]
    seeds = {found["seed"] for found in results}
    print(
        f"sweep200: exit code {process.wait()}, {len(results)} results of {options.jobs} jobs, "
        f"{time.monotonic() - begun:.0f} s"
    )
    return flat("sweep200", seen, 0.02) and seeds == set(range(options.jobs)) and process.returncode == 0


def side_by_side(folder: Path, options: argparse.Namespace, draw: random.Random) -> bool:
    """Train four sweeps of the same jobs at once in one output folder: each must leave the same."""
    names = ("one", "two", "three", "four")
    words = ("-m", *TINY, "model=none,gated", "seed=0,1,2,3")
    codes = [process.wait() for process in [start(folder, *words, f"sweep={name}") for name in names]]
    jobs = {name: sorted(path.parent.name for path in folder.glob(f"outputs/{name}/*/result.json")) for name in names}
    mixed = sum(
        not same(outcome(folder / "outputs" / name / job), outcome(folder / "outputs" / "one" / job))
        for name in names[1:]
        for job in jobs[name]
    )
    found = [len(one) for one in jobs.values()]
    print(f"side_by_side: exit codes {codes}, results {found} of 8 each, {mixed} differ from the first sweep's")
    return not any(codes) and found == [8] * 4 and not mixed


def soak(folder: Path, options: argparse.Namespace, draw: random.Random) -> bool:
    """Train one small run for minutes, then stop it."""
    place = folder / "soak"
    words = (*TINY, "train.max_steps=null", "train.epochs=20000", "train.batch_size=16", "model=gated")
    process = start(folder, *words, f"hydra.run.dir={place}", "train.checkpoint_every=5")
    seen = watch(process, 60 * options.minutes)
    process.send_signal(signal.SIGTERM)
    code = process.wait()
    print(f"soak: {options.minutes:g} minutes to step {newest(place)}, exit code {code}")
    return flat("soak", seen, 0.02) and code == 143


def checkpoint_cost(folder: Path, options: argparse.Namespace, draw: random.Random) -> bool:
    """Measure what checkpoints cost at the default interval, on images like CIFAR's with the default network."""
    took: list[float] = []
    save = FolderJournal.save

    def timed(self: FolderJournal, name: str) -> None:
        begun = time.perf_counter()
        save(self, name)
        took.append(time.perf_counter() - begun)

    words = ("dataset=synthetic", "backbone=fast", "device=cpu", "device.compile=false", "train.batch_size=500")
    FolderJournal.save = timed  # type: ignore[method-assign]
    sys.argv = [
        "attn-train",
        *words,
        "train.max_steps=3",
        "train.epochs=3",
        "train.eval_every=9",
        f"hydra.run.dir={folder / 'cost'}",
    ]
    cli.train()
    found = json.loads((folder / "cost" / "result.json").read_text(encoding="utf-8"))
    # The recipe for CIFAR-10 has 50,000 images to an epoch, and saves at its end: more often than every 100 steps.
    epoch, one = 50_000 / found["images_per_second"], statistics.median(took)
    share = one / epoch
    print(f"checkpoint: {one:.3f} s each (median of {len(took)}), an epoch takes {epoch:.0f} s: {100 * share:.2f} %")
    return share < 0.02


PARTS = {
    "kills": kills,
    "sweep200": sweep200,
    "side_by_side": side_by_side,
    "soak": soak,
    "fuzz": lambda folder, options, draw: fuzz.fuzz(folder, options.overrides, options.runs, draw, fork, wait),
    "checkpoint": checkpoint_cost,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--kills", type=int, default=500, help="of the part kills")
    parser.add_argument("--jobs", type=int, default=200, help="of the part sweep200")
    parser.add_argument("--minutes", type=float, default=30, help="of the part soak")
    parser.add_argument("--overrides", type=int, default=2000, help="of the part fuzz: composed and checked only")
    parser.add_argument("--runs", type=int, default=60, help="of the part fuzz: whole runs")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="what is drawn")
    options = parser.parse_args()
    print(f"--seed {options.seed}", flush=True)
    sound = True
    for name in options.parts:
        with tempfile.TemporaryDirectory(prefix="torture_", ignore_cleanup_errors=True) as folder:
            sound &= PARTS[name](Path(folder), options, random.Random(options.seed))
            sys.stdout.flush()
    sys.exit(not sound)


if __name__ == "__main__":
    main()
