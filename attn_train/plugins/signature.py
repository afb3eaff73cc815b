"""What a module's constructor and its forward ask for, by the conventions of public collections of attention."""

import inspect
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import nn


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What the channels of the map are called.
CHANNELS = names("""
channel channels in_channel in_channels in_planes inplanes in_dim in_features in_ch input_channels input_dim dim
d_model embed_dim inp c1 ch ch_in nc n_channels num_channels gate_channel gate_channels planes n_feats features
c_in
""")
# What the channels of the result are called, which are the same.
RESULT = names("""
out_channel out_channels out_planes out_dim out_features out_ch output_channels output_dim dim_out oup outp c2
ch_out c_out
""")
# What the height and the width of the map are called, together, apart and multiplied.
SIZES = names("""
size resolution input_resolution img_size image_size fmap_size feature_size feature_map_size input_size
feat_size fmap spatial_size hw hw_shape x_size
""")
HEIGHTS, WIDTHS = names("height H"), names("width W")
TOKENS = names("seq_len n_tokens num_tokens num_patches n_patches")
PLACES = {"sizes": SIZES, "heights": HEIGHTS, "widths": WIDTHS, "tokens": TOKENS}

MISSING = "???"  # OmegaConf's word for a value that must be given

PLAIN = (bool, int, float, str, type(None))
# What is neither annotated nor has a telling default.
ANYTHING = bool | int | float | str | list[Any] | None


@dataclass(frozen=True)
class Setting:
    """A parameter of the constructor that a person may set."""

    hint: Any
    default: Any = MISSING
    is_tuple: bool = False


@dataclass(frozen=True)
class Asked:
    """What a constructor is given: the map's channels and size by these names, and settings."""

    channels: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    heights: tuple[str, ...] = ()
    widths: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    settings: dict[str, Setting] = field(default_factory=dict)
    positional: tuple[str, ...] = ()  # given by place: the parameters that take no name


def asked_by(kind: type[nn.Module]) -> Asked:
    """Say what a module's constructor asks for.

    The channels go to the first parameter with a name that stands for them, else to the first one without a default;
    those of the result to one that has a name for these. The map's size goes to a parameter without a default that
    has a name for it. What else a value of YAML can be is a setting; anything more keeps its default.
    """
    hints = hints_of(kind)
    parameters = [p for p in parameters_of(kind) if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    channels = channels_among(parameters)
    found: dict[str, tuple[str, ...]] = {}
    settings = {}
    for parameter in parameters:
        name, needed = parameter.name, parameter.default is parameter.empty
        place = next((place for place, called in PLACES.items() if needed and name in called), None)
        if name in channels:
            continue
        if place is not None:
            found[place] = (*found.get(place, ()), name)
        elif (setting := setting_of(parameter, hints.get(name))) is not None:
            settings[name] = setting
    by_place = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_ONLY)
    return Asked(channels, **found, settings=settings, positional=by_place)


def channels_among(parameters: list[inspect.Parameter]) -> tuple[str, ...]:
    """Return the names of the parameters that get the channels: one for those of the map, and those of the result."""
    called = [p.name for p in parameters if p.name in CHANNELS]
    needed = [p.name for p in parameters if p.default is p.empty]
    others = [name for name in needed if not any(name in names for names in (*PLACES.values(), RESULT))]
    results = [p.name for p in parameters if p.name in RESULT and (p.name in needed or type(p.default) is int)]
    return (*(called or others)[:1], *results)


def parameters_of(kind: type[nn.Module]) -> list[inspect.Parameter]:
    """Return the parameters of a constructor, without `self`."""
    try:
        return list(inspect.signature(kind).parameters.values())
    except (TypeError, ValueError):
        return []


def hints_of(kind: type[nn.Module]) -> dict[str, Any]:
    """Return the annotations of a constructor; none where they name what is not there."""
    try:
        return get_type_hints(kind.__init__)
    except Exception:
        return {}


def setting_of(parameter: inspect.Parameter, hint: Any) -> Setting | None:
    """Return the setting that a parameter is; None for one whose values YAML cannot write."""
    needed = parameter.default is parameter.empty
    default = MISSING if needed else parameter.default
    if isinstance(default, tuple | list):
        if not all(isinstance(value, PLAIN) for value in default):
            return None
        hint = list[type(default[0])] if default else list  # type: ignore[misc]
        return Setting(hint, list(default), isinstance(default, tuple))
    if not isinstance(default, PLAIN):
        return None
    if hint is not None and is_plain(hint):
        # An annotation that its own default contradicts, as `dim: int = None`, says too little.
        return Setting(hint if default is not None else hint | None, default)
    if needed or default is None:
        return Setting(ANYTHING, default)
    return Setting(int | float if type(default) is int else type(default), default)


def is_plain(hint: Any) -> bool:
    """Say whether values of YAML fit an annotation."""
    if get_origin(hint) in (Union, UnionType):
        return all(map(is_plain, get_args(hint)))
    if get_origin(hint) is Literal:
        return True
    if get_origin(hint) is list:
        return is_plain(get_args(hint)[0])
    return hint in PLAIN


def forward_arguments(module: nn.Module) -> list[str]:
    """Return what each argument of a module's forward is given, `x`, `size`, `height` or `width`.

    Only those without a default are. Three without, and of other names, are queries, keys and values: all are x.
    """
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return ["x"]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    given = []
    for name in needed or ["x"]:
        if name in HEIGHTS | {"h"}:
            given.append("height")
        elif name in WIDTHS | {"w"}:
            given.append("width")
        else:
            given.append("size" if given and name in SIZES else "x")
    return given
