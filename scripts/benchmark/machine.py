"""The machine's own rate of matrix products: the ceiling for convolutions."""

import argparse
import os
import statistics
import time
from pathlib import Path

import torch

from attn_train import device

SIDE = 4096


def matrix_product_rate(dtype: torch.dtype, kind: str, repeats: int = 7) -> float:
    """Return the floating-point operations a second of a 4096 x 4096 matrix product, the median of several."""
    settings = device.decide(kind, "auto", None, False, None, 0)
    device.configure(settings)
    a, b = (torch.randn(SIDE, SIDE, device=settings.place).to(dtype) for _ in range(2))
    a @ b
    rates = []
    for _ in range(repeats):
        device.synchronize(settings)
        started = time.perf_counter()
        a @ b
        device.synchronize(settings)
        rates.append(2 * SIDE**3 / (time.perf_counter() - started))
    return statistics.median(rates)


def processor() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return str(torch.cpu.get_capabilities().get("cpu_name", "CPU"))


def measure(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    settings = device.decide("auto", "auto", None, False, None, 0)
    found: dict[str, object] = {
        "device": processor(),
        "cores": os.cpu_count(),
        "threads": settings.threads,
        "torch": torch.__version__,
        "float32_flops": matrix_product_rate(torch.float32, settings.kind),
        "bfloat16_flops": matrix_product_rate(torch.bfloat16, settings.kind),
    }
    print(f"  {found['device']}, {found['threads']} threads on {found['cores']} cores, torch {found['torch']}")
    for name in ("float32", "bfloat16"):
        print(f"  {SIDE} x {SIDE} matrix product, {name}: {float(str(found[f'{name}_flops'])) / 1e9:.0f} GFLOP/s")
    return found
