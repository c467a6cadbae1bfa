"""Random models of each task, as checkpoints, and what network/plain.py computes of them."""

import numpy as np

from rnn_cli.cells import CELLS, find_cell
from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.network.config import EncoderDecoderConfig, NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.pair_window import part_models
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
CHARACTERS = CharacterCodec(SYMBOLS, False)
BIO = ("B-x", "I-x", "B-y", "I-y", "O")
TARGETS = ("a", "</script>", '"?', "é")
SHAPE = {"season": 5, "longer": 7, "horizon": 4, "context": 6}
SOURCES = ["abc", "é<b>", "", "gfe\U0001f600dcba zé"]
SERIES = [  # ordinary, short, of one season, constant, of zeros, large
    np.random.default_rng(1).normal(20, 5, 40).cumsum(),
    np.arange(7.0) ** 2,
    np.array([1.0, 2, 4, 8, 16]),
    np.full(20, 3.5),
    np.zeros(20),
    1e25 * np.sin(np.arange(300.0)),
]
FORECASTERS = [(CELLS[0], ()), (CELLS[1], (0.9, 0.1, 0.5))]
HOSTILE = ("</script><img src=x onerror=alert(1)>", "\u2028<!--", "plain")


def random_checkpoint(task, cell=CELLS[0], codec=CODECS["lines"], seed=3, layers=2, **values):
    """Return a random network for a task, with clear preferences and biases that differ."""
    symbols, tags = len(codec), values.pop("tags", ("NOUN", "VERB", "</x>"))
    horizon = SHAPE["horizon"] * max(1, len(values.get("quantiles", ())))
    outputs = {"classify": 3, "tag": len(tags), "translate": 1 + len(TARGETS), "forecast": horizon}.get(task, symbols)
    inputs = {"labelled": symbols + 3, "tag": symbols + 1, "translate": symbols + 1, "forecast": 14}.get(task, symbols)
    if task == "forecast":
        values |= {"inputs": "numbers", "outputs": "numbers"}
    config = (EncoderDecoderConfig if task == "translate" else NetworkConfig)(
        cell=cell.name, activation=cell.activation, input_size=inputs, output_size=outputs,
        hidden_size=11, num_layers=layers, **values,
    )  # fmt: skip
    generator = np.random.default_rng(seed)
    model, factor = Model.initialised(config, generator), 5 if task == "translate" else 2
    tensors = {
        name: (tensor * factor + 0.2 * generator.standard_normal(tensor.shape) * ("bias" in name)).astype(np.float32)
        for name, tensor in model.to_torch().items()
    }
    ends = {"language": "decoder.bias", "labelled": "decoder.bias", "translate": "output.bias"}
    if task in ends:
        tensors[ends[task]][0] = -3  # so that texts have a length
    description = {
        "language": {"name": "language", "codec": codec.to_dict()},
        "labelled": labelled(codec, HOSTILE, [1, 2, 3]),
        "classify": classes(codec, HOSTILE),
        "tag": {
            "name": "tag",
            "codec": codec.to_dict(),
            "tags": list(tags),
            "column": None,
            "lexicon": {},
        },
        "translate": {
            "name": "translate",
            "codec": codec.to_dict(),
            "form": "NFD",
            "outputs": list(TARGETS),
            "words": True,
            "longest": 9,
        },
        "forecast": {"name": "forecast", **SHAPE, "series": {}},
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


def plain_answers(checkpoint, source, target):
    """Return the logits (T + 1, V) after a source of symbols, the last of which is 0, and each symbol of a target.

    These are the equations of kernels/network/attention.py, in float64.
    """
    config, tensors = checkpoint.config, {name: t.astype(np.float64) for name, t in checkpoint.parameters.items()}
    encoder, decoder = (
        weights_of(half.layout, half.parameters) for half in part_models(Model.from_torch(config, tensors))
    )
    cell, units, layers = find_cell(config.cell, config.activation), config.hidden_size, config.num_layers

    def outputs_of(network, symbols, size, states):
        ids = np.asarray(symbols)[:, None]
        starts = np.zeros(ids.shape, bool)
        mask = np.ones((layers, 1, network.decoder_weight.shape[0]))
        return network_forward(cell, network, one_hot(ids, size), starts, states, mask)[2].output[:, 0]

    states = np.zeros((layers, config.directions, len(cell.states), 1, units))
    read = outputs_of(encoder, source, config.input_size, states)
    keys = read @ tensors["attention.weight"].T
    end = np.concatenate([read[-1, :units], read[0, units:]])
    initial = np.tanh(tensors["bridge.weight"] @ end + tensors["bridge.bias"])
    states = initial.reshape(layers, 1, len(cell.states), 1, units)
    written = outputs_of(decoder, [0, *target], config.output_size, states)
    scores = written @ keys.T
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    contexts = weights / weights.sum(axis=1, keepdims=True) @ read
    both = np.concatenate([written, contexts], axis=1)
    z = np.tanh(both @ tensors["combine.weight"].T + tensors["combine.bias"])
    return z @ tensors["output.weight"].T + tensors["output.bias"]


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
    ("tag", {"directions": 2, "codec": CHARACTERS}),
]  # each is tried with every cell where that costs little
NAMES = [f"{task}-{'-'.join(str(getattr(v, 'kind', v)) for v in values.values())}" for task, values in CASES]


def case_ids(checkpoint):
    """Return a text as symbols of a model: the boundary, then symbols at random."""
    most = min(checkpoint.config.input_size, 12)
    return [0, *np.random.default_rng(5).integers(1, most, 20).tolist()]
