"""The engine on vLLM: its adapters, its messages, and what its CPU build needs."""
