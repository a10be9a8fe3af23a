"""Rows of runs, of what they found, and of drafts for one member."""
