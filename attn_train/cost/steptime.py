"""Compare the times of two networks' training steps, measured in turn because a machine's speed drifts."""

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from attn_train import build
from attn_train.cost import timing
from attn_train.cost.timing import Timing
from attn_train.data.dataset import Dataset
from attn_train.data.prune import Order
from attn_train.machine import device as devices
from attn_train.machine.device import Device
from attn_train.machine.speed import Speed
from attn_train.settings.schema import Settings
from attn_train.training.journal import Journal
from attn_train.training.loop import Schedule, fit
from attn_train.training.trainer import Progress

LEAST = 0.1  # seconds that one timing lasts


class SameBatch:
    """Batches for the training loop: `count` in an epoch, all of the same images and labels."""

    def __init__(self, images: Tensor, labels: Tensor, count: int) -> None:
        self.images, self.labels, self.count = images, labels, count
        self.batch_size = len(labels)

    def steps(self, epoch: int) -> int:
        return self.count

    def order(self, epoch: int, losses: Tensor | None = None) -> Order:
        index = torch.arange(self.batch_size).repeat(self.count)
        return Order(index, index.to(self.labels.device), None)

    def epoch(self, epoch: int, start: int, order: Order) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(start, self.count):
            yield self.images, self.labels


class Steps:
    """The training steps of a network, as a run takes them."""

    def __init__(self, config: Settings, dataset: Dataset, device: Device) -> None:
        channels, classes = dataset.train.images.shape[1], len(dataset.classes)
        model = build.make_model(config, channels, classes)
        model = model.to(device.place, memory_format=device.memory_format)  # type: ignore[call-overload]
        self.trainer = build.make_trainer(config, model, device, images=config.train.batch_size)
        self.step = build.make_step(config, self.trainer, dataset)

    def take(self, images: Tensor, labels: Tensor, count: int) -> float:
        """Take `count` steps by the training loop; return the mean seconds of one."""
        self.trainer.progress = Progress()
        # At a rate of zero a step costs the same, and the loss stays finite however often it is taken.
        schedule = Schedule(count, lambda step: 0.0, log_every=count, checkpoint_every=count, eval_every=1)
        batches, speed = SameBatch(images, labels, count), Speed(self.trainer.device)
        fit(self.trainer, schedule, batches, self.step, evaluate=None, journal=Journal(), speed=speed)
        return speed.seconds / count

    def seconds(self, images: Tensor, labels: Tensor, count: int) -> float:
        """Return the mean seconds of a step, over `count` of them; with CUDA graphs record it first."""
        if self.trainer.device.cuda_graphs:  # steps on another size have dropped the recording
            self.take(images, labels, devices.unsteady_steps(self.trainer.device))
        return self.take(images, labels, count)


class StepTimes:
    """Compare the training steps of other networks with those of the network of `arm`.

    A step's time is the mean over the run, whose epochs may differ in resolution.
    """

    def __init__(self, arm: Settings) -> None:
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

    def beside(self, other: Settings, blocks: int) -> Timing:
        """Time steps of the network of `other` and of the arm's in turn, over so many blocks of pairs."""
        with torch.random.fork_rng(devices=[]):
            control = Steps(other, self.dataset, self.device)
        counts = {side: self.warm_up(control, images) for side, images in self.images.items()}

        started = time.perf_counter()
        self.pair(control, counts, arm_first=True)
        pairs = timing.block_size(time.perf_counter() - started)

        def block() -> list[tuple[float, float]]:
            return [self.pair(control, counts, arm_first=number % 2 == 0) for number in range(pairs)]

        return timing.summarize([block() for _ in range(blocks)])

    def warm_up(self, control: Steps, images: Tensor) -> int:
        """Take first steps, which compile and allocate; return how many steps of the arm last LEAST seconds."""
        for steps in (self.arm, control):
            steps.take(images, self.labels, 1)
        return math.ceil(LEAST / self.arm.seconds(images, self.labels, 1))

    def pair(self, control: Steps, counts: dict[int, int], arm_first: bool) -> tuple[float, float]:
        """Return the seconds of a step of the arm and of the control, timed one right after the other."""
        total = {self.arm: 0.0, control: 0.0}
        for side, images in self.images.items():
            for steps in (self.arm, control) if arm_first else (control, self.arm):
                total[steps] += self.shares[side] * steps.seconds(images, self.labels, counts[side])
        return total[self.arm], total[control]
