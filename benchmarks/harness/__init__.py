"""What the benchmarks share: options, peers' environments, the page of results, and a home of their own."""
