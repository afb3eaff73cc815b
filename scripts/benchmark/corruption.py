"""How long the corruptions of CIFAR-10's test images take."""

import argparse
import os
import time
from pathlib import Path

from attn_train import build
from attn_train.machine import device
from attn_train.robust.corruptions import CORRUPTIONS, EXTRA, SEVERITIES, corrupt
from attn_train.settings import compose


def measure(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    settings = device.decide("auto", "auto", None, False, None, None, 0)
    device.configure(settings)
    compose.register()
    words = ["dataset=cifar10", f"dataset.root={given.root.resolve()}"]
    config = compose.to_config(compose.compose(words, compose.parse([])))
    images = build.load_splits(config.dataset)[0]["test"].images.to(settings.place)
    seconds: dict[str, list[float]] = {}
    print(f"  {len(images)} images; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name in CORRUPTIONS:
        seconds[name] = []
        for severity in SEVERITIES:
            started = time.perf_counter()
            corrupt(images, name, severity, seed=0)
            device.synchronize(settings)
            seconds[name].append(time.perf_counter() - started)
        shown = " ".join(f"{each:6.2f}" for each in seconds[name])
        print(f"  {name:17} {shown}  seconds at severity 1 to 5", flush=True)
    total = sum(sum(seconds[name]) for name in CORRUPTIONS if CORRUPTIONS[name].group != EXTRA)
    print(f"  all {len(SEVERITIES)} severities of the fifteen: {total:.0f} s, {settings.threads} threads")
    return {"seconds": seconds, "fifteen": total, "load": os.getloadavg()[0]}
