"""The floor in words, for lawyers: everything that it says, in sentences."""
