"""Grad-CAM (Selvaraju et al., 2016, arXiv 1610.02391): which places of its last map speak for the class that a network
names; and the same network with shuffled weights, for what the picture owes to the network's shape and the image alone
(Adebayo et al., 2018, arXiv 1810.03292: many such maps look alike before and after training)."""

import copy

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn


def grad_cam(model: nn.Module, images: Tensor) -> Tensor | None:
    """Return how much each place of the last map speaks for the class that the network names, float32 (n, h, w); None
    where no map of more than one place is left.

    It is the positive part of the map, its channels weighted by the mean over the places of the gradient of the class's
    logit (equations 1 and 2 of the paper). The last map is the last output of a part of the network that has four axes.

    Args:
        images: normalised, (n, channels, height, width).
    """
    last: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            last[:] = [output]

    handles = [part.register_forward_hook(keep) for part in model.modules() if part is not model]
    model.eval()
    try:
        with torch.enable_grad():
            logits = model(images.requires_grad_())
            if not last:
                return None
            said = logits.gather(1, logits.argmax(dim=1, keepdim=True)).sum()
            (gradient,) = torch.autograd.grad(said, last[0])
    finally:
        for handle in handles:
            handle.remove()
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * last[0]).sum(dim=1).relu().detach().float().cpu()


def shuffled(model: nn.Module) -> nn.Module:
    """Return a copy of a network with the numbers of each of its parameters in another order."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for number, value in enumerate(changed.parameters()):
            order = torch.randperm(value.numel(), generator=torch.Generator().manual_seed(number)).to(value.device)
            value.copy_(value.flatten()[order].view(value.shape))
    return changed


def agreement(maps: Tensor, others: Tensor) -> float:
    """Return the mean over the images of Spearman's rank correlation between two maps (n, h, w) of each; of those that
    are the same everywhere there is none. NaN where none is left."""
    found = [
        float(spearmanr(one.flatten().numpy(), other.flatten().numpy()).statistic)
        for one, other in zip(maps, others, strict=True)
        if one.unique().numel() > 1 and other.unique().numel() > 1
    ]
    return sum(found) / len(found) if found else float("nan")
