"""Which arm should answer a question: policies, and how one is learned from a comparison and judged."""
