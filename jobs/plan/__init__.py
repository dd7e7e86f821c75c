"""What a training run will need, before it runs: parameters, memory by part, time, and which GPUs it fits on."""
