"""Random networks with clear preferences, as checkpoints."""

import numpy as np

from rnn_cli.cells import CELLS
from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.language.networks import network_for
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import BOUNDARY, CharacterCodec

SYMBOLS = "abcdefgh\u00e9\u20ac\U0001f600"  # of 1, 2, 3 and 4 bytes
CHARACTERS = 777  # of the training text


def make_checkpoint(line_mode, cell=CELLS[0], boundary_bias=None, codec=None):
    """Return a random network with clear preferences; a higher `boundary_bias` ends texts earlier."""
    codec = codec or CharacterCodec(SYMBOLS, line_mode)
    config = network_for(codec, cell=cell.name, activation=cell.activation, hidden_size=16, num_layers=2)
    model = Model.initialised(config, np.random.default_rng(11))
    model.parameters *= 3
    parameters = model.to_torch()
    if boundary_bias is not None:
        parameters["decoder.bias"][BOUNDARY] = boundary_bias
    return Checkpoint.of_language(config, codec, parameters, {"corpus": {"characters": CHARACTERS}})


def random_text(size, line_mode, seed=1):
    """Return a text of `size` characters, in line mode with lines of all lengths, some of them empty."""
    characters = SYMBOLS + "\n" * (2 if line_mode else 0)
    return "".join(np.random.default_rng(seed).choice(list(characters), size))
