"""The machine that a run meets: device, memory, recording, compiling, clock, signals, what its process lacks."""
