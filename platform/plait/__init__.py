"""Plait: give a model knowledge by weights, by retrieval, or by both, and measure which is better."""

from importlib.metadata import version

__version__ = version("plait")
