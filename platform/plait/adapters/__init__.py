"""Adapters: what is in an adapter folder, and the registry that versions them."""
