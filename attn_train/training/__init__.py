"""Training and testing a network: tensors in, numbers out; no folder, no Hydra."""
