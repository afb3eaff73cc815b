"""Every backbone with every mechanism in every slot: shapes, sizes by closed formulas, placement, whitening."""

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from attn_train.attention import ATTENTION
from attn_train.attention.gated import GatedConv
from attn_train.attention.identity import Identity
from attn_train.backbones import BACKBONES
from attn_train.backbones.article import ArticleNet
from attn_train.backbones.fast import FastNet, Stage
from attn_train.backbones.hybrid import HybridNet, Pooling, SoftmaxMixer
from attn_train.backbones.placement import Placement, Slots
from attn_train.backbones.resnet import BasicBlock, ResNet
from attn_train.backbones.whitening import WHITENING_EPSILON

AROUND = ("before_activation", "after_activation")
BIASES = ("bias_ih_l0", "bias_hh_l0")
BESIDE = (*AROUND, "parallel")
HYBRID: dict[str, Any] = {
    "widths": [4, 8],
    "depth": 2,
    "mixer": "softmax",
    "heads": 2,
    "expansion": 2,
    "pooling": "sequence",
    "drop_path": 0.0,
}
# The blocks of each stage and the positions in a block; narrow, because where things go is under test, not learning.
NETWORKS: dict[str, tuple[str, dict[str, Any], tuple[int, ...], tuple[str, ...]]] = {
    "article": ("article", {}, (1,), AROUND),
    "fast": ("fast", {"widths": [4, 8, 8], "depth": 2, "drop_path": 0.0, "whitening_epochs": 1}, (1, 1, 1), BESIDE),
    "fast3": (
        "fast",
        {"widths": [4, 8, 8], "depth": 3, "drop_path": 0.2, "whitening_epochs": 1},
        (1, 1, 1),
        ("branch", *BESIDE),
    ),
    "hybrid": ("hybrid", HYBRID | {"mixer": "none"}, (1, 1), ("mixer",)),
    "hybrid_softmax": ("hybrid", HYBRID | {"pooling": "mean", "drop_path": 0.2}, (1, 1), ("branch", "parallel")),
    "lstm": ("lstm", {"widths": [32, 48]}, (1, 1), ("after_activation",)),
    "resnet18": ("resnet", {"depth": 18, "width": 4, "drop_path": 0.2}, (2, 2, 2, 2), ("branch", *BESIDE)),
    "resnet20": ("resnet", {"depth": 20, "width": 4, "drop_path": 0.0}, (3, 3, 3), ("branch", *BESIDE)),
    "timm": (
        "timm",
        {"architecture": "test_resnet", "pretrained": False, "small_images": True, "after": None},
        (1, 1, 1, 1),
        ("after_activation",),
    ),
    "resnet56": ("resnet", {"depth": 56, "width": 4, "drop_path": 0.0}, (9, 9, 9), ("branch", *BESIDE)),
}


def make(
    network: str,
    mechanism: str = "none",
    stages: Any = "all",
    position: str | None = None,
    channels: int = 3,
    size: tuple[int, int] = (32, 32),
    zero_gate: bool = False,
) -> nn.Module:
    name, options, _, positions = NETWORKS[network]
    if position is None:
        position = "after_activation" if "after_activation" in positions else positions[0]
    placement = Placement(stages, position, zero_gate)  # type: ignore[arg-type]

    def attention(width: int, area: tuple[int, int]) -> nn.Module:
        return ATTENTION[mechanism](width, size=area)

    return BACKBONES[name]((channels, *size), 7, attention, placement=placement, **options)


def placements(network: str) -> list[tuple[Any, str]]:
    _, _, blocks, positions = NETWORKS[network]
    stages: list[Any] = ["all", *([stage] for stage in range(1, len(blocks) + 1))]
    return [(chosen, position) for chosen in stages for position in positions]


def count(model: nn.Module) -> int:
    return sum(value.numel() for value in model.parameters())


def test_every_backbone_is_under_test() -> None:
    assert {name for name, _, _, _ in NETWORKS.values()} == set(BACKBONES)


@torch.no_grad()
def scores(network: str, mechanism: str, stages: Any, position: str, channels: int, side: int) -> Tensor:
    """What an untrained network says of two images."""
    model = make(network, mechanism, stages, position, channels, (side, side)).eval()
    return model(torch.randn(2, channels, side, side))


@pytest.mark.parametrize("mechanism", sorted(ATTENTION))
@pytest.mark.parametrize(
    "network",  # one of each kind; of the others the test below
    ["fast3", *(pytest.param(one, marks=pytest.mark.slow) for one in ("article", "hybrid", "lstm", "resnet20"))],
)
def test_any_position_gives_class_scores(network: str, mechanism: str) -> None:
    for position in NETWORKS[network][-1]:
        assert scores(network, mechanism, "all", position, 1, 33).shape == (2, 7)
    assert scores(network, mechanism, "all", NETWORKS[network][-1][-1], 3, 8).shape == (2, 7)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_any_stage_size_and_channels_give_class_scores(network: str) -> None:
    for stages, position in placements(network):
        for channels, side in ((1, 8), (3, 8), (3, 32), (1, 33)):
            assert scores(network, "gated", stages, position, channels, side).shape == (2, 7)


@torch.no_grad()
@pytest.mark.parametrize("network", NETWORKS)
def test_maps_need_not_be_square(network: str) -> None:
    """A mechanism that uses the size must be told that of its own map."""

    class Sized(nn.Module):
        def __init__(self, channels: int, size: tuple[int, int]) -> None:
            super().__init__()
            self.expected = (channels, *size)

        def forward(self, x: Tensor) -> Tensor:
            assert tuple(x.shape[1:]) == self.expected
            seen.append(self.expected)
            return x

    name, options, blocks, positions = NETWORKS[network]
    for position in positions:
        seen: list[tuple[int, ...]] = []
        placement = Placement("all", position)  # type: ignore[arg-type]
        model = BACKBONES[name]((1, 9, 14), 7, Sized, placement=placement, **options).eval()
        assert model(torch.randn(2, 1, 9, 14)).shape == (2, 7)
        assert len(seen) == sum(blocks)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_attention_stands_where_the_placement_says(network: str) -> None:
    _, _, blocks, _ = NETWORKS[network]
    for stages, position in placements(network):
        model = make(network, "gated", stages, position)
        chosen = range(1, len(blocks) + 1) if stages == "all" else stages
        names = [name for name, module in model.named_modules() if isinstance(module, GatedConv)]
        assert len(names) == sum(blocks[stage - 1] for stage in chosen)
        word = "attention_" + position.removesuffix("_activation")
        assert all(word in name.split(".") for name in names)
        others = count(model) - count(make(network, "none"))
        widths = [module.conv1.in_channels for module in model.modules() if isinstance(module, GatedConv)]
        assert others == sum(2 * (width * width + width) for width in widths)


def test_several_stages_can_be_listed() -> None:
    model = make("resnet20", "none", [1, 3], "branch")
    found = [name for name, module in model.named_modules() if isinstance(module, Identity)]
    assert found == [f"blocks.{block}.attention_branch" for block in (0, 1, 2, 6, 7, 8)]


def negate(channels: int, size: tuple[int, int]) -> nn.Module:
    """A mechanism whose place shows in the numbers: after a ReLU it leaves nothing above zero, before one it does."""

    class Negate(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return -x

    return Negate()


@torch.no_grad()
def test_the_article_puts_attention_on_the_said_side_of_the_relu() -> None:
    x = torch.randn(2, 3, 8, 8)
    for position in AROUND:
        torch.manual_seed(0)
        model = ArticleNet((3, 8, 8), 5, negate, placement=Placement([1], position))  # type: ignore[arg-type]
        features = model.conv2(model.conv1(x).clamp(min=0))
        shown = (-features).clamp(min=0) if position == "before_activation" else -features.clamp(min=0)
        torch.testing.assert_close(model(x), model.head(shown.flatten(1)))


@torch.no_grad()
def test_a_residual_block_puts_attention_on_the_said_side_of_the_sum() -> None:
    x = torch.randn(2, 4, 8, 8).abs()
    for position in ("branch", *AROUND):
        torch.manual_seed(0)
        placement = Placement([1], position)  # type: ignore[arg-type]
        block: Any = (
            ResNet((3, 8, 8), 5, negate, depth=20, width=4, drop_path=0.0, placement=placement).eval().blocks[0]
        )
        branch = block.norm2(block.conv2(block.norm1(block.conv1(x)).clamp(min=0)))
        expected = {
            "branch": (x - branch).clamp(min=0),
            "before_activation": (-(x + branch)).clamp(min=0),
            "after_activation": -((x + branch).clamp(min=0)),
        }[position]
        torch.testing.assert_close(block(x), expected)


@torch.no_grad()
def test_in_parallel_the_change_is_added_to_the_last_convolution() -> None:
    """`negate` changes x by -2 x."""
    x = torch.randn(2, 4, 8, 8).abs()
    placement = Placement("all", "parallel")
    fixed: dict[str, Any] = {"drop_path": 0.0, "placement": placement}
    block: Any = ResNet((3, 8, 8), 5, negate, depth=20, width=4, **fixed).eval().blocks[0]
    inner = F.relu(block.norm1(block.conv1(x)))
    torch.testing.assert_close(block(x), F.relu(x + block.norm2(block.conv2(inner)) - 2 * inner))
    for depth in (2, 3):
        stage: Any = (
            FastNet((3, 17, 17), 5, negate, widths=[4], depth=depth, whitening_epochs=1, **fixed).eval().stages[0]
        )
        whole = torch.randn(2, 24, 8, 8)
        first = F.gelu(stage.norm1(F.max_pool2d(stage.conv1(whole), 2)))
        second = stage.norm2(stage.conv2(first))
        if depth == 2:
            expected = F.gelu(second - 2 * first)
        else:
            inner = F.gelu(second)
            expected = F.gelu(first + stage.norm3(stage.conv3(inner)) - 2 * inner)
        torch.testing.assert_close(stage(whole), expected)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("network", ["article", "fast", "fast3", "hybrid", "lstm", "resnet20"])
def test_behind_a_zero_gate_every_mechanism_starts_as_the_same_network(network: str) -> None:
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for position in NETWORKS[network][3]:
        scores = []
        for mechanism in sorted(ATTENTION):
            torch.manual_seed(1)
            model = make(network, mechanism, "all", position, size=(16, 16), zero_gate=True).eval()
            scores.append(model(x))
        for other in scores[1:]:
            torch.testing.assert_close(scores[0], other, rtol=0, atol=0)


def test_the_zero_gate_opens_in_training() -> None:
    torch.manual_seed(0)
    model = make("fast", "gated", zero_gate=True)
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    gates = [value for name, value in model.named_parameters() if name.endswith("attention_after.scale")]
    assert len(gates) == 3
    assert all(gate.grad is not None and gate.grad != 0 for gate in gates)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_backbones_weights_do_not_depend_on_the_mechanism(network: str) -> None:
    """So that arms which share a seed share all that they can; and the mechanisms of a network differ from each
    other, and from those of another seed."""
    own: dict[str, Tensor] = {}
    for mechanism in ("none", "gated", "self_attention"):
        torch.manual_seed(1)
        state = make(network, mechanism).state_dict()
        shared = {name: value for name, value in state.items() if "attention" not in name}
        own = own or shared
        assert own.keys() == shared.keys()
        assert all(torch.equal(own[name], value) for name, value in shared.items())
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = make(network, "gated")
        drawn += [m.conv1.weight.flatten()[:4] for m in model.modules() if isinstance(m, GatedConv)]
    assert len({tuple(one.tolist()) for one in drawn}) == len(drawn) == 2 * sum(NETWORKS[network][2])


def test_the_article_has_its_sizes() -> None:
    model = make("article", "none")
    assert model.head.in_features == 131072  # type: ignore[union-attr]
    convolutions = (3 * 9 + 1) * 64 + (64 * 9 + 1) * 128
    assert count(model) == convolutions + 131072 * 7 + 7
    assert make("article", "none", size=(8, 6)).head.in_features == 128 * 8 * 6  # type: ignore[union-attr]


def residual_parameters(widths: tuple[int, ...], blocks: int, classes: int) -> int:
    """Count by hand, with a 1x1 convolution and its normalisation as the shortcut wherever the width changes (option B
    of arXiv 1512.03385; its option A has none)."""
    total = 3 * widths[0] * 9 + 2 * widths[0]
    before = widths[0]
    for width in widths:
        for _ in range(blocks):
            total += before * width * 9 + width * width * 9 + 4 * width
            if before != width:
                total += before * width + 2 * width
            before = width
    return total + before * classes + classes


@pytest.mark.parametrize(
    ("depth", "widths", "blocks", "millions"),
    [(20, (16, 32, 64), 3, 0.27), (56, (16, 32, 64), 9, 0.86), (18, (64, 128, 256, 512), 2, 11.17)],
)
def test_residual_networks_have_the_papers_sizes(
    depth: Any, widths: tuple[int, ...], blocks: int, millions: float
) -> None:
    with torch.device("meta"):
        model = ResNet(
            (3, 32, 32),
            10,
            ATTENTION["none"],
            depth=depth,
            width=None,
            drop_path=0.0,
            placement=Placement("all", "branch"),
        )
    assert count(model) == residual_parameters(widths, blocks, 10)
    assert count(model) / 1e6 == pytest.approx(millions, abs=0.005)
    weighted = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len([name for name in weighted if "shortcut" not in name]) == depth


@pytest.mark.parametrize("network", NETWORKS)
def test_an_unknown_stage_is_refused_with_the_choices(network: str) -> None:
    last = len(NETWORKS[network][2])
    for stage in (0, -1, last + 1):
        with pytest.raises(ValueError, match=rf"placement.stages has {stage};.* stages 1 to {last}, or all"):
            make(network, "gated", [stage])


@pytest.mark.parametrize("network", ["article", "fast"])
def test_a_position_that_the_backbone_lacks_is_refused_with_the_choices(network: str) -> None:
    with pytest.raises(ValueError, match=r"placement.position=branch .*before_activation, after_activation"):
        make(network, "gated", "all", "branch")


def test_impossible_widths_and_sizes_are_refused() -> None:
    placement = Placement("all", "after_activation")
    shape: dict[str, Any] = {"depth": 2, "drop_path": 0.0, "whitening_epochs": 1}
    for widths in ([], [8, 0]):
        with pytest.raises(ValueError, match="widths="):
            FastNet((3, 32, 32), 5, ATTENTION["none"], widths=widths, **shape, placement=placement)
    with pytest.raises(ValueError, match=r"1x9 .*2x2"):
        FastNet((3, 1, 9), 5, ATTENTION["none"], widths=[4], **shape, placement=placement)
    with pytest.raises(ValueError, match="width=0"):
        ResNet((3, 8, 8), 5, ATTENTION["none"], depth=20, width=0, drop_path=0.0, placement=placement)


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3])
def test_the_fast_networks_first_layer_whitens_the_images_it_was_given(channels: int) -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randn(200, channels, 10, 10, generator=random)
    # Neighbours alike and channels alike, as in photographs; each image also negated, so that the mean is zero.
    images = nn.functional.avg_pool2d(images, 2, 1) + 0.5 * images.mean(dim=1, keepdim=True)[..., 1:, 1:]
    images = torch.cat([images, -images])
    model = make("fast", channels=channels, size=(9, 9))
    model.initialize_from(images)  # type: ignore[operator]
    out = model.whiten(images)  # type: ignore[operator]
    half = out.shape[1] // 2
    torch.testing.assert_close(out[:, half:], -out[:, :half])
    flat = out[:, :half].transpose(0, 1).flatten(1)
    patches = images.unfold(2, 2, 1).unfold(3, 2, 1).permute(1, 4, 5, 0, 2, 3).reshape(4 * channels, -1)
    smallest = float(torch.linalg.eigvalsh(torch.cov(patches.double()))[0])
    assert smallest > 10 * WHITENING_EPSILON  # else the identity below would prove nothing
    away = (torch.cov(flat) - torch.eye(half)).abs().max()
    assert away < WHITENING_EPSILON / smallest + 1e-3


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("network", ["fast", "fast3"])
def test_the_heads_input_begins_as_large_as_without_attention(network: str) -> None:
    images = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def size_of_the_last_map(model: Any) -> float:
        torch.manual_seed(0)
        return float(model.stages.train()(model.first_map(images)).square().mean().sqrt() * model.head_scale)

    for position in NETWORKS[network][3]:
        scales, sizes = {}, {}
        for mechanism in ("none", "gated", "placebo_constant", "self_attention"):
            torch.manual_seed(1)
            model: Any = make(network, mechanism, [3], position, size=(16, 16))
            before = {name: value.clone() for name, value in model.state_dict().items()}
            drawn = torch.get_rng_state()
            model.initialize_from(images)
            assert torch.equal(torch.get_rng_state(), drawn)
            changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
            assert changed <= {"whiten.weight", "head_scale"}
            for module in model.modules():
                if isinstance(module, StochasticDepth):
                    module.p = 0.0  # else other images would be skipped here than at the start
            model.initialize_from(images)
            scales[mechanism] = float(model.head_scale)
            sizes[mechanism] = size_of_the_last_map(model)
        assert scales["none"] == 1
        assert len(set(scales.values())) == 4
        assert sizes == pytest.approx(dict.fromkeys(sizes, sizes["none"]), rel=1e-4)


def test_the_first_layer_and_the_scales_stay_as_they_are() -> None:
    model = make("fast", "gated")
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    scales = {f"stages.{stage}.norm{norm}.weight" for stage in range(3) for norm in (1, 2)}
    assert frozen == {"whiten.weight"} | scales


def test_the_first_layers_bias_learns_for_some_epochs() -> None:
    model = make("fast", "gated")
    for epoch, learns in ((0, True), (1, False), (7, False), (0, True)):
        model.begin_epoch(epoch)  # type: ignore[operator]
        model.zero_grad(set_to_none=True)
        model(torch.randn(4, 3, 32, 32)).sum().backward()
        without = {name for name, value in model.named_parameters() if value.requires_grad and value.grad is None}
        assert not without
        assert (model.whiten.bias.grad is not None) == learns  # type: ignore[union-attr]


@pytest.mark.parametrize("network", NETWORKS)
def test_every_trained_parameter_gets_a_gradient(network: str) -> None:
    torch.manual_seed(0)
    model = make(network, "self_attention")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.any():
            nn.init.ones_(module.weight)  # timm lets residual branches begin at zero
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    # The key's bias adds the same to all scores of a query, which the softmax does not see.
    missing = [
        name
        for name, value in model.named_parameters()
        if value.requires_grad
        and (value.grad is None or not value.grad.abs().max() > 0)
        and not name.endswith("key.bias")
    ]
    assert not missing


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "mechanism"),
    [
        *(("fast", mechanism) for mechanism in sorted(ATTENTION)),
        *itertools.product(("article", "hybrid", "lstm", "resnet20"), ("none", "gated", "self_attention")),
    ],
)
def test_every_mechanism_and_every_backbone_learns(network: str, mechanism: str) -> None:
    """With the mechanism in each stage eight images begin to be learned by heart, which moves each mechanism."""
    torch.manual_seed(0)
    model = make(network, mechanism, size=(16, 16))
    images, labels = torch.randn(8, 3, 16, 16), torch.arange(8) % 7
    before = {name: value.detach().clone() for name, value in model.named_parameters() if "attention" in name}
    optimizer = torch.optim.Adam((value for value in model.parameters() if value.requires_grad), 2e-3)
    losses = []
    for _ in range(12):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
    moved: dict[str, bool] = {}
    for name, value in model.named_parameters():
        if name in before:
            slot = name.partition("attention_")[0]
            moved[slot] = moved.get(slot, False) or not torch.equal(before[name], value)
    assert all(moved.values()), moved


def test_stochastic_depth_grows_to_its_share_at_the_last_branch() -> None:
    for network, share in (("resnet18", 0.2), ("fast3", 0.2), ("hybrid_softmax", 0.2)):
        found = [module.p for module in make(network).modules() if isinstance(module, StochasticDepth)]
        assert found == pytest.approx([share * (one + 1) / len(found) for one in range(len(found))])


@torch.no_grad()
def test_stochastic_depth_skips_the_branch_in_training_and_never_in_a_test() -> None:
    torch.manual_seed(0)
    placement = Placement("all", "after_activation")
    slots = Slots(ATTENTION["none"], placement, 1, ("after_activation",))
    x = torch.randn(64, 4, 8, 8)
    stage = Stage(4, 4, (8, 8), slots, 1, depth=3, drop_path=0.999999)
    before = F.gelu(stage.norm1(F.max_pool2d(stage.conv1(x), 2)))
    torch.testing.assert_close(stage(x), F.gelu(before))
    block = BasicBlock(4, 4, 1, slots, 1, (8, 8), drop_path=0.999999)
    torch.testing.assert_close(block(x), F.relu(x))
    for module in (stage, block):
        whole = module.eval()(x)
        module.drop_path.p = 0.0
        assert torch.equal(module(x), whole)
        assert not torch.allclose(whole, F.gelu(before) if module is stage else F.relu(x))


@torch.no_grad()
def test_a_third_convolution_stands_beside_a_shortcut_with_attention_where_the_placement_says() -> None:
    x = torch.randn(2, 4, 8, 8)
    for position in ("branch", *AROUND):
        torch.manual_seed(0)
        slots = Slots(negate, Placement([1], position), 1, ("branch", *AROUND))  # type: ignore[arg-type]
        stage = Stage(4, 4, (8, 8), slots, 1, depth=3, drop_path=0.0).eval()
        shortcut = F.gelu(stage.norm1(F.max_pool2d(stage.conv1(x), 2)))
        branch = stage.norm3(stage.conv3(F.gelu(stage.norm2(stage.conv2(shortcut)))))
        expected = {
            "branch": F.gelu(shortcut - branch),
            "before_activation": F.gelu(-(shortcut + branch)),
            "after_activation": -F.gelu(shortcut + branch),
        }[position]
        torch.testing.assert_close(stage(x), expected)


def test_an_lstm_has_its_papers_sizes() -> None:
    """Four gates, each with a matrix from the input, one from the state, and torch's two biases."""
    model = make("lstm", size=(9, 14))
    into, total = 3 * 14, 0
    for units in (32, 48):
        total += 2 * 4 * (units * into + units * units + 2 * units)
        into = 2 * units
    assert count(model) == total + 96 * 7 + 7
    roles = model.roles()  # type: ignore[operator]
    assert not roles.filters
    assert sum(value.numel() for value in roles.attention) == total
    assert [value.shape for value in roles.other] == [(7, 96), (7,)]


@torch.no_grad()
def test_an_lstm_reads_the_rows_in_both_directions() -> None:
    """Held against the equations of the cell, written out in float64, with attention over time between the layers."""
    placement = Placement([1], "after_activation")
    model = BACKBONES["lstm"]((2, 5, 3), 4, negate, widths=[3, 2], placement=placement).double()
    images = torch.randn(2, 2, 5, 3, dtype=torch.float64)

    def read(sequence: Tensor, lstm: Any, units: int, ending: str) -> list[Tensor]:
        into, back, *biases = (getattr(lstm, name + ending) for name in ("weight_ih_l0", "weight_hh_l0", *BIASES))
        state, cell, read = torch.zeros(2, units).double(), torch.zeros(2, units).double(), []
        for row in sequence.unbind(1):
            gates = row @ into.T + state @ back.T + sum(biases)
            put, keep, new, out = gates.unflatten(1, (4, units)).unbind(1)
            cell = torch.sigmoid(keep) * cell + torch.sigmoid(put) * torch.tanh(new)
            state = torch.sigmoid(out) * torch.tanh(cell)
            read.append(state)
        return read

    x = torch.stack([images[:, :, row].flatten(1) for row in range(5)], dim=1)  # (2, rows, channels * columns)
    for number, units in enumerate((3, 2)):
        lstm: Any = model.layers[number].lstm  # type: ignore[union-attr, index]
        ahead, behind = read(x, lstm, units, ""), read(x.flip(1), lstm, units, "_reverse")[::-1]
        x = torch.stack([torch.cat(pair, dim=1) for pair in zip(ahead, behind, strict=True)], dim=1)
        x = -x if number == 0 else x
    torch.testing.assert_close(model(images), model.head(x.mean(dim=1)))  # type: ignore[operator]
    for layer, units in zip(model.layers, (3, 2), strict=True):  # type: ignore[arg-type]
        fresh: Any = BACKBONES["lstm"]((2, 5, 3), 4, negate, widths=[units], placement=placement).layers[0]  # type: ignore[index]
        forget = fresh.lstm.bias_ih_l0 + fresh.lstm.bias_hh_l0
        assert torch.equal(forget[units : 2 * units], torch.ones(units))
        assert layer.lstm.bidirectional


def test_an_lstm_without_units_is_refused() -> None:
    for widths in ([], [8, 0]):
        with pytest.raises(ValueError, match="widths="):
            BACKBONES["lstm"]((3, 8, 8), 5, negate, widths=widths, placement=Placement("all", "after_activation"))


def hybrid(mechanism: Any = negate, size: tuple[int, int] = (32, 32), stages: Any = "all", **options: Any) -> HybridNet:
    placement = Placement(stages, options.pop("position", "mixer"))
    return HybridNet((3, *size), 7, mechanism, placement=placement, **(HYBRID | options))


def test_a_hybrid_has_the_softmax_where_no_mechanism_stands() -> None:
    def mixers(model: HybridNet) -> list[bool]:
        return [block.mixer is not None for block in model.blocks]

    assert mixers(hybrid(ATTENTION["none"])) == [True, True]
    assert mixers(hybrid(stages=[2])) == [True, False]
    assert mixers(hybrid(position="branch")) == mixers(hybrid(position="parallel")) == [True, True]
    assert mixers(hybrid(mixer="none")) == mixers(hybrid(ATTENTION["none"], mixer="none")) == [False, False]


@pytest.mark.parametrize(("side", "tokens"), [(32, 8), (33, 8), (64, 8), (65, 8), (66, 5), (20, 5), (9, 8), (8, 7)])
def test_a_hybrids_stem_leaves_at_most_8x8_tokens(side: int, tokens: int) -> None:
    with torch.device("meta"):
        model = hybrid(ATTENTION["none"], (side, side))
        assert model.stem(model.whiten.activated(torch.zeros(1, 3, side, side))).shape == (1, 8, tokens, tokens)
        assert model.positions.vectors.shape == (1, 8, tokens, tokens)


def test_a_hybrid_has_as_many_parameters_as_its_parts() -> None:
    first, width = 4, 8
    stem = 9 * (24 * first + first * first + first * width + width * width) + 4 * (first + width)
    perceptron = 2 * width * 2 * width + 3 * width
    softmax = 4 * width * width + 4 * width
    whole = (
        12 * 24 + 24 + stem + 64 * width + 2 * (perceptron + softmax + 4 * width) + 2 * width + width + width * 7 + 7
    )
    assert count(hybrid(ATTENTION["none"])) == whole
    assert count(hybrid(ATTENTION["gated"])) == whole + 2 * (2 * (width * width + width) - softmax)
    assert count(hybrid(pooling="mean", mixer="none")) == whole - 2 * softmax - width


def test_muon_gets_a_hybrids_stem_alone() -> None:
    model = hybrid(ATTENTION["gated"], position="parallel")
    roles = model.roles()
    stem = {id(value) for name, value in model.named_parameters() if name.startswith(("stem.", "whiten."))}
    assert [tuple(value.shape) for value in roles.filters] == [(4, 24, 3, 3), (4, 4, 3, 3), (8, 4, 3, 3), (8, 8, 3, 3)]
    assert all(value.ndim == 1 for value in roles.other)  # biases
    assert {id(value) for value in [*roles.filters, *roles.other]} <= stem
    assert not {id(value) for value in roles.attention} & stem
    assert len(roles.filters) + len(roles.other) + len(roles.attention) == len(roles.in_order)


@torch.no_grad()
@pytest.mark.parametrize(("channels", "heads"), [(8, 2), (12, 3)])
def test_the_softmax_mixer_is_multi_head_attention(channels: int, heads: int) -> None:
    mixer = SoftmaxMixer(channels, heads)
    other = nn.MultiheadAttention(channels, heads, batch_first=True)
    other.in_proj_weight.copy_(mixer.query_key_value.weight)
    other.in_proj_bias.copy_(mixer.query_key_value.bias)
    other.out_proj.load_state_dict(mixer.project.state_dict())
    x = torch.randn(2, channels, 3, 4)
    tokens = x.flatten(2).mT
    torch.testing.assert_close(mixer(x), other(tokens, tokens, tokens)[0].mT.reshape(x.shape))
    assert SoftmaxMixer(7, 3)(torch.randn(2, 7, 3, 4)).shape == (2, 7, 3, 4)  # a control's width


@torch.no_grad()
def test_a_hybrids_block_by_its_formula() -> None:
    """`negate` changes x by -2 x. In place of the mixer and beside it that is added; behind it, it turns the sign."""
    x = torch.randn(2, 3, 4, 8)
    for position in ("mixer", "branch", "parallel"):
        torch.manual_seed(0)
        block: Any = hybrid(position=position).eval().blocks[0]
        n = F.layer_norm(x, (8,))
        change = torch.zeros_like(x) if position == "mixer" else block.mixer(n.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        change = -change if position == "branch" else change - 2 * n
        y = x + change
        expected = y + block.reduce(F.gelu(block.expand(F.layer_norm(y, (8,)))))
        torch.testing.assert_close(block(x), expected)


@torch.no_grad()
def test_a_hybrid_pools_by_weights_that_sum_to_one() -> None:
    pooling = Pooling(5, "sequence")
    tokens = torch.randn(2, 9, 5)
    assert pooling.score is not None
    weights = (tokens @ pooling.score.weight[0]).exp()
    expected = (weights[..., None] * tokens).sum(dim=1) / weights.sum(dim=1, keepdim=True)
    torch.testing.assert_close(pooling(tokens), expected)
    torch.testing.assert_close(Pooling(5, "mean")(tokens), tokens.mean(dim=1))


def test_impossible_hybrids_are_refused() -> None:
    wrongs: list[dict[str, Any]] = [{"widths": [8]}, {"widths": [8, 0]}, {"depth": 0}, {"heads": 0}, {"expansion": 0}]
    for wrong in (*wrongs, {"drop_path": 1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
            hybrid(**wrong)
    with pytest.raises(ValueError, match=r"placement.position=branch is not .*choose from mixer"):
        hybrid(mixer="none", position="branch")
    with pytest.raises(ValueError, match=r"1x9 .*2x2"):
        hybrid(size=(1, 9))
