"""Judging answers: what is right, and how sure a comparison is."""
