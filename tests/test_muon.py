"""Muon against singular value decompositions and steps written out in numpy; its Adam against torch's."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attn_train.optim.mixed import Mixed
from attn_train.optim.muon import COEFFICIENTS, orthogonalize

Array = np.ndarray[Any, np.dtype[np.float64]]


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_decomposition(matrix: Array, steps: int) -> Array:
    """Apply the polynomial to the singular values themselves, one number at a time."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    a, b, c = COEFFICIENTS
    values = values / (np.linalg.norm(matrix) + 1e-7)
    for _ in range(steps):
        values = np.array([a * s + b * s**3 + c * s**5 for s in values])
    return (left * values) @ right


@pytest.mark.parametrize("shape", [(6, 6), (5, 20), (20, 5), (1, 7), (7, 1)])
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_the_iteration_changes_the_singular_values_alone(shape: tuple[int, int], steps: int) -> None:
    matrix = noise(0, *shape)
    expected = by_decomposition(matrix.numpy(), steps)
    np.testing.assert_allclose(orthogonalize(matrix, steps).numpy(), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shape", [(64, 27), (64, 576), (32, 32)])
def test_five_steps_bring_the_singular_values_near_one(shape: tuple[int, int]) -> None:
    left, values, right = torch.linalg.svd(noise(1, *shape), full_matrices=False)
    # From the largest down to a hundredth of it; what is smaller yet would need more steps.
    matrix = (left * torch.linspace(1, 0.01, len(values), dtype=torch.float64)) @ right
    found = left.mT @ orthogonalize(matrix, 5) @ right.mT
    assert found.diagonal().min() > 0.4
    assert found.diagonal().max() < 1.25
    torch.testing.assert_close(found - found.diagonal().diag(), torch.zeros_like(found), atol=1e-8, rtol=0)


def test_the_size_of_a_matrix_does_not_matter_and_stacks_are_done_one_by_one() -> None:
    stack = noise(2, 3, 4, 9)
    found = orthogonalize(stack, 5)
    # The 1e-7 that keeps zero from dividing zero, times the slope of five steps.
    torch.testing.assert_close(orthogonalize(1000 * stack, 5), found, rtol=0, atol=1e-4)
    for one, matrix in zip(found, stack, strict=True):
        torch.testing.assert_close(one, orthogonalize(matrix, 5))
    assert not orthogonalize(torch.zeros(3, 4), 5).any()


def muon_group(parameters: list[nn.Parameter], **changes: Any) -> dict[str, Any]:
    values = {
        "params": parameters,
        "rule": "muon",
        "lr": 0.1,
        "momentum": 0.6,
        "nesterov": True,
        "normalize": True,
        "newton_schulz_steps": 3,
        "weight_decay": 0.0,
    }
    return values | changes


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_steps_are_those_of_a_hand_computation(nesterov: bool, normalize: bool, weight_decay: float) -> None:
    parameter = nn.Parameter(noise(3, 6, 3, 2, 2))
    expected, momentum = parameter.detach().numpy().copy(), np.zeros((6, 3, 2, 2))
    options = {"nesterov": nesterov, "normalize": normalize, "weight_decay": weight_decay}
    optimizer = Mixed([muon_group([parameter], **options)])
    for step in range(3):
        gradient = noise(10 + step, 6, 3, 2, 2)
        parameter.grad = gradient.clone()
        optimizer.step()
        momentum = 0.6 * momentum + gradient.numpy()
        update = gradient.numpy() + 0.6 * momentum if nesterov else momentum
        update = by_decomposition(update.reshape(6, 12), 3).reshape(6, 3, 2, 2)
        if normalize:
            expected = expected * math.sqrt(6) / np.linalg.norm(expected)
        expected = expected * (1 - 0.1 * weight_decay) - 0.1 * update
    # The iteration itself runs in float32.
    np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def test_the_iteration_has_the_precision_of_autocast() -> None:
    gradient = noise(3, 8, 4, 3, 3).float()
    updates = {}
    for enabled in (False, True):
        parameter = nn.Parameter(torch.zeros_like(gradient))
        parameter.grad = gradient.clone()
        optimizer = Mixed([muon_group([parameter], lr=1.0, momentum=0.0, nesterov=False, normalize=False)])
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            optimizer.step()
        updates[enabled] = -parameter.detach().permute(0, 2, 3, 1).flatten(1)
    for enabled, precision in ((False, torch.float32), (True, torch.bfloat16)):
        expected = orthogonalize(gradient.permute(0, 2, 3, 1).flatten(1).to(precision), 3)
        assert torch.equal(updates[enabled], expected.float())
    assert not torch.equal(updates[False], updates[True])


def test_the_step_is_the_same_in_either_memory_format() -> None:
    plain = nn.Parameter(noise(3, 6, 3, 2, 2))
    last = nn.Parameter(plain.detach().clone().to(memory_format=torch.channels_last))
    assert plain.stride() != last.stride()
    for parameter in (plain, last):
        optimizer = Mixed([muon_group([parameter])])
        for step in range(2):
            parameter.grad = noise(20 + step, 6, 3, 2, 2).to(memory_format=torch.preserve_format)
            optimizer.step()
    torch.testing.assert_close(plain, last, rtol=1e-6, atol=1e-7)


def test_normalisation_keeps_the_length_of_a_filter_bank() -> None:
    parameter = nn.Parameter(17 * noise(4, 9, 2, 3, 3))
    optimizer = Mixed([muon_group([parameter], lr=0.05)])
    for step in range(30):
        parameter.grad = noise(30 + step, 9, 2, 3, 3)
        optimizer.step()
        # At most nine singular values of 1.25 at most are what a step adds.
        assert abs(parameter.detach().norm() - 3) < 0.05 * 1.25 * 3
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert parameter.detach().norm().item() == pytest.approx(3)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_rule_adam_is_torchs(weight_decay: float) -> None:
    own, reference = nn.Parameter(noise(5, 4, 3)), nn.Parameter(noise(5, 4, 3))
    options: dict[str, Any] = {"lr": 0.02, "betas": (0.85, 0.95), "eps": 1e-6, "weight_decay": weight_decay}
    optimizers = [
        Mixed([{"params": [own], "rule": "adam", **options}]),
        torch.optim.AdamW([reference], **options),
    ]
    for step in range(5):
        for parameter, optimizer in zip((own, reference), optimizers, strict=True):
            parameter.grad = noise(40 + step, 4, 3) * 10.0 ** (step - 2)
            optimizer.step()
        torch.testing.assert_close(own, reference, rtol=1e-10, atol=1e-12)


def test_the_rule_sgd_is_torchs_with_nesterov_momentum() -> None:
    own, reference = nn.Parameter(noise(5, 4, 3)), nn.Parameter(noise(5, 4, 3))
    optimizers = [
        Mixed([{"params": [own], "rule": "sgd", "lr": 0.02, "momentum": 0.85}]),
        torch.optim.SGD([reference], lr=0.02, momentum=0.85, nesterov=True),
    ]
    for step in range(5):
        for parameter, optimizer in zip((own, reference), optimizers, strict=True):
            parameter.grad = noise(40 + step, 4, 3)
            optimizer.step()
        torch.testing.assert_close(own, reference, rtol=1e-10, atol=1e-12)


def test_a_parameter_without_a_gradient_stays() -> None:
    parameters = [nn.Parameter(noise(6, 4, 1, 2, 2)), nn.Parameter(noise(7, 4))]
    before = [one.detach().clone() for one in parameters]
    adam = {"params": parameters[1:], "rule": "adam", "lr": 1.0, "betas": (0.9, 0.9), "eps": 1e-8, "weight_decay": 0.1}
    Mixed([muon_group(parameters[:1]), adam]).step()
    assert all(torch.equal(one, other) for one, other in zip(before, parameters, strict=True))


def test_a_saved_state_goes_on_as_if_never_saved() -> None:
    def setup() -> tuple[list[nn.Parameter], Mixed]:
        parameters = [nn.Parameter(noise(8, 4, 1, 2, 2)), nn.Parameter(noise(9, 4))]
        adam = {"params": parameters[1:], "rule": "adam", "lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8}
        return parameters, Mixed([muon_group(parameters[:1]), adam | {"weight_decay": 0.0}])

    def advance(parameters: list[nn.Parameter], optimizer: Mixed, steps: range) -> None:
        for step in steps:
            for number, parameter in enumerate(parameters):
                parameter.grad = noise(100 * number + step, *parameter.shape)
            optimizer.step()

    straight, optimizer = setup()
    advance(straight, optimizer, range(6))
    first, saving = setup()
    advance(first, saving, range(3))
    resumed, loading = setup()
    with torch.no_grad():
        for target, source in zip(resumed, first, strict=True):
            target.copy_(source)
    loading.load_state_dict(saving.state_dict())
    advance(resumed, loading, range(3, 6))
    assert all(torch.equal(one, other) for one, other in zip(straight, resumed, strict=True))
