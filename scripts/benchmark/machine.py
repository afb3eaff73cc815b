"""The machine's own rate of matrix products: the ceiling for convolutions."""

import argparse
import os
import statistics
import time
from pathlib import Path

import torch

from attn_train.machine import device

SIDE = 4096


def matrix_product_rate(precision: str, kind: str, repeats: int = 7) -> float:
    """Return the floating-point operations a second of a 4096 x 4096 matrix product, the median of several, on a GPU of
    many at once: starting one takes a tenth of its time there."""
    settings = device.decide(kind, "auto", None, False, None, None, 0)
    device.configure(settings)
    a, b = (torch.randn(SIDE, SIDE, device=settings.place).to(getattr(torch, precision)) for _ in range(2))
    products = 1 if kind == "cpu" else 50
    rates = []
    for _ in range(1 + repeats):
        device.synchronize(settings)
        started = time.perf_counter()
        for _ in range(products):
            a @ b
        device.synchronize(settings)
        rates.append(products * 2 * SIDE**3 / (time.perf_counter() - started))
    return statistics.median(rates[1:])  # the first warms up


def processor() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return str(torch.cpu.get_capabilities().get("cpu_name", "CPU"))


def precisions(kind: str) -> list[str]:
    """Name the precisions worth measuring; bfloat16 without hardware for it is over a hundred times slower."""
    return ["float32", "bfloat16"] if device.has_fast_bfloat16(kind) else ["float32"]


def measure(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    settings = device.decide("auto", "auto", None, False, None, None, 0)
    found: dict[str, object] = {
        "device": processor(),
        "cores": os.cpu_count(),
        "threads": settings.threads,
        "torch": torch.__version__,
    }
    print(f"  {found['device']}, {found['threads']} threads on {found['cores']} cores, torch {found['torch']}")
    for name in precisions(settings.kind):
        rate = matrix_product_rate(name, settings.kind)
        found[f"{name}_flops"] = rate
        print(f"  {SIDE} x {SIDE} matrix product, {name}: {rate / 1e9:.0f} GFLOP/s", flush=True)
    if "bfloat16_flops" not in found:
        print("  bfloat16: left out, because this machine does not multiply it faster than float32")
    return found
