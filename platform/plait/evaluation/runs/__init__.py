"""Runs of an evaluation as they are kept: what was asked and answered, and what it is worth, in Parquet."""
