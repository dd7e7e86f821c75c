"""Fine-tune, retrieve, or both: what an evaluation of the four says."""
