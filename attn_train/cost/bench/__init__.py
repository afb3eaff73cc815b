"""attn-bench: time and memory of each mechanism, measured in processes of their own."""
