"""How well a trained network does on images that are worse than those it was trained on."""
