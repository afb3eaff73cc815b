"""From how many steps on torch.compile earns its time back: what `device.compile=auto` is set by."""

import argparse
import math
from pathlib import Path

import command

STEPS = 40
# Each network at a batch that suits it.
NETWORKS = {
    "article, batch 128": ["+experiment=article"],
    "fast, batch 2000": ["backbone=fast", "train.batch_size=2000", "train.resolution=[1]"],
    "resnet 20, batch 128": ["backbone=resnet", "train.batch_size=128", "train.resolution=[1]"],
}


def measure(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for network, words in NETWORKS.items():
        for model in given.models.split(","):
            ran = {}
            for compiled in (False, True):
                common = [f"model={model}", "dataset=cifar10", f"dataset.root={given.root.resolve()}", "eval.views=1"]
                common += [*words, f"train.max_steps={STEPS}", f"device.compile={str(compiled).lower()}"]
                name = f"{model}_{network.split(',')[0].replace(' ', '')}_{compiled}"
                ran[compiled] = command.train(folder, name, *common, fresh_compiler=True).result
            batch = int(network.rsplit(maxsplit=1)[1])
            eager, compiled_rate = (ran[one]["images_per_second"] for one in (False, True))
            saved = batch / eager - batch / compiled_rate  # seconds a step
            cost = ran[True]["compile_seconds"]
            from_steps = math.ceil(cost / saved) if saved > 0 else None
            found[f"{network}, {model}"] = {
                "eager": eager,
                "compiled": compiled_rate,
                "compile_seconds": cost,
                "pays_from_steps": from_steps,
            }
            pays = "never pays" if from_steps is None else f"pays from {from_steps} steps on"
            print(f"  {network}, {model}: eager {eager:.0f}, compiled {compiled_rate:.0f} images/s, ", end="")
            print(f"compiled in {cost:.0f} s: {pays}", flush=True)
    return found
