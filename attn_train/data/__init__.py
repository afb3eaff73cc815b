"""One data set as tensors on the device, and its batches."""
