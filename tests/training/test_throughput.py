"""The speed of this machine, which the choice of sizes asks for."""

import pytest

from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import parameter_count
from rnn_cli.training.throughput import operations, units_per_second


def test_operations_are_six_for_each_weight_of_a_product():
    small, large = (
        NetworkConfig.for_symbols(vocab_size, cell="lstm", hidden_size=7, num_layers=3) for vocab_size in (5, 6)
    )
    biases_and_inputs = 3 * 4 * 7 + 4 * 7 * 5 + 5
    assert operations(small) == 6 * (parameter_count(small) - biases_and_inputs)
    assert operations(large) - operations(small) == 6 * 7


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_a_network_of_half_the_size_is_said_to_be_almost_four_times_as_fast(name):
    large, small = (
        units_per_second(NetworkConfig.for_symbols(2, cell=name, hidden_size=size), "float32", 1) for size in (512, 256)
    )
    assert 3.9 < small / large < 4
