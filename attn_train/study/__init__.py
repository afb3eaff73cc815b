"""attn-study: arms and seeds, trained until the answer is in or the budget is spent."""
