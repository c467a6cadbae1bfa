"""Random models of each task, as checkpoints, and what network/plain.py computes of them."""

import numpy as np

from rnn_cli.cells import CELLS
from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.plain import network_forward, one_hot, weights_of
from rnn_cli.tasks.classify.model import description as classes
from rnn_cli.tasks.labelled.model import description as labelled
from rnn_cli.text.codecs import ByteCodec, CharacterCodec, TokenCodec, WordCodec

SYMBOLS = 'abcdefg "\\?<é€\U0001f600'
CODECS = {
    "lines": CharacterCodec(SYMBOLS, True),
    "stream": CharacterCodec("\n" + SYMBOLS, False),
    "bytes": ByteCodec(True),
    "words": WordCodec(("the", "cat", "sat", "</script>", "é"), True),
    "tokens": TokenCodec(("a", "b", "ab", "[nH]"), True),
}
HOSTILE = ("</script><img src=x onerror=alert(1)>", "\u2028<!--", "plain")


def random_checkpoint(task, cell=CELLS[0], codec=CODECS["lines"], seed=3, layers=2, **values):
    """Return a random network for a task, with clear preferences and biases that differ."""
    symbols = len(codec)
    outputs = {"classify": 3, "tag": 3}.get(task, symbols)
    inputs = symbols + {"labelled": 3, "tag": 1}.get(task, 0)
    config = NetworkConfig(
        cell=cell.name, activation=cell.activation, input_size=inputs, output_size=outputs,
        hidden_size=11, num_layers=layers, **values,
    )  # fmt: skip
    generator = np.random.default_rng(seed)
    model = Model.initialised(config, generator)
    tensors = {
        name: (tensor * 2 + 0.2 * generator.standard_normal(tensor.shape) * ("bias" in name)).astype(np.float32)
        for name, tensor in model.to_torch().items()
    }
    if task in ("language", "labelled"):
        tensors["decoder.bias"][0] = -3  # so that texts have a length
    description = {
        "language": {"name": "language", "codec": codec.to_dict()},
        "labelled": labelled(codec, HOSTILE, [1, 2, 3]),
        "classify": classes(codec, HOSTILE),
        "tag": {
            "name": "tag",
            "codec": codec.to_dict(),
            "tags": ["NOUN", "VERB", "</x>"],
            "column": None,
            "lexicon": {},
        },
    }[task]
    return Checkpoint(config, description, tensors, {"corpus": {"name": HOSTILE[0]}})


def plain_logits(checkpoint, ids, label=None):
    """Return the logits (T, V) of a text by network/plain.py, in float64."""
    config = checkpoint.config
    model = Model.from_torch(config, checkpoint.parameters)
    network = weights_of(model.layout, model.parameters)
    ids = np.asarray(ids)[:, None]
    if config.embedding == "tied":
        x = network.decoder_weight.T[ids]
    else:
        x = one_hot(ids, config.input_size)
        if label is not None:
            x = x + one_hot(np.array(label + config.output_size), config.input_size)
    starts = np.arange(len(ids))[:, None] == 0
    width = config.directions * config.hidden_size
    states = np.zeros((config.num_layers, config.directions, len(model.layout.cell.states), 1, config.hidden_size))
    mask = np.ones((config.num_layers, 1, width))
    _, _, trace = network_forward(model.layout.cell, network, x, starts, states, mask)
    output = trace.output
    if config.readout == "mean":
        output = np.cumsum(output, axis=0) / np.arange(1, 1 + len(ids))[:, None, None]
    return (output @ network.decoder_weight + network.decoder_bias)[:, 0]


CASES = [
    ("language", {}),
    ("language", {"layers": 1}),
    ("language", {"codec": CODECS["stream"], "layers": 3}),
    ("language", {"codec": CODECS["bytes"]}),
    ("language", {"codec": CODECS["words"], "embedding": "tied"}),
    ("language", {"codec": CODECS["tokens"]}),
    ("labelled", {}),
    ("classify", {}),
    ("classify", {"readout": "mean"}),
    ("classify", {"directions": 2}),
    ("classify", {"directions": 2, "readout": "mean", "layers": 1}),
    ("tag", {"directions": 2, "codec": CharacterCodec(SYMBOLS, False)}),
]  # each is tried with every cell where that costs little
NAMES = [f"{task}-{'-'.join(str(getattr(v, 'kind', v)) for v in values.values())}" for task, values in CASES]


def case_ids(checkpoint):
    """Return a text as symbols of a model: the boundary, then symbols at random."""
    most = min(checkpoint.config.input_size, 12)
    return [0, *np.random.default_rng(5).integers(1, most, 20).tolist()]
