"""Fine-tune, retrieve, or both: a comparison runs jobs, serves what they made, and says which is best."""
