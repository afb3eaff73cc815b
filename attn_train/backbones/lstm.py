"""A recurrent network that reads an image row by row, with attention over the rows it has read."""

import torch
from torch import Tensor, nn

from attn_train.backbones.backbone import Backbone
from attn_train.backbones.placement import AttentionFactory, Placement, Slots
from attn_train.ops.pooling import mean
from attn_train.optim.roles import Roles, sort_parameters


class RowLSTM(nn.Module):
    """Read a sequence (batch, channels, length, 1) in both directions, by a long short-term memory for each (Hochreiter
    and Schmidhuber, 1997): (batch, 2 units, length, 1).

    Its bias makes it remember at first: that of the forget gate begins at one (Jozefowicz et al., 2015, section 5).
    """

    def __init__(self, channels_in: int, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels_in, units, batch_first=True, bidirectional=True)
        with torch.no_grad():
            for name, bias in self.lstm.named_parameters():
                if name.startswith("bias"):  # two that are added, each of the gates: input, forget, cell, output
                    bias[units : 2 * units] = 0.5

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(x.flatten(2).transpose(1, 2))  # (batch, length, 2 units)
        return out.transpose(1, 2).unsqueeze(3)


class LSTMNet(Backbone):
    """Build bidirectional LSTM layers over the rows of an image, the mean over the rows, and a linear layer.

    A row's pixels in all channels are one step of the sequence. A mechanism sees the sequence as a map with one column,
    (batch, 2 units, rows, 1): each of its positions is a step in time.

    Args:
        widths: the units of each layer, in either direction; a layer is a stage.
    """

    any_size = False  # a row must have as many pixels as the first layer's matrix

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        attention: AttentionFactory,
        *,
        widths: list[int],
        placement: Placement,
    ) -> None:
        super().__init__()
        channels, rows, columns = shape
        if not widths or min(widths) < 1:
            raise ValueError(f"widths={widths} must hold at least one number of units, each at least 1")
        slots = Slots(attention, placement, len(widths), ("after_activation",))
        self.layers, self.attention_after = nn.ModuleList(), nn.ModuleList()
        channels_in = channels * columns
        for stage, units in enumerate(widths, start=1):
            self.layers.append(RowLSTM(channels_in, units))
            channels_in = 2 * units
            self.attention_after.append(slots.at(stage, "after_activation", channels_in, (rows, 1)))
        self.slots = slots.filled
        self.head = nn.Linear(channels_in, classes)

    def roles(self) -> Roles:
        """Return the trainable parameters by their role: the recurrent matrices need Adam, as a mechanism's do."""
        return sort_parameters(self, [*self.slots, self.layers])

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2).flatten(2).transpose(1, 2).unsqueeze(3)  # (batch, channels * columns, rows, 1)
        for layer, attention in zip(self.layers, self.attention_after, strict=True):
            x = attention(layer(x))
        return self.head(mean(x, 2, 3).flatten(1))
