"""Sweeps: trainings with other sizes and rates, which any number of processes share by a journal file."""
