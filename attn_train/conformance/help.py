"""What attn-check --help prints."""

HELP = """\
attn-check: look at an attention module point by point, before a run is spent on it.

  attn-check model=NAME [plugins=FILE.py] [SETTING=VALUE] ...

model=NAME            a mechanism of attn-train, or a class of a file in plugins=
model.SETTING=VALUE   its own settings
plugins=FILE.py       a person's own module: any torch.nn.Module that keeps the shape of a map, or of its tokens
channels=64           of the map that it is made for
size=16               its height and width
format=table          or json: one line for programs

What it must do, each with passes, limited (it trains, but not everywhere: the line says how to go on) or fails: shape
and type kept, other sizes, 1 channel, a batch of 1, bfloat16, channels_last, gradients, the same result twice, each
image on its own, compiled, exported, and whether each setting has an effect.
What it is: symmetries (pixels or channels shuffled, shifts, flips), the identity at the start or not, parameters,
multiply-adds, and by which power of the number of pixels its memory grows.

It ends with exit code 7 where a point fails, 2 where the words are wrong, else 0.

Examples
  attn-check model=se
  attn-check model=MyAttention plugins=my_attention.py model.reduction=8"""
