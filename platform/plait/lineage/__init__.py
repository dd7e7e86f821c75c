"""Where an answer, an adapter or a collection comes from: a tree of what is recorded of each step, gone parts named."""
