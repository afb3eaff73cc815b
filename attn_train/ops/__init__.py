"""Tensor operations that mechanisms and backbones share, with their own gradients where PyTorch's are slow."""
