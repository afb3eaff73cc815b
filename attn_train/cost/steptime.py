"""How long a training step of one network takes beside another's: both measured in turn, for a machine's speed
drifts."""

import math
import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from attn_train import build
from attn_train.data.dataset import Dataset
from attn_train.machine import device as devices
from attn_train.machine.compiled import compile_model
from attn_train.machine.device import Device
from attn_train.optim.average import WeightAverage
from attn_train.optim.optimizers import set_lr
from attn_train.settings.config import Config
from attn_train.training.loop import make_step


@dataclass(frozen=True)
class Timing:
    """What a step of another network takes beside the arm's."""

    seconds: float  # of a step of the arm
    ratio: float  # how many times as long the other's takes
    uncertainty: float  # half of an interval about the ratio that should hold it in 19 of 20 cases, as a share of it


# A timing takes as many steps as last so long, in seconds.
LEAST = 0.1
# Pairs of timings: at least so many, and on until their median is so certain, or so many seconds have gone.
FEWEST = 5
CERTAIN = 0.005
SECONDS = 30.0


class Steps:
    """A network and its training steps on given images, as the run takes them."""

    def __init__(self, config: Config, dataset: Dataset, device: Device) -> None:
        channels, classes = dataset.train.images.shape[1], len(dataset.classes)
        self.config, self.device = config, device
        model = build.make_model(config, channels, classes)
        self.model = model.to(device.place, memory_format=device.memory_format)  # type: ignore[call-overload]
        self.model.train()
        architecture = build.architecture(config, dataset)
        forward = compile_model(self.model, architecture) if device.compile else self.model
        self.optimizer = build.make_optimizer_for(config, self.model)
        # At a rate of zero a step costs the same, and the loss stays finite however often it is taken.
        set_lr(self.optimizer, 0.0)
        train = config.train
        self.step = make_step(
            self.model,
            forward,
            self.optimizer,
            device,
            train.batch_size,
            train.accumulate,
            train.clip_norm,
            train.label_smoothing,
        )
        decay = config.train.ema_decay
        self.average = WeightAverage(self.model, decay) if decay else None

    def take(self, images: Tensor, labels: Tensor) -> None:
        self.step(images, labels, None)
        if self.average is not None:
            self.average.update(self.model, step=1)

    def seconds(self, images: Tensor, labels: Tensor, steps: int) -> float:
        """Return the seconds of a step, over `steps` of them."""
        if self.device.cuda_graphs:  # a recording of another size has taken this one's place
            for _ in range(devices.unsteady_steps(self.device)):
                self.take(images, labels)
        devices.synchronize(self.device)
        started = time.perf_counter()
        for _ in range(steps):
            self.take(images, labels)
        devices.synchronize(self.device)
        return (time.perf_counter() - started) / steps


def summarize(pairs: list[tuple[float, float]]) -> Timing:
    """Return the medians of pairs of timings (of the arm, of the other), taken one right after the other."""
    ratios = [other / arm for arm, other in pairs]
    ratio = statistics.median(ratios)
    low, _, high = statistics.quantiles(ratios, n=4)
    # The notch of a box plot (McGill, Tukey and Larsen, 1978), the median's own interval.
    uncertainty = 1.57 * (high - low) / math.sqrt(len(ratios)) / ratio
    return Timing(statistics.median(arm for arm, _ in pairs), ratio, uncertainty)


class StepTimes:
    """The training steps of the network of `arm`, and what the steps of others take beside them.

    A step's time is the mean over the run, whose epochs may differ in resolution.
    """

    def __init__(self, arm: Config) -> None:
        splits, self.dataset = build.load_splits(arm.dataset)
        channels, classes = self.dataset.train.images.shape[1], len(self.dataset.classes)
        normalization = build.make_normalization(arm.dataset, channels)
        batches = build.make_batches(arm, splits["train"], normalization, classes)
        steps = batches.steps_at(arm.train.epochs, arm.train.max_steps)
        self.device = build.decide_device(arm, sum(steps.values()) // len(steps))
        devices.configure(self.device)
        self.shares = {side: count / sum(steps.values()) for side, count in steps.items()}
        size, place = arm.train.batch_size, self.device.place
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.randint(classes, (size,), generator=generator).to(place)
        self.images = {side: torch.randn(size, channels, side, side, generator=generator).to(place) for side in steps}
        with torch.random.fork_rng(devices=[]):
            self.arm = Steps(arm, self.dataset, self.device)

    def beside(self, other: Config) -> Timing:
        """Time steps of the network of `other` and of the arm's in turn; the ratio is the median over the pairs."""
        with torch.random.fork_rng(devices=[]):
            control = Steps(other, self.dataset, self.device)
        counts = {side: self.warm_up(control, images) for side, images in self.images.items()}
        pairs: list[tuple[float, float]] = []
        started = time.perf_counter()
        while True:
            pairs.append(self.pair(control, counts, arm_first=len(pairs) % 2 == 0))
            if len(pairs) < FEWEST:
                continue
            timing = summarize(pairs)
            if timing.uncertainty <= CERTAIN or time.perf_counter() - started >= SECONDS:
                return timing

    def warm_up(self, control: Steps, images: Tensor) -> int:
        """Take first steps, which compile and find memory; return how many steps a timing takes."""
        for one in (self.arm, control):
            one.take(images, self.labels)
        return math.ceil(LEAST / self.arm.seconds(images, self.labels, 1))

    def pair(self, control: Steps, counts: dict[int, int], arm_first: bool) -> tuple[float, float]:
        """Return the seconds of a step of the arm and of the control, timed one right after the other."""
        total = {self.arm: 0.0, control: 0.0}
        for side, images in self.images.items():
            for one in (self.arm, control) if arm_first else (control, self.arm):
                total[one] += self.shares[side] * one.seconds(images, self.labels, counts[side])
        return total[self.arm], total[control]
