"""Algorithms: written and approved by two people of a member, reviewed, activated, withdrawn."""
