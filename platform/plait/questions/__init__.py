"""Questions made of documents: facts, how they are asked about, what is filtered out, and which group each is of."""
