"""Fine-tune, retrieve, or both: which arms there are, and what their answers show."""
