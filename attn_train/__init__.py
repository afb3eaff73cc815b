"""Train image classifiers with attention and measure whether the attention helps."""

__version__ = "0.1.0"
