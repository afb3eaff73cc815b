"""Any network of the library timm (Wightman, https://github.com/huggingface/pytorch-image-models), with attention after
its stages or after modules named."""

import difflib
import math
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from attn_train.backbones.backbone import Backbone
from attn_train.backbones.placement import AttentionFactory, Placement, Slots
from attn_train.errors import ConfigError
from attn_train.optim.roles import Roles, sort_parameters


def library() -> ModuleType:
    """Import timm; raise ConfigError where it is not installed."""
    try:
        import timm
    except ImportError as error:
        raise ConfigError(
            f"backbone=timm needs the library timm ({error}); install it: pip install 'timm>=1.0.20', or choose "
            "another backbone"
        ) from error
    return timm


class AttentionAfter(nn.Module):
    """A forward hook that hands a module's output to a mechanism.

    It is a module so that a copy of the network, of which the hook is a part, has hooks with its own mechanisms.

    Args:
        channels_last: whether an output of four dimensions is (batch, height, width, channels).
        prefix: tokens before those of the map, in an output (batch, tokens, channels); the mechanism does not see them.
    """

    def __init__(self, attention: nn.Module, channels_last: bool, prefix: int) -> None:
        super().__init__()
        self.attention_after = attention
        self.channels_last = channels_last
        self.prefix = prefix

    def forward(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if output.ndim == 4:
            if not self.channels_last:
                return self.attention_after(output)
            return self.attention_after(output.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        prefix, tokens = output[:, : self.prefix], output[:, self.prefix :]
        side = math.isqrt(tokens.shape[1])
        x = self.attention_after(tokens.transpose(1, 2).unflatten(2, (side, side)))  # (batch, channels, side, side)
        return torch.cat([prefix, x.flatten(2).transpose(1, 2)], dim=1)


class TimmNet(Backbone):
    """Build a network of timm with attention after some of its modules.

    The modules are the levels of its `feature_info` that have layers, which in most networks are its stages, or those
    named `after`; `placement.stages` counts them. Their outputs must be maps, or tokens of a square map.

    Args:
        architecture: its name in timm, a tag of pretrained weights included.
        pretrained: begin training with the weights that timm has for it, which are fetched from the internet.
        small_images: let the first convolution go in steps of one pixel, and leave out the pooling behind it.
        after: names of its modules; None: the levels of `feature_info`.
    """

    any_size = False  # networks of patches have a fixed number of them

    @classmethod
    def stage_widths(cls, options: dict[str, Any]) -> list[int]:
        raise ConfigError(
            "backbone=timm: its networks have no width to change, so that there is no control; say control=none, or "
            "choose another backbone"
        )

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        attention: AttentionFactory,
        *,
        architecture: str,
        pretrained: bool,
        small_images: bool,
        after: list[str] | None,
        placement: Placement,
    ) -> None:
        super().__init__()
        self.name, self.pretrained = architecture, pretrained
        self.options: dict[str, Any] = {"num_classes": classes, "in_chans": shape[0]}
        if fixed_size(architecture):  # others would not know the word
            self.options["img_size"] = shape[1:]
        self.network = self.made(pretrained=False)
        image = torch.zeros(1, *shape)
        if small_images:
            fit_to_small_images(architecture, self.network, image)
        names = feature_levels(architecture, self.network) if after is None else after
        outputs = outputs_of(architecture, self.network, names, image)
        slots = Slots(attention, placement, len(names), ("after_activation",))
        self.places = nn.ModuleList()
        channels_last = str(getattr(self.network, "output_fmt", "NCHW")).endswith("NHWC")
        prefix: Any = getattr(self.network, "num_prefix_tokens", 0)
        for number, (name, output) in enumerate(zip(names, outputs, strict=True), start=1):
            if number in slots.stages:
                channels, size, before = map_of(name, output, channels_last, prefix)
                mechanism = slots.at(number, "after_activation", channels, size)
                self.places.append(AttentionAfter(mechanism, channels_last, before))
                self.network.get_submodule(name).register_forward_hook(self.places[-1])
        self.slots = slots.filled

    def made(self, pretrained: bool) -> nn.Module:
        """Return the network as timm makes it."""
        try:
            made: nn.Module = library().create_model(self.name, pretrained=pretrained, **self.options)
        except (TypeError, ValueError, RuntimeError, AssertionError, KeyError) as error:
            if pretrained:
                raise
            raise ValueError(
                f"architecture={self.name} cannot be made with {self.options}: {first_line(error)}"
            ) from error
        return made

    def initialize_from(self, images: Tensor) -> None:
        """Set the weights to the pretrained ones where these were asked for; raise ConfigError where that fails.

        A network that is only tested again, with weights of its own, needs none.
        """
        if not self.pretrained:
            return
        try:
            with torch.random.fork_rng(devices=[]):
                donor = self.made(pretrained=True)
        except Exception as error:  # libraries for the network have errors of their own
            raise ConfigError(
                f"backbone=timm: the pretrained weights of architecture={self.name} cannot be had "
                f"({first_line(error)}); say backbone.pretrained=false, or try where they can be fetched"
            ) from error
        self.network.load_state_dict(donor.state_dict())

    def roles(self) -> Roles:
        """Return the trainable parameters by their role.

        Muon suits filters that batch normalisation follows, which have no bias. A network without it is trained like
        a mechanism, and so are in one with it matrices, the classifier's aside, and the filters of other convolutions:
        those with a bias, and grouped ones, whose inputs are few.
        """
        if not any(isinstance(module, nn.BatchNorm2d) for module in self.network.modules()):
            return sort_parameters(self, [self])
        classifier = self.network.get_classifier()  # type: ignore[operator]
        heads = set(classifier if isinstance(classifier, tuple) else [classifier])
        matrices = [
            module
            for module in self.network.modules()
            if (isinstance(module, nn.Linear) and module not in heads)
            or (isinstance(module, nn.Conv2d) and (module.groups > 1 or module.bias is not None))
        ]
        return sort_parameters(self, [*self.slots, *matrices])

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def fixed_size(architecture: str) -> bool:
    """Say whether a network takes images of one size only; raise ValueError for a name that timm does not know.

    No other name may reach timm: to it an address or a folder would be one too.
    """
    timm = library()
    family, _, tag = architecture.partition(".")
    if not timm.is_model(family):
        raise ValueError(unknown("architecture", architecture, timm.list_models()))
    tags = timm.list_models(f"{family}.*", include_tags=True)
    if tag and architecture not in tags:
        raise ValueError(unknown("architecture", architecture, [family, *tags]))
    described = timm.get_pretrained_cfg(architecture)
    return described is not None and bool(described.fixed_input_size)


def unknown(setting: str, name: str, known: list[str]) -> str:
    """Say that a name is not known, and which are near it."""
    near = difflib.get_close_matches(name, known, n=3) or known[:3]
    return f"{setting}={name} is not known; did you mean {', '.join(near)}?"


def has_layers(module: nn.Module) -> bool:
    return any(isinstance(part, nn.Conv2d | nn.Linear) for part in module.modules())


def feature_levels(name: str, network: nn.Module) -> list[str]:
    """Return the names of the modules in `feature_info`, without a first one that is an activation or a normalisation.

    In networks whose levels all end in such a one, like VGG's, all count. Raises ValueError where there is none.
    """
    info: Any = getattr(network, "feature_info", None) or []
    modules = dict(network.named_modules())
    named = [level["module"] for level in info if level["module"] in modules]
    levels = [level for level in named if has_layers(modules[level])] or named
    if not levels:
        raise ValueError(
            f"architecture={name} does not say what its stages are; name modules, like after=[{some(network)}]"
        )
    return levels


def some(network: nn.Module) -> str:
    """Name a few modules of a network, for a message."""
    return ",".join(name for name, module in network.named_children() if has_layers(module))


def dry_pass(name: str, network: nn.Module, image: Tensor) -> None:
    """Run an image (1, channels, height, width) through the network, for its hooks; raise ValueError where it fails."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            network(image)
    except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
        _, channels, height, width = image.shape
        raise ValueError(
            f"architecture={name} cannot take images of {height}x{width} in {channels} channels ({first_line(error)}); "
            "try another dataset.image_size"
        ) from error
    finally:
        network.train(training)


def outputs_of(name: str, network: nn.Module, modules: list[str], image: Tensor) -> list[Any]:
    """Return what some of the network's modules make of an image; raise ValueError for one that it does not have, or
    does not call exactly once."""
    known = dict(network.named_modules())
    outputs: dict[str, list[Any]] = {module: [] for module in modules}
    handles = []
    for module, found in outputs.items():
        if not module or module not in known:
            raise ValueError(unknown("after", module, [one for one in known if one]))
        handles.append(known[module].register_forward_hook(lambda _, __, output, found=found: found.append(output)))
    try:
        dry_pass(name, network, image)
    finally:
        for handle in handles:
            handle.remove()
    for module, found in outputs.items():
        if len(found) != 1:
            raise ValueError(f"after={module}: the network calls it {len(found)} times; name one that it calls once")
    return [outputs[module][0] for module in modules]


def map_of(name: str, output: Any, channels_last: bool, prefix: int) -> tuple[int, tuple[int, int], int]:
    """Return the channels and (height, width) of the map in a module's output, and how many tokens stand before it.

    Raises ValueError for an output without one.
    """
    shape = tuple(output.shape) if isinstance(output, Tensor) else ()
    if len(shape) == 4:
        _, *size, channels = shape if channels_last else (shape[0], *shape[2:], shape[1])
        return channels, (size[0], size[1]), 0
    if len(shape) == 3:
        for before in (prefix, 0):  # the class token of some networks joins later
            side = math.isqrt(max(0, shape[1] - before))
            if side and side**2 == shape[1] - before:
                return shape[2], (side, side), before
    said = f"an output of the shape {shape}" if shape else f"a {type(output).__name__}"
    raise ValueError(
        f"after={name}: it gives {said}, and attention needs a map (batch, channels, height, width) or the tokens "
        "(batch, tokens, channels) of a square one; name other modules by backbone.after=[...]"
    )


def fit_to_small_images(name: str, network: nn.Module, image: Tensor) -> None:
    """Let the first convolution go in steps of one pixel, and leave out the pooling before the first stage.

    Raises ValueError for a network that cuts its images into patches, or that has neither.
    """
    first = (getattr(network, "pretrained_cfg", None) or {}).get("first_conv")
    convolution = dict(network.named_modules()).get(first) if isinstance(first, str) else None
    if isinstance(convolution, nn.Conv2d) and 1 < convolution.stride[0] >= convolution.kernel_size[0]:
        raise ValueError(f"small_images=true: architecture={name} cuts its images into patches; say small_images=false")
    pools, stage = pools_before(name, network, image)
    strided = convolution if isinstance(convolution, nn.Conv2d) and max(convolution.stride) > 1 else None
    if strided is None and not pools:
        raise ValueError(
            f"small_images=true: architecture={name} has neither a first convolution in larger steps nor pooling "
            f"before {stage}; say small_images=false"
        )
    if strided is not None:
        strided.stride = (1, 1)
    for pool in pools:
        network.set_submodule(pool, nn.Identity())


def pools_before(name: str, network: nn.Module, image: Tensor) -> tuple[list[str], str]:
    """Return the names of the pooling modules that the network calls before its first stage, and the stage's."""
    stage, *_ = feature_levels(name, network)
    called: list[str] = []
    pooling = (nn.MaxPool2d, nn.AvgPool2d, library().layers.BlurPool2d)
    watched = {key: module for key, module in network.named_modules() if isinstance(module, pooling) or key == stage}
    handles = [
        module.register_forward_pre_hook(lambda _, __, key=key: called.append(key)) for key, module in watched.items()
    ]
    try:
        dry_pass(name, network, image)
    finally:
        for handle in handles:
            handle.remove()
    return called[: called.index(stage)], stage
