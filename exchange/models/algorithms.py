"""Rows of algorithms and what became of them."""
