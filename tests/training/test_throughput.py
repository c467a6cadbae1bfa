"""The speed of this machine, which the choice of sizes asks for."""

import pytest

from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import parameter_count
from rnn_cli.training import throughput
from rnn_cli.training.throughput import operations


def test_operations_are_six_for_each_weight_of_a_product():
    small, large = (
        NetworkConfig.for_symbols(vocab_size, cell="lstm", hidden_size=7, num_layers=3) for vocab_size in (5, 6)
    )
    biases_and_inputs = 3 * 4 * 7 + 4 * 7 * 5 + 5
    assert operations(small) == 6 * (parameter_count(small) - biases_and_inputs)
    assert operations(large) - operations(small) == 6 * 7


def test_numbers_and_directions_take_products():
    sizes = {"cell": "gru", "hidden_size": 7, "num_layers": 2, "output_size": 5}
    symbols, numbers = (NetworkConfig(inputs=inputs, input_size=11, **sizes) for inputs in ("symbols", "numbers"))
    assert operations(numbers) - operations(symbols) == 6 * 3 * 7 * 11
    both = NetworkConfig(input_size=11, directions=2, **sizes)
    # Each direction reads both directions of the layer below; the output reads both, too.
    assert operations(both) == 6 * (2 * (2 * 3 * 7 * 7 + 3 * 7 * 2 * 7) + 2 * 7 * 5)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_half_the_units_take_almost_a_quarter_of_the_operations(name):
    large, small = (operations(NetworkConfig.for_symbols(2, cell=name, hidden_size=size)) for size in (512, 256))
    assert 3.9 < large / small < 4


def test_the_speed_is_that_of_the_measured_operations(monkeypatch):
    monkeypatch.setattr(throughput, "measured_speed", lambda *what: 1e9)
    network = NetworkConfig.for_symbols(30, hidden_size=100)
    assert throughput.units_per_second(network, "float32", 1) == 1e9 / operations(network)


def test_the_speed_is_measured_once():
    throughput.measured_speed.cache_clear()
    speeds = {throughput.measured_speed("rnn", "tanh", "float32", 1) for _ in range(2)}
    assert len(speeds) == 1
    assert 0 < speeds.pop() < float("inf")
