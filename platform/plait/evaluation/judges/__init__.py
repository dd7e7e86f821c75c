"""Judges, one a file: who says whether a text follows from others."""
