"""Accuracy and seconds of many seeds in one process, compilation and start apart: here and by airbench94_muon."""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import race

from attn_train import build
from attn_train.machine.speed import Speed
from attn_train.settings import compose
from attn_train.training.inference import Evaluator
from attn_train.training.journal import Journal
from attn_train.training.loop import fit


def train_and_test(words: list[str]) -> tuple[float, float]:
    """Train a run that leaves nothing behind; return its test accuracy in per cent, and the seconds of training and of
    the final test."""
    compose.register()
    config = compose.to_config(compose.compose(words, compose.parse([])))
    training = build.make_training(config)
    trainer, batches = training.trainer, training.batches
    schedule = build.make_schedule(config, sum(map(batches.steps, range(config.train.epochs))))
    speed = Speed(trainer.device)
    fit(trainer, schedule, batches, training.step, evaluate=None, journal=Journal(), speed=speed)
    evaluate = Evaluator(trainer, training.splits, batches.normalization, config.eval.batch_size)
    started = time.perf_counter()
    outcome = evaluate("test", config.eval.views, config.dataset.image_size)
    return 100 * outcome.accuracy, speed.seconds + time.perf_counter() - started


def airbench_seeds(script: Path, folder: Path, first: int, count: int) -> list[tuple[float, float]]:
    words = [
        sys.executable,
        str(Path(__file__).with_name("airbench.py")),
        str(script.resolve()),
        str(first),
        str(count),
    ]
    started = time.perf_counter()
    ran = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    found = [tuple(map(float, line.split())) for line in ran.stdout.splitlines()[-count:]]
    print(f"  airbench94_muon: {time.perf_counter() - started:.1f} s in all, its warm-up included", flush=True)
    return found  # type: ignore[return-value]


def measure(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    root = given.root.resolve()
    found: dict[str, object] = {}
    if given.airbench is not None:
        race.write_for_airbench(root, folder)
        report("airbench94_muon", airbench_seeds(given.airbench, folder, given.first_seed, given.seeds), found)
    for model in given.models.split(","):
        words = [f"model={model}", "dataset=cifar10", f"dataset.root={root}", f"+experiment={given.experiment}"]
        words += ["device.compile=true", *given.words.split()]
        started = time.perf_counter()
        train_and_test([*words, f"seed={given.first_seed}"])
        print(f"  {model}: warm-up {time.perf_counter() - started:.1f} s", flush=True)
        seeds = range(given.first_seed, given.first_seed + given.seeds)
        report(model, [train_and_test([*words, f"seed={seed}"]) for seed in seeds], found)
    return found


def report(name: str, runs: list[tuple[float, float]], found: dict[str, object]) -> None:
    accuracies, seconds = ([run[at] for run in runs] for at in (0, 1))
    found[name] = {"accuracies": accuracies, "seconds": seconds}
    mean, spread = statistics.fmean(accuracies), race.deviation(accuracies)
    print(f"  {name}: {mean:.2f} % +- {spread:.2f}, n={len(runs)}; training and final test ", end="")
    print(f"{statistics.median(seconds):.3f} s (median; {min(seconds):.3f} to {max(seconds):.3f})", flush=True)
