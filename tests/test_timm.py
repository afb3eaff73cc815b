"""backbone=timm: what stands where in networks of that library, and what it says where something cannot be.

The networks are the library's own smallest ones, made for tests.
"""

import copy
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

timm = pytest.importorskip("timm")

from attn_train.attention import ATTENTION  # noqa: E402
from attn_train.attention.gated import GatedConv  # noqa: E402
from attn_train.backbones.placement import Placement  # noqa: E402
from attn_train.backbones.timm import TimmNet, map_of, outputs_of  # noqa: E402
from attn_train.errors import ConfigError  # noqa: E402


class Double(nn.Module):
    """A mechanism whose work shows in the numbers, and that says what it was made for and what it got."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.made_for = (channels, *size)
        self.got: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.got.append(tuple(x.shape[1:]))
        return 2 * x


def make(
    network: str,
    mechanism: Any = Double,
    side: int = 64,
    channels: int = 3,
    stages: Any = "all",
    **options: Any,
) -> TimmNet:
    section = {"pretrained": False, "small_images": False, "after": None, **options}
    placement = Placement(stages, "after_activation")
    return TimmNet((channels, side, side), 7, mechanism, architecture=network, placement=placement, **section)


# The maps (channels, height, width) of each at 64x64.
STAGES = {
    "test_resnet": [(32, 16, 16), (48, 8, 8), (192, 4, 4), (96, 2, 2)],
    "test_convnext": [(24, 16, 16), (32, 8, 8), (48, 4, 4), (64, 2, 2)],
    "test_efficientnet": [(16, 32, 32), (24, 16, 16), (32, 8, 8), (48, 4, 4), (64, 2, 2)],
    "test_vit": [(64, 4, 4)] * 6,  # patches of 16x16, a class token before them
    "swin_tiny_patch4_window7_224": [(96, 16, 16), (192, 8, 8), (384, 4, 4), (768, 2, 2)],
}


@pytest.mark.parametrize("network", [*STAGES][:4])
def test_attention_stands_after_each_stage_and_gets_its_map(network: str) -> None:
    model = make(network)
    doubles = [module for module in model.modules() if isinstance(module, Double)]
    with torch.no_grad():
        assert model.eval()(torch.randn(2, 3, 64, 64)).shape == (2, 7)
    assert [one.made_for for one in doubles] == STAGES[network]
    assert [one.got for one in doubles] == [[place] for place in STAGES[network]]


@torch.no_grad()
@pytest.mark.parametrize("network", ["test_resnet", "test_vit"])
def test_the_network_is_timms_own(network: str) -> None:
    """Without attention it computes the same, and with it what timm computes where each stage is doubled: of a map,
    and of tokens all but the class token."""
    images = torch.randn(2, 3, 64, 64)
    torch.manual_seed(1)
    size = {"img_size": 64} if network == "test_vit" else {}
    own = timm.create_model(network, num_classes=7, **size).eval()
    torch.manual_seed(1)
    assert torch.equal(make(network, ATTENTION["none"]).eval()(images), own(images))
    torch.manual_seed(1)
    doubled = make(network).eval()(images)
    assert not torch.allclose(doubled, own(images))
    if network == "test_vit":
        tokens = own._pos_embed(own.patch_embed(images))
        for block in own.blocks:
            tokens = block(tokens)
            tokens = torch.cat([tokens[:, :1], 2 * tokens[:, 1:]], dim=1)
        expected = own.forward_head(own.norm(tokens))
    else:
        x = own.maxpool(own.act1(own.bn1(own.conv1(images))))
        for stage in (own.layer1, own.layer2, own.layer3, own.layer4):
            x = 2 * stage(x)
        expected = own.forward_head(x)
    torch.testing.assert_close(doubled, expected)


@torch.no_grad()
def test_maps_with_the_channels_last_are_turned_and_turned_back() -> None:
    model = make("swin_tiny_patch4_window7_224", stages=[2, 4]).eval()
    seen = []
    layers: Any = model.network.layers
    layers[2].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    outputs = []
    layers[1].blocks.register_forward_hook(lambda _, __, output: outputs.append(output))
    model(torch.randn(1, 3, 64, 64))
    assert [one.made_for for one in model.modules() if isinstance(one, Double)] == [(192, 8, 8), (768, 2, 2)]
    assert torch.equal(seen[0], 2 * outputs[0])


def test_attention_after_modules_named() -> None:
    model = make("test_resnet", after=["layer1.0", "layer3"])
    assert [one.made_for for one in model.modules() if isinstance(one, Double)] == [(32, 16, 16), (192, 4, 4)]
    model = make("test_resnet", after=["layer1.0", "layer3"], stages=[2])
    assert [one.made_for for one in model.modules() if isinstance(one, Double)] == [(192, 4, 4)]
    model.eval()(torch.zeros(1, 3, 64, 64))
    assert [one.got for one in model.modules() if isinstance(one, Double)] == [[(192, 4, 4)]]


@torch.no_grad()
def test_a_copy_has_attention_of_its_own() -> None:
    """As the moving average of the weights has, which is a copy."""
    model = make("test_resnet", ATTENTION["gated"]).eval()
    image = torch.randn(1, 3, 64, 64)
    twin = copy.deepcopy(model)
    before = model(image)
    for value in model.parameters():
        value.zero_()
    assert torch.equal(twin(image), before)
    assert not model(image).any()


@torch.no_grad()
def test_small_images_keep_their_pixels() -> None:
    plain, fitted = (make("resnet18", ATTENTION["none"], side=32, small_images=small) for small in (False, True))
    conv: Any = fitted.network.conv1
    assert (conv.stride, conv.kernel_size) == ((1, 1), (7, 7))
    assert [place.shape for place in plain.parameters()] == [place.shape for place in fitted.parameters()]
    model = make("resnet18", side=32, small_images=True).eval()
    places = [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    assert [one.made_for for one in model.modules() if isinstance(one, Double)] == places
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
    assert isinstance(model.network.maxpool, nn.Identity)
    # The paper's ResNet-18 of 11.69 M parameters, with 7 classes instead of 1,000.
    assert sum(value.numel() for value in plain.parameters()) == 11_689_512 - 993 * 513


def test_small_images_where_nothing_can_be_fitted() -> None:
    with pytest.raises(ValueError, match=r"architecture=test_vit cuts its images into patches; say small_images=false"):
        make("test_vit", small_images=True)


def test_parameters_by_their_role() -> None:
    model = make("test_resnet", ATTENTION["gated"])
    roles = model.roles()
    names = {id(value): name for name, value in model.named_parameters()}
    assert {names[id(value)].split(".")[0] for value in roles.attention} == {"places"}
    assert {value.ndim for value in roles.filters} == {4}
    assert {"network.fc.weight", "network.fc.bias"} <= {names[id(value)] for value in roles.other}
    assert all(value.ndim == 1 for value in roles.other if names[id(value)] != "network.fc.weight")
    assert len(roles.filters) + len(roles.attention) + len(roles.other) == len(roles.in_order) == len(names)
    for network in ("test_vit", "test_convnext"):  # no batch normalisation
        roles = make(network, ATTENTION["gated"]).roles()
        assert (roles.filters, roles.other) == ([], [])
    model = make("test_efficientnet", ATTENTION["none"])
    grouped = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d) and (m.groups > 1 or m.bias is not None)]
    assert grouped
    assert {id(value) for value in grouped} <= {id(value) for value in model.roles().attention}


@pytest.mark.parametrize(
    ("network", "options", "said"),
    [
        ("resnet81", {}, r"architecture=resnet81 is not known; did you mean .*resnet18"),
        ("resnet18.x_in1k", {}, r"architecture=resnet18.x_in1k is not known; did you mean .*resnet18\."),
        ("hf-hub:someone/something", {}, r"architecture=hf-hub:someone/something is not known"),
        ("local-dir:/tmp", {}, r"architecture=local-dir:/tmp is not known"),
        ("test_resnet", {"after": ["layer9"]}, r"after=layer9 is not known; did you mean layer4, "),
        ("test_resnet", {"after": [""]}, r"after= is not known"),
        ("test_resnet", {"after": ["fc"]}, r"after=fc: it gives an output of the shape \(1, 7\), .*needs a map"),
        ("test_resnet", {"after": ["layer1.0.act1"], "stages": [2]}, r"placement.stages has 2; .* stages 1 to 1"),
        ("test_vit", {"side": 40}, r"architecture=test_vit .* images of 40x40|after=blocks.0: it gives"),
        ("pit_ti_224", {}, r"after=transformers.0: it gives a tuple, and attention needs a map"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(network: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        make(network, **options)
    assert "\n" not in str(raised.value)


def test_a_module_that_is_called_twice_or_never_has_no_one_place() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.once, self.twice, self.never = nn.ReLU(), nn.ReLU(), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.once(self.twice(self.twice(x)))

    (output,) = outputs_of("net", Net(), ["once"], torch.zeros(1, 3, 8, 8))
    assert output.shape == (1, 3, 8, 8)
    for name, times in (("twice", 2), ("never", 0)):
        with pytest.raises(ValueError, match=f"after={name}: the network calls it {times} times"):
            outputs_of("net", Net(), [name], torch.zeros(1, 3, 8, 8))


def test_without_the_library_a_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"backbone=timm needs the library timm .*pip install 'timm") as raised:
        make("test_resnet")
    assert raised.value.exit_code == 2


def test_a_control_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no width to change, .*control=none"):
        TimmNet.stage_widths({})


def test_pretrained_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is made without them, for a test of a finished run; training says what is missing."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = make("test_resnet", pretrained=True)
    state = torch.get_rng_state()
    with pytest.raises(ConfigError, match=r"pretrained weights of architecture=test_resnet cannot be had") as raised:
        model.initialize_from(torch.zeros(1, 3, 64, 64))
    assert "\n" not in str(raised.value)
    assert torch.equal(torch.get_rng_state(), state)


@torch.no_grad()
def test_pretrained_weights_are_the_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a file in place of the internet: all but the classifier, which has other classes; the mechanism's stay."""
    donor = timm.create_model("test_resnet", num_classes=1000)
    create = timm.create_model

    def from_file(name: str, pretrained: bool, **options: Any) -> nn.Module:
        made = create(name, pretrained=False, **options)
        if pretrained:
            made.load_state_dict(
                {key: value for key, value in donor.state_dict().items() if not key.startswith("fc.")}, strict=False
            )
        return made

    monkeypatch.setattr(timm, "create_model", from_file)
    model = make("test_resnet", ATTENTION["gated"], pretrained=True, small_images=True)
    mechanism = next(module for module in model.modules() if isinstance(module, GatedConv))
    before = mechanism.conv1.weight.clone()
    model.initialize_from(torch.zeros(1, 3, 64, 64))
    got = model.network.state_dict()
    assert all(torch.equal(got[key], value) for key, value in donor.state_dict().items() if not key.startswith("fc."))
    assert torch.equal(mechanism.conv1.weight, before)


def test_the_number_of_tokens_decides_what_stands_before_them() -> None:
    for side in range(1, 20):
        for prefix in (0, 1, 4, 5):
            tokens = torch.zeros(1, side**2 + prefix, 3)
            assert map_of("block", tokens, False, prefix) == (3, (side, side), prefix)
    assert map_of("block", torch.zeros(1, 16, 3), False, 1) == (3, (4, 4), 0)
    for count in (0, 3, 6):
        with pytest.raises(ValueError, match=r"after=block: it gives an output of the shape"):
            map_of("block", torch.zeros(1, count, 3), False, 0)
