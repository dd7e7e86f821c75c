"""Fine-tuning jobs in OpenAI's shape."""
