"""One run: the active algorithms over the pool, in processes of their own, and what they found."""
