"""What Ray keeps running: engines, deployments, and the OpenAI-compatible API in front of them."""
