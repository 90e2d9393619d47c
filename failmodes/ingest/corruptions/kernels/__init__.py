"""The corruption kernels, by group: uint8 batches in, float or uint8 batches out."""
