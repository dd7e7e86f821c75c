"""Bottleneck adapters, Plait's own method: its configurations, and its model with PEFT's surface."""
