"""Extracts: taken in, checked again, sealed for each member and day, erased with the key."""
