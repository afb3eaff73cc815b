"""The attention mechanisms, by the names that `model=` takes.

Each is called as `Class(channels, size=(height, width), **options)`, the options being those of
`conf/model/<name>.yaml`, and maps `(batch, channels, height, width)` to the same shape.
"""

from attn_train.attention.attention import Attention
from attn_train.attention.gated import GatedConv
from attn_train.attention.identity import Identity
from attn_train.attention.placebo_constant import PlaceboConstant
from attn_train.attention.placebo_shuffled import PlaceboShuffled
from attn_train.attention.self_attention import SelfAttention

ATTENTION: dict[str, type[Attention]] = {
    "gated": GatedConv,
    "none": Identity,
    "placebo_constant": PlaceboConstant,
    "placebo_shuffled": PlaceboShuffled,
    "self_attention": SelfAttention,
}
