"""The commands, as `python -m attn_train train ...`, `eval`, `bench`, `compare` or `study`; train where none is
named."""

import sys

from attn_train.cli import COMMANDS

words = sys.argv[1:]
if words and words[0] in COMMANDS:
    COMMANDS[words[0]](words[1:])
else:
    COMMANDS["train"](words)
