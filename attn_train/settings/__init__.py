"""From words to a checked configuration: the room that knows Hydra; no torch."""
