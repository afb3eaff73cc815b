"""Train image classifiers with attention and measure whether the attention helps."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attn_train.commands.library import compare, evaluate, load, train

__version__ = "0.1.0"
__all__ = ["compare", "evaluate", "load", "train"]


def __getattr__(name: str) -> Any:
    """Import the commands' functions when they are first asked for: they bring torch, which takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from attn_train.commands import library

    return getattr(library, name)
