"""A recurrent network: layers over time, the readout, gradients, the optimizer."""
