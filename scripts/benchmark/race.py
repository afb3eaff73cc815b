"""Seconds from Enter to each accuracy: this project's recipe, and airbench94_muon where it is given."""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import command
import torch

from attn_train.data.sources import DATASETS
from attn_train.machine import device

THRESHOLDS = (66.6, 70.0, 90.0, 94.0)  # per cent; the first is the best that the article's recipe has at any epoch


def reached(runs: list[command.Finished], threshold: float) -> float | None:
    """Return the mean seconds to the first epoch whose mean test accuracy over the runs is at least `threshold`."""
    for at in zip(*(run.epochs for run in runs), strict=True):
        if statistics.fmean(accuracy for _, accuracy in at) >= threshold:
            return statistics.fmean(seconds for seconds, _ in at)
    return None


def deviation(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else float("nan")


def airbench_run(script: Path, folder: Path, seed: int) -> tuple[float, float]:
    """Run airbench's recipe once in a process of its own; return its accuracy in per cent and the seconds in all."""
    peer = Path(__file__).with_name("airbench.py")
    started = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, str(peer), str(script.resolve()), str(seed)],
        cwd=folder,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": str(device.usable_threads())},
    )
    return float(ran.stdout.split()[-1]), time.perf_counter() - started


def measure(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    root = given.root.resolve()
    runs: dict[str, list[command.Finished]] = {model: [] for model in given.models.split(",")}
    theirs: list[tuple[float, float]] = []
    if given.airbench is not None:
        write_for_airbench(root, folder)
    for seed in range(
        given.first_seed, given.first_seed + given.seeds
    ):  # in turn, so that a machine that drifts slows all alike
        if given.airbench is not None:
            theirs.append(airbench_run(given.airbench, folder, seed))
            print(f"  airbench94_muon, seed {seed}: {theirs[-1][0]:.2f} %, {theirs[-1][1]:.1f} s in all", flush=True)
        for model, finished in runs.items():
            words = [f"model={model}", "dataset=cifar10", f"dataset.root={root}", f"seed={seed}"]
            words += [f"+experiment={given.experiment}", *given.words.split()]
            finished.append(command.train(folder, f"race_{model}_{seed}", *words))
            run = finished[-1]
            print(
                f"  {model}, seed {seed}: {100 * run.result['test_accuracy']:.2f} %, {run.seconds:.1f} s in all, "
                f"{run.result['train_seconds']:.1f} s of training, {run.result['compile_seconds']:.1f} s of it "
                "compilation",
                flush=True,
            )
    found: dict[str, object] = {}
    if theirs:
        accuracies, seconds = [list(one) for one in zip(*theirs, strict=True)]
        found["airbench94_muon"] = {"accuracies": accuracies, "seconds": seconds}
        print(summary("airbench94_muon", accuracies, seconds))
    for model, finished in runs.items():
        accuracies = [100 * run.result["test_accuracy"] for run in finished]
        seconds = [run.seconds for run in finished]
        at = {f"{threshold:.1f}": reached(finished, threshold) for threshold in THRESHOLDS}
        found[model] = {"accuracies": accuracies, "seconds": seconds, "seconds_to": at}
        print(summary(model, accuracies, seconds))
        listed = ", ".join(f"{key} % {'never' if value is None else f'{value:.0f} s'}" for key, value in at.items())
        print(f"    from Enter to a mean test accuracy of: {listed}")
        if theirs:
            ratio = statistics.median(mine / other for mine, (_, other) in zip(seconds, theirs, strict=True))
            print(f"    {ratio:.2f} times the seconds of airbench94_muon (median of {len(theirs)} pairs)")
    return found


def summary(name: str, accuracies: list[float], seconds: list[float]) -> str:
    mean, spread = statistics.fmean(accuracies), deviation(accuracies)
    return f"  {name}: {mean:.2f} % +- {spread:.2f}, n={len(seconds)}; median {statistics.median(seconds):.0f} s in all"


def write_for_airbench(root: Path, folder: Path) -> None:
    """Write the images in the form that airbench keeps them in, so that it downloads nothing."""
    source = DATASETS["cifar10"](root=root, download=False, url=None, digest=None, image_size=32, time_limit=60.0)
    dataset = source.load()
    (folder / "cifar10").mkdir(exist_ok=True)
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        images = split.images.permute(0, 2, 3, 1).contiguous()
        content = {"images": images, "labels": split.labels, "classes": list(dataset.classes)}
        torch.save(content, folder / "cifar10" / f"{name}.pt")
