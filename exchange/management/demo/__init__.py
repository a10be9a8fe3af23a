"""The demo: a forum of five labs on real parts, and the story of one campaign."""
