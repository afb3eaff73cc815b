"""attn-compare: from run folders to a verdict: does this attention help, by how much, at what cost."""
