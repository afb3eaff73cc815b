"""attn-bench: what attention costs in time, memory and operations, and how that grows with the number of tokens."""
