"""Questions with known answers to accuracy by model, through a running server."""
