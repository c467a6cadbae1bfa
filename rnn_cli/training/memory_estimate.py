"""How much memory a run of training will take, before it takes any."""

from __future__ import annotations

from rnn_cli.kernels.simd.cpu import VECTOR_BYTES
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import Layout
from rnn_cli.text.corpus import Corpus
from rnn_cli.text.fingerprint import first_size
from rnn_cli.text.spool import IN_MEMORY
from rnn_cli.training.config import TrainingConfig

FLOAT32 = 4  # bytes
BASE = 150e6  # bytes of the interpreter with its libraries and the compiled kernels
# Vectors of the size of all parameters, at once, while a model is saved: parameters, packed ones, transposed ones,
# gradient, two moments, the best ones; the last good state and the one before (3 each); and for the file the state,
# the best ones, and twice their bytes.
VECTORS = 7 + 6 + 4 + 8
AUGMENTED, DRAWN = 50, 4  # bytes for each symbol of a text whose n-grams are drawn from, and for each that is drawn
FINGERPRINTS = 9  # of its size, at once, while a model is saved: itself, and its letters in base 64 in several copies


def peak_memory(model: NetworkConfig, training: TrainingConfig, corpus: Corpus) -> int:
    """Return about how many bytes a run takes at its peak."""
    layout = Layout(model, VECTOR_BYTES // FLOAT32)
    cell, hidden, layers = layout.cell, layout.hidden, model.num_layers
    vectors = VECTORS + 5 * (training.average > 0) + (training.recurrent_dropout > 0)
    window = training.batch_size * training.sequence_length
    # For each symbol of a window: gates, states and output of each layer, the gradient in one output, the logits.
    symbol = layers * (cell.blocks + len(cell.states) + 1) * hidden + hidden + layout.columns
    symbols = sum(min(part.nbytes, IN_MEMORY) for part in (corpus.training, corpus.validation) if part is not None)
    if training.augment:
        symbols += round((AUGMENTED + DRAWN * training.augment) * len(corpus.training))
    numbers = vectors * layout.size + window * symbol
    fingerprint = first_size(len(corpus.training), corpus.codec.line_mode) if training.fingerprint else 0
    return round(BASE + FLOAT32 * numbers + symbols + FINGERPRINTS * fingerprint)
