"""The hot loops in Triton, on torch tensors; modules and functions are named as in :mod:`stgraph.kernels.cpu`."""
