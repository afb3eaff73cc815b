"""Optimizers, the schedule of their rate, and the average of the weights."""
