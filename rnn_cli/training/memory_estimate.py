"""How much memory a run of training will take, before it takes any."""

from __future__ import annotations

from rnn_cli.kernels.simd.cpu import VECTOR_BYTES
from rnn_cli.network.config import EncoderDecoderConfig, NetworkConfig
from rnn_cli.network.encoder_decoder import layout_of
from rnn_cli.training.config import TrainingConfig

FLOAT32 = 4  # bytes
BASE = 150e6  # bytes of the interpreter with its libraries and the compiled kernels
# Vectors of the size of all parameters, at once, while a model is saved: parameters, packed ones, transposed ones,
# gradient, two moments, the best ones; the last good state and the one before (3 each); and for the file the state,
# the best ones, and twice their bytes.
VECTORS = 7 + 6 + 4 + 8


def peak_memory(network: NetworkConfig, training: TrainingConfig, data: int) -> int:
    """Return about how many bytes a run takes at its peak, `data` of them for what it is trained on."""
    layout = layout_of(network, VECTOR_BYTES // FLOAT32)
    vectors = VECTORS + 5 * (training.average > 0) + (training.recurrent_dropout > 0)
    vectors += training.groups + 2 if training.groups > 1 else 0  # a gradient for each, and what ranks exchange
    vectors += 4 * (training.networks - 1)  # each that is trained, in memory and in the file
    window = training.batch_size * training.sequence_length
    parts = [network]
    position = 0.0
    if isinstance(network, EncoderDecoderConfig):
        parts = [network.encoder, network.decoder]
        position = 3 * network.hidden_size * (1 + network.directions)  # contexts, z and their gradients
    position += sum(numbers_of_a_position(part, training.precision) for part in parts)
    return round(BASE + FLOAT32 * (vectors * layout.size + window * position) + data)


def numbers_of_a_position(network: NetworkConfig, precision: str) -> float:
    """Return gates, states and output of each layer, the gradient in an output, the logits: at one position.

    Gates in bfloat16 count as half a number.
    """
    layout = layout_of(network, VECTOR_BYTES // FLOAT32)
    cell, runs = layout.cell, network.num_layers * network.runs
    gates = cell.blocks / (2 if precision == "bfloat16" else 1)
    position = runs * (gates + len(cell.states)) * layout.hidden
    return position + (network.num_layers + network.runs) * layout.width + layout.columns
