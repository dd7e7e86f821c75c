"""The HTTP API: a file for the routes of each noun, and what they share."""
