"""Documents into an index, over Ray Data: read, parse, chunk, embed, write."""
