"""How fast this machine trains: a few steps of a network of 512 units, and from them the speed of other sizes."""

from __future__ import annotations

import time
from functools import cache

import numpy as np

from rnn_cli.cells import find_cell
from rnn_cli.kernels.network.optimizer import Step
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import EncoderDecoderConfig, NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import TrainingWindow

SECONDS = 0.2  # of steps that are timed
HIDDEN, BATCH, LENGTH, SYMBOLS = 512, 64, 32, 64
ROWS_OF_A_THREAD = 16  # with fewer, it reads the weights for too little work: see benchmarks/core_scaling.py


def rows_for(threads: int) -> int:
    """Return how many rows a batch should have at least, for so many threads."""
    return ROWS_OF_A_THREAD * threads


def operations(config: NetworkConfig) -> int:
    """Return the operations of the matrix products in training, for each position: 6 for each weight.

    Symbols, the usual input of the first layer, take no product.
    """
    if isinstance(config, EncoderDecoderConfig):  # of a symbol that is read and one that is written
        combine = 6 * config.hidden_size**2 * (1 + config.directions)
        return operations(config.encoder) + operations(config.decoder) + combine
    cell = find_cell(config.cell, config.activation)
    inputs = (config.num_layers - 1) * config.runs * config.hidden_size
    if config.inputs == "numbers":
        inputs += config.input_size
    recurrent = config.num_layers * config.hidden_size
    columns = len(cell.input_gates) * inputs + len(cell.recurrent_gates) * recurrent + config.output_size
    return 6 * config.runs * config.hidden_size * columns


@cache
def measured_speed(cell: str, activation: str, precision: str, threads: int) -> float:
    """Return the operations per second of a training step: of the fastest of those that fit into SECONDS."""
    config = NetworkConfig.for_symbols(SYMBOLS, cell=cell, activation=activation, hidden_size=HIDDEN)
    model = Model.initialised(config, np.random.default_rng(0))
    batch = max(BATCH, rows_for(threads))
    window = TrainingWindow(model, LENGTH, batch, Team(threads), precision)
    window.inputs[:] = window.targets[:] = np.arange(batch) % SYMBOLS
    times: list[float] = []
    window.train(Step(1, 0.0, 1.0))  # compiles, or warms up
    while sum(times) < SECONDS:
        start = time.perf_counter()
        window.train(Step(len(times) + 2, 0.0, 1.0))
        times.append(time.perf_counter() - start)
    return batch * LENGTH * operations(config) / min(times)


def units_per_second(config: NetworkConfig, precision: str, threads: int) -> float:
    """Return about how many units per second a network trains on, if each position of a batch is scored."""
    return measured_speed(config.cell, config.activation, precision, threads) / operations(config)


def exchange_seconds(parameters: int, ranks: int, bytes_per_second: float) -> float:
    """Return how long ranks take to add their gradients: each sends and receives 8 (n - 1) / n bytes a parameter."""
    return 8 * parameters * (ranks - 1) / ranks / bytes_per_second
