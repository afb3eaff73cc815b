"""What a training step of the fast recipe reaches of what the machine can do."""

import argparse
from pathlib import Path

import command
from machine import matrix_product_rate
from torch import nn

from attn_train import build
from attn_train.cost.counting import count_macs
from attn_train.machine import device
from attn_train.settings import compose

STEPS = {"cpu": 12, "cuda": 200, "mps": 50}
SIDES = (20, 24, 28, 32)
# Forward once, backward once for the inputs and once for the weights; an operation is a multiplication or an addition.
OPERATIONS_A_MAC = 3 * 2


def network(words: list[str]) -> nn.Module:
    compose.register()
    config = compose.to_config(compose.compose(words, compose.parse([])))
    return build.make_model(config, channels=3, classes=10)


def measure(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    settings = device.decide("auto", "auto", None, False, None, None, 0)
    ceiling = matrix_product_rate(settings.precision, settings.kind)
    found: dict[str, object] = {f"{settings.precision}_flops": ceiling}
    for model in given.models.split(","):
        for side in SIDES:
            words = [f"model={model}", "dataset=cifar10", f"dataset.root={given.root.resolve()}", "eval.views=1"]
            words += [f"train.resolution=[{side / 32}]", f"train.max_steps={STEPS[settings.kind]}", "train.prune=0"]
            result = command.train(folder, f"step_{model}_{side}", *words).result
            macs = count_macs(network(words), (3, side, side))
            share = result["images_per_second"] * macs * OPERATIONS_A_MAC / ceiling
            found[f"{model}_{side}"] = {
                "images_per_second": result["images_per_second"],
                "share": share,
                "peak_memory_bytes": result["peak_memory_bytes"],
            }
            print(
                f"  {model} at {side}x{side}: {result['images_per_second']:.0f} images/s, {100 * share:.0f} % of the "
                f"{settings.precision} matrix-product rate, {result['peak_memory_bytes'] / 1e9:.1f} GB at most"
            )
    return found
