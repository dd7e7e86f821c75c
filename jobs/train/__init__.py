"""Examples to a trained, registered adapter, on Ray Train."""
