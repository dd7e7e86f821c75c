"""What computes vectors on this machine: kernels of our own for BERT, OpenVINO, torch."""
