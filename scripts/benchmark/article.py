"""The article's network, batch, optimiser and pictures: here, and in the article's own script."""

import argparse
import importlib.util
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import command
import torch
import torch.nn.functional as F

from attn_train import build
from attn_train.machine import device as devices
from attn_train.machine.compiled import compile_model
from attn_train.settings import compose
from attn_train.training.step import TrainingStep

BATCH = 128
STEPS = 150  # here; the first is left out of the rate
TRAINED = re.compile(r"(\d+) s of training so far")


def script_rate(script: Path, root: Path, batches: int) -> float:
    """Return the training images a second of the article's script over one run of so many batches; it counts in whole
    seconds."""
    words = [sys.executable, str(script), str(root / "cifar10"), "--epochs", "1", "--batches", str(batches)]
    words += ["--threads", str(devices.usable_threads())]
    ran = subprocess.run(words, stdout=subprocess.PIPE, encoding="utf-8")
    match = TRAINED.search(ran.stdout)
    if match is None or match[1] == "0":
        sys.exit(f"benchmark: {' '.join(words)} ended with {ran.returncode} and no seconds of training")
    return batches * BATCH / float(match[1])


def measure(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    root, pairs = given.root.resolve(), []
    words = [
        "model=gated",
        "dataset=cifar10",
        f"dataset.root={root}",
        "+experiment=article",
        f"train.max_steps={STEPS}",
        "device.compile=true",  # as device=auto has it for the article's ten epochs, but not for so few steps
    ]
    for number in range(given.pairs):
        theirs = script_rate(given.article_script, root, given.batches)
        ran = command.train(folder, f"article{number}", *words).result
        pairs.append({"script": theirs, "here": ran["images_per_second"], "compile_seconds": ran["compile_seconds"]})
        print(
            f"  script {theirs:.1f} images/s, here {pairs[-1]['here']:.1f} ({ran['precision']}, compiled in "
            f"{ran['compile_seconds']:.0f} s): {pairs[-1]['here'] / theirs:.2f} times",
            flush=True,
        )
    ratio = statistics.median(pair["here"] / pair["script"] for pair in pairs)
    print(f"  median of {len(pairs)} pairs: {ratio:.2f} times")
    return {"pairs": pairs, "ratio": ratio}


def load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compare_first_epoch(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Train one epoch with the script's network in float32 and one with ours as `device=auto` has it, compiled, from
    the same weights on the same batches."""
    words = ["model=gated", "dataset=cifar10", f"dataset.root={given.root.resolve()}", "+experiment=article"]
    compose.register()
    config = compose.to_config(compose.compose(words, compose.parse([])))
    source = build.make_source(config.dataset)
    splits, _ = build.load_splits(config.dataset)
    normalization = build.make_normalization(config.dataset, source.channels)
    batches = build.make_batches(config, splits["train"], normalization, len(source.classes))
    torch.manual_seed(0)
    theirs = load_module(given.article_script).AttentionNet()
    ours = build.make_model(config, source.channels, len(source.classes))
    weights = list(theirs.state_dict().values())
    ours.load_state_dict(dict(zip(ours.state_dict(), weights, strict=True)))
    settings = devices.decide("cpu", "auto", None, True, None, None, 0)
    devices.configure(settings)
    ours = ours.to(memory_format=settings.memory_format)
    optimizer = build.make_optimizer_for(config, ours)
    step = TrainingStep(ours, compile_model(ours, "article"), optimizer, settings, BATCH, 1, None, 0.0)
    reference = torch.optim.Adam(theirs.parameters(), lr=0.001)
    means = {}
    for name in ("here", "script"):
        losses, started = [], time.perf_counter()
        for images, labels in batches.epoch(0):
            if name == "here":
                loss, _, _ = step(images, labels, None)
            else:
                loss = F.cross_entropy(theirs(images), labels)
                reference.zero_grad()
                loss.backward()
                reference.step()
            losses.append(loss.item())
        means[name] = statistics.fmean(losses)
        print(f"  {name}: mean loss {means[name]:.4f} over {len(losses)} steps, {time.perf_counter() - started:.0f} s")
    difference = means["here"] / means["script"] - 1
    print(f"  difference {100 * difference:+.2f} %")
    return {**means, "difference": difference}
