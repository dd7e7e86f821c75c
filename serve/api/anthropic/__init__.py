"""Anthropic's API of messages: its requests, its answers, its streams."""
