"""From how many steps on torch.compile earns its time back: what `device.compile=auto` is set by."""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import command

from attn_train.machine import device


@dataclass(frozen=True)
class Network:
    """What is trained, in a batch that suits it, for how many steps."""

    words: list[str]
    batch: int
    steps: int


NETWORKS = {
    "article": Network(["+experiment=article"], 128, 100),
    "fast": Network(["backbone=fast", "train.resolution=[1]"], 1000, 12),
    "resnet 20": Network(["backbone=resnet", "train.resolution=[1]"], 128, 40),
}


TIMES_AS_MANY = {"cpu": 1, "cuda": 20, "mps": 4}  # steps, where each is so much shorter


def measure(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    kind = device.decide("auto", "auto", None, False, None, None, 0).kind
    for name, network in NETWORKS.items():
        steps = network.steps * TIMES_AS_MANY[kind]
        for model in given.models.split(","):
            ran = {}
            for compiled in (False, True):
                common = [f"model={model}", "dataset=cifar10", f"dataset.root={given.root.resolve()}", "eval.views=1"]
                common += [*network.words, f"train.batch_size={network.batch}", f"train.max_steps={steps}"]
                common += [f"device.compile={str(compiled).lower()}"]
                run = f"{model}_{name.replace(' ', '')}_{compiled}"
                ran[compiled] = command.train(folder, run, *common, fresh_compiler=True).result
            eager, compiled_rate = (ran[one]["images_per_second"] for one in (False, True))
            saved = network.batch / eager - network.batch / compiled_rate  # seconds a step
            cost = ran[True]["compile_seconds"]
            from_steps = math.ceil(cost / saved) if saved > 0 else None
            found[f"{name}, {model}"] = {
                "eager": eager,
                "compiled": compiled_rate,
                "compile_seconds": cost,
                "pays_from_steps": from_steps,
            }
            pays = "never pays" if from_steps is None else f"pays from {from_steps} steps on"
            print(f"  {name}, batch {network.batch}, {model}: eager {eager:.0f} images/s, ", end="")
            print(f"compiled {compiled_rate:.0f} (in {cost:.0f} s): {pays}", flush=True)
    return found
