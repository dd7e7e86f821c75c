"""What computes vectors: our own kernels for BERT, OpenVINO, torch, and an endpoint elsewhere."""
