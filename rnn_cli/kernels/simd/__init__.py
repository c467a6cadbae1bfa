"""Vectors: what the processor offers, and the vector type in which kernels compute."""
