"""A recorded step does what the step does: on CUDA only."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attn_train.attention import ATTENTION
from attn_train.errors import ConfigError
from attn_train.machine.device import Device
from attn_train.machine.recorded import RecordedStep, Step
from attn_train.optim import optimizers
from attn_train.optim.optimizers import set_lr
from attn_train.optim.roles import sort_parameters
from attn_train.training.step import TrainingStep

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

DEVICE = Device("cuda", "float32", channels_last=True, compile=False, cuda_graphs=False, threads=1)
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    # With an eps of 1e-8 Adam would make as much of a gradient that is rounding alone as of any other.
    "adam": {"lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-3, "weight_decay": 1e-3},
    "adamw": {"lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-3, "weight_decay": 1e-3},
    "muon": {
        "lr": 0.05,
        "momentum": 0.6,
        "nesterov": True,
        "normalize": True,
        "newton_schulz_steps": 3,
        "weight_decay": 0.0,
        "batch_size": 16,
        "sgd_lr": 5e-5,
        "sgd_momentum": 0.85,
        "attention_lr": 0.001,
        "adam_betas": [0.85, 0.95],
        "adam_eps": 1e-3,
    },
}


class Network(nn.Module):
    def __init__(self, mechanism: str = "gated") -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.attention = ATTENTION[mechanism](8, size=(8, 8))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(self.norm(self.conv(x))).mean(dim=(2, 3)))


def optimizer_of(name: str, model: Network) -> torch.optim.Optimizer:
    options = optimizers.OPTIMIZERS[name](**OPTIMIZERS[name])
    return optimizers.make_optimizer(options, sort_parameters(model, [model.attention]))


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """The same algorithms each time, none of which adds in an order of its own."""
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    yield
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before


def made(mechanism: str = "gated") -> Network:
    torch.manual_seed(0)
    return Network(mechanism).to("cuda", memory_format=torch.channels_last)  # type: ignore[call-overload]


def batch(number: int, side: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(number)
    images = torch.randn(16, 3, side, side, generator=random)
    labels = torch.randint(0, 5, (16,), generator=random)
    return images.cuda(), labels.cuda(), torch.rand(16, generator=random).cuda()


def trained(
    model: Network, optimizer: torch.optim.Optimizer, recorded: bool, steps: int = 10, weighted: bool = True
) -> list[list[float]]:
    """Train with a rate that falls, on two sizes in turn, a parameter standing still from the middle on."""
    step: Step = TrainingStep(model, model, optimizer, DEVICE, 16, 1, None, 0.1)
    if recorded:
        step = RecordedStep(step, model, optimizer)
    model.head.bias.requires_grad_(True)
    seen = []
    for number in range(steps):
        if number == steps // 2:
            model.head.bias.requires_grad_(False)
        set_lr(optimizer, 1 - number / steps)
        images, labels, weights = batch(number, side=8 if number % 3 else 6)
        loss, correct, losses = step(images, labels, weights if weighted else None)
        seen.append([loss.item(), correct.item(), *losses.tolist()])
    return seen


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
@pytest.mark.parametrize("weighted", [True, False])
def test_a_recorded_run_is_the_run(name: str, weighted: bool) -> None:
    ends = []
    for recorded in (False, True):
        model = made()
        seen = trained(model, optimizer_of(name, model), recorded, 20, weighted)
        ends.append((seen, [parameter.detach().clone() for parameter in model.state_dict().values()]))
    (plain, weights), (replayed, own) = ends
    torch.testing.assert_close(torch.tensor(replayed), torch.tensor(plain), rtol=1e-4, atol=1e-5)
    for mine, expected in zip(own, weights, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_a_recorded_run_goes_on_from_a_state_of_the_cpu(name: str) -> None:
    """And leaves one that a run without recordings takes over."""
    model = made()
    optimizer = optimizer_of(name, model)
    trained(model, optimizer, recorded=True)
    model.head.bias.requires_grad_(True)
    groups = [{key: one for key, one in group.items() if key != "params"} for group in optimizer.param_groups]
    assert not any(isinstance(one, Tensor) for group in groups for one in group.values())
    on_cpu = copy.deepcopy(optimizer.state_dict())
    for state in on_cpu["state"].values():
        state.update({key: one.cpu() for key, one in state.items() if isinstance(one, Tensor)})
    ends = []
    for recorded in (False, True):
        again = copy.deepcopy(model)
        other = optimizer_of(name, again)
        other.load_state_dict(copy.deepcopy(on_cpu))
        ends.append(torch.tensor(trained(again, other, recorded)))
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mechanism", sorted(ATTENTION))
def test_every_mechanism_can_be_recorded(mechanism: str) -> None:
    model = made(mechanism)
    optimizer = optimizer_of("muon", model)
    step = RecordedStep(TrainingStep(model, model, optimizer, DEVICE, 16, 1, 1.0, 0.0), model, optimizer)
    losses = [step(*batch(0))[0].item() for _ in range(12)]
    assert len(step.recordings) == 1
    assert losses[-1] < losses[0]


def test_what_cannot_be_recorded_says_so() -> None:
    model = made()
    optimizer = optimizer_of("adam", model)
    inner = TrainingStep(model, model, optimizer, DEVICE, 16, 1, None, 0.0)

    def waiting(images: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        outcome = inner(images, targets, weights)
        outcome[0].item()
        return outcome

    step = RecordedStep(waiting, model, optimizer)
    for _ in range(2):
        step(*batch(0))
    with pytest.raises(ConfigError, match=r"device\.cuda_graphs.*device\.cuda_graphs=false"):
        step(*batch(0))
