"""CPU kernels, compiled by numba on first use and cached between processes."""
