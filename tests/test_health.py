"""How attention is spread and gates are saturated, on weights whose answer is known."""

import json
import math
from pathlib import Path

import pytest
import torch
from conftest import TINY, Command
from scipy import stats
from torch import nn

from attn_train.attention.se import SqueezeExcitation
from attn_train.attention.self_attention import SelfAttention
from attn_train.training.health import attention_health, of_gate, of_weights


def test_uniform_weights_have_all_entropy_and_the_mean_distance() -> None:
    found = of_weights(torch.full((2, 3, 12, 12), 1 / 12), (3, 4))
    apart = [math.dist((i // 4, i % 4), (j // 4, j % 4)) for i in range(12) for j in range(12)]
    assert found == pytest.approx({"entropy": 1, "distance": sum(apart) / 144, "uniform_heads": 1})


def test_weights_on_the_pixel_itself_have_neither() -> None:
    found = of_weights(torch.eye(12).expand(2, 3, 12, 12), (3, 4))
    assert found == pytest.approx({"entropy": 0, "distance": 0, "uniform_heads": 0})


def test_the_entropy_is_scipys_of_what_does_not_sum_to_one_too() -> None:
    weights = torch.rand(2, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    expected = stats.entropy(weights.double().numpy(), axis=-1).mean() / math.log(9)
    assert of_weights(3 * weights, (3, 3))["entropy"] == pytest.approx(expected, rel=1e-5)


def test_heads_count_one_by_one() -> None:
    weights = torch.stack([torch.full((9, 9), 1 / 9), torch.eye(9)])[None]
    assert of_weights(weights, (3, 3))["uniform_heads"] == 0.5


def test_a_map_of_one_pixel_has_numbers() -> None:
    assert of_weights(torch.ones(2, 1, 1, 1), (1, 1)) == {"entropy": 0, "distance": 0, "uniform_heads": 0}


def test_gates_are_counted_at_both_ends() -> None:
    assert of_gate(torch.tensor([0.0, 0.01, 0.5, 0.96, 1.0])) == pytest.approx({"gate_shut": 0.4, "gate_open": 0.4})


def test_each_module_of_a_network_is_looked_at() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(SqueezeExcitation(8, size=(4, 4)), SelfAttention(8, size=(4, 4), heads=2), nn.Flatten())
    x = torch.randn(3, 8, 4, 4)
    found = attention_health(model, x)
    assert set(found) == {
        *(f"{name}/0" for name in ("gate_shut", "gate_open")),
        *(f"{name}/1" for name in ("entropy", "distance", "uniform_heads")),
    }
    _, weights = model[1](model[0](x), return_weights=True)
    assert found["entropy/1"] == pytest.approx(of_weights(weights.detach(), (4, 4))["entropy"], rel=1e-5)
    assert attention_health(nn.Sequential(nn.Flatten()), x) == {}


def test_a_run_writes_it_down_at_each_evaluation(train: Command, tmp_path: Path) -> None:
    assert train(*TINY, "model=gated", "hydra.run.dir=run").code == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    health = [row["attention"] for row in rows if row["kind"] == "evaluation" and "attention" in row]
    assert health
    assert all(0 <= value <= 1 for row in health for value in row.values())
    assert {name.partition("/")[0] for name in health[0]} == {"gate_shut", "gate_open"}
