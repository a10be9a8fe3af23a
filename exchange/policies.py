"""Policies as documents: drafted, approved, put in force by two people, never changed after."""
