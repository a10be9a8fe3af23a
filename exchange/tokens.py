"""Blind evaluation for members: the exchange's half of a keyed token, within a quota."""
