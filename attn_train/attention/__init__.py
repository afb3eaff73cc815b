"""The attention mechanisms, by the names that `model=` takes.

Each is called as `Class(channels, size=(height, width), **options)`, the options being those of
`conf/model/<name>.yaml`, and maps `(batch, channels, height, width)` to the same shape.
"""

from attn_train.attention.agent import AgentAttention
from attn_train.attention.attention import Attention
from attn_train.attention.augmented_conv import AugmentedConv
from attn_train.attention.axial import Axial
from attn_train.attention.bam import BAM
from attn_train.attention.cbam import CBAM
from attn_train.attention.coordinate import CoordinateAttention
from attn_train.attention.cot import ContextualTransformer
from attn_train.attention.criss_cross import CrissCross
from attn_train.attention.differential import Differential
from attn_train.attention.double_attention import DoubleAttention
from attn_train.attention.eca import EfficientChannelAttention
from attn_train.attention.ema import EfficientMultiScale
from attn_train.attention.ese import EffectiveSqueezeExcitation
from attn_train.attention.external import ExternalAttention
from attn_train.attention.gated import GatedConv
from attn_train.attention.gct import GatedChannelTransformation
from attn_train.attention.ge import GatherExcite
from attn_train.attention.global_context import GlobalContext
from attn_train.attention.halo import Halo
from attn_train.attention.identity import Identity
from attn_train.attention.inline import InLine
from attn_train.attention.linear import LinearAttention
from attn_train.attention.non_local import NonLocal
from attn_train.attention.outlook import OutlookAttention
from attn_train.attention.parnet import ParNet
from attn_train.attention.placebo_constant import PlaceboConstant
from attn_train.attention.placebo_shuffled import PlaceboShuffled
from attn_train.attention.polarized import PolarizedAttention
from attn_train.attention.pooled import PooledAttention
from attn_train.attention.psa import PyramidSqueeze
from attn_train.attention.scse import ConcurrentSqueezeExcitation
from attn_train.attention.se import SqueezeExcitation
from attn_train.attention.self_attention import SelfAttention
from attn_train.attention.separable import SeparableAttention
from attn_train.attention.sge import SpatialGroupEnhance
from attn_train.attention.shuffle import ShuffleAttention
from attn_train.attention.simam import SimAM
from attn_train.attention.sk import SelectiveKernel
from attn_train.attention.srm import StyleRecalibration
from attn_train.attention.strip_pooling import StripPooling
from attn_train.attention.top_k import TopK
from attn_train.attention.triplet import TripletAttention
from attn_train.attention.tssa import TokenStatistics
from attn_train.attention.window import Window
from attn_train.attention.xca import CrossCovariance

ATTENTION: dict[str, type[Attention]] = {
    "agent": AgentAttention,
    "augmented_conv": AugmentedConv,
    "axial": Axial,
    "bam": BAM,
    "cbam": CBAM,
    "coordinate": CoordinateAttention,
    "cot": ContextualTransformer,
    "criss_cross": CrissCross,
    "differential": Differential,
    "double_attention": DoubleAttention,
    "eca": EfficientChannelAttention,
    "ema": EfficientMultiScale,
    "ese": EffectiveSqueezeExcitation,
    "external": ExternalAttention,
    "gated": GatedConv,
    "gct": GatedChannelTransformation,
    "ge": GatherExcite,
    "global_context": GlobalContext,
    "halo": Halo,
    "inline": InLine,
    "linear": LinearAttention,
    "non_local": NonLocal,
    "none": Identity,
    "outlook": OutlookAttention,
    "parnet": ParNet,
    "placebo_constant": PlaceboConstant,
    "placebo_shuffled": PlaceboShuffled,
    "polarized": PolarizedAttention,
    "pooled": PooledAttention,
    "psa": PyramidSqueeze,
    "scse": ConcurrentSqueezeExcitation,
    "se": SqueezeExcitation,
    "self_attention": SelfAttention,
    "separable": SeparableAttention,
    "sge": SpatialGroupEnhance,
    "shuffle": ShuffleAttention,
    "simam": SimAM,
    "sk": SelectiveKernel,
    "srm": StyleRecalibration,
    "strip_pooling": StripPooling,
    "top_k": TopK,
    "triplet": TripletAttention,
    "tssa": TokenStatistics,
    "window": Window,
    "xca": CrossCovariance,
}
# Set here, because the table names PlaceboShuffled too.
PlaceboShuffled.mechanisms = ATTENTION
