"""A policy as a person reads it: YAML to a checked document, each fault with its place."""
