"""The command attn-train, as `python -m attn_train`."""

from attn_train.cli import train

train()
