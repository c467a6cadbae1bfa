"""How kernels are compiled, linked and kept. All that stands on private names of Numba is here: see README.md."""
