"""Rows of the pool: sealed extracts and their keys, for the pool and its runs alone."""
