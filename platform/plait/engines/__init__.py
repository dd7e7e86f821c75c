"""Engines: one small interface for generating text, and its implementations."""
