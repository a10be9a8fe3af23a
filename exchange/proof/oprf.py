"""Blind evaluation on P-256: the pure half of keyed tokens."""
