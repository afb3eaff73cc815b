"""The folder of a run: written by one side, read by the other."""
