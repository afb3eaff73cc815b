"""One optimizer step on a batch: forward, backward, update."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.machine.device import Device


@dataclass(frozen=True)
class TrainingStep:
    """Train `model` by `optimizer`, one step for each call.

    Args:
        model: maps images (batch, channels, height, width) to logits (batch, classes).
        forward: the same function, perhaps compiled. As torch.compile specialises on shapes, only batches of
            `batch_size` images go through it: a smaller last batch would compile again.
        accumulate: number of parts in which a batch is computed, for less memory.
        clip_norm: the largest norm of the gradient; None: any.
    """

    model: nn.Module
    forward: Callable[[Tensor], Tensor]
    optimizer: torch.optim.Optimizer
    device: Device
    batch_size: int
    accumulate: int
    clip_norm: float | None
    label_smoothing: float

    def __call__(self, images: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Take one step; return the batch's mean loss, the number correct, and each image's loss (batch,).

        The results stay on the device: nothing here waits for it.

        Args:
            targets: int64 (batch,), or for mixed images float32 (batch, classes), whose largest share is the class.
            weights: float32 (batch,), how many images each counts for in the mean and the number; None: each for one.
        """
        forward = self.forward if len(targets) == self.batch_size else self.model
        shares = (
            torch.ones(len(targets), device=targets.device)
            if weights is None
            else weights * (len(weights) / weights.sum())
        )
        losses, correct = [], torch.zeros((), device=targets.device)
        parts = zip(*(tensor.chunk(self.accumulate) for tensor in (images, targets, shares)), strict=True)
        for part_images, part_targets, part_shares in parts:
            part_images = part_images.to(memory_format=self.device.memory_format)
            with self.device.autocast():
                logits = forward(part_images)
            logits = logits.float()  # (batch / accumulate, classes)
            part_losses = F.cross_entropy(
                logits, part_targets, label_smoothing=self.label_smoothing, reduction="none"
            )  # (batch / accumulate,)
            # Each part adds its share of the whole batch's mean to the gradient.
            ((part_losses * part_shares).sum() / len(targets)).backward()
            losses.append(part_losses.detach())
            labels = part_targets if part_targets.ndim == 1 else part_targets.argmax(dim=1)
            correct += ((logits.detach().argmax(dim=1) == labels) * part_shares).sum()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        with self.device.autocast():  # Muon multiplies matrices too
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        image_losses = torch.cat(losses)
        return (image_losses * shares).mean(), correct, image_losses
