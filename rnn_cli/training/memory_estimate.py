"""How much memory a run of training will take, before it takes any."""

from __future__ import annotations

from rnn_cli.kernels.simd.cpu import VECTOR_BYTES
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import Layout
from rnn_cli.training.config import TrainingConfig

FLOAT32 = 4  # bytes
BASE = 150e6  # bytes of the interpreter with its libraries and the compiled kernels
# Vectors of the size of all parameters, at once, while a model is saved: parameters, packed ones, transposed ones,
# gradient, two moments, the best ones; the last good state and the one before (3 each); and for the file the state,
# the best ones, and twice their bytes.
VECTORS = 7 + 6 + 4 + 8


def peak_memory(network: NetworkConfig, training: TrainingConfig, data: int) -> int:
    """Return about how many bytes a run takes at its peak, `data` of them for what it is trained on."""
    layout = Layout(network, VECTOR_BYTES // FLOAT32)
    cell, directions = layout.cell, network.directions
    vectors = VECTORS + 5 * (training.average > 0) + (training.recurrent_dropout > 0)
    window = training.batch_size * training.sequence_length
    # For each position of a window: gates, states and output of each layer, the gradient in an output, the logits.
    runs = network.num_layers * directions
    position = runs * (cell.blocks + len(cell.states)) * layout.hidden
    position += (network.num_layers + directions) * layout.width + layout.columns
    return round(BASE + FLOAT32 * (vectors * layout.size + window * position) + data)
