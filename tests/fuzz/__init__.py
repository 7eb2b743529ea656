"""Fuzz harnesses, one a parser or stateful helper; see README.md."""
