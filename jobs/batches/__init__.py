"""Batches of requests that clients order, answered by the served application through Ray Data."""
