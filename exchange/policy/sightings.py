"""Sightings of one object by one member, folded into one."""
