"""The engine on torch: every kind of adapter, batches that change at every step, kernels of its own."""
