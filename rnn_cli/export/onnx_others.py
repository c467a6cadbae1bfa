"""ONNX graphs of an encoder with a decoder (kernels/network/attention.py), and of a forecaster (windows.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rnn_cli.export.onnx_graph import Graph, add_layers, join_states, one_hot, split_states, state_shapes
from rnn_cli.export.portable import Portable
from rnn_cli.network.config import EncoderDecoderConfig
from rnn_cli.tasks.forecast.windows import Shape

if TYPE_CHECKING:
    from onnx import ModelProto

ENCODER_MEANING = (
    "ids: at the first `lengths` steps the symbols of a source, the last of which is 0; all outputs are for the decoder"
)
DECODER_MEANING = "symbol 0 is the boundary: as an input it starts a target, as an output it ends one"
SERIES_MEANING = "values: a column for each series, oldest value first; forecast: the next values, quantiles in order"
BARRED = -1e30  # a score whose weight is 0


def encoder_graph(model: Portable) -> ModelProto:
    """Return the graph that reads sources.

    Inputs: `ids` int64 (S, B), `lengths` int32 (B). Outputs: `keys` (S, B, H), `read` (S, B, D H), and the states from
    which the decoder starts, `h0` and for LSTM `c0` (L, B, H).
    """
    config, tensors, graph = model.config, model.tensors, Graph()
    assert isinstance(config, EncoderDecoderConfig)
    own = {name.replace("encoder.", "rnn.", 1): tensor for name, tensor in tensors.items()}
    x = add_layers(graph, config.encoder, own, one_hot(graph, "ids", config.input_size), "lengths")
    read, states = config.directions * config.hidden_size, model.cell.states
    graph.add("Identity", [x], ["read"])
    graph.linear(x, tensors["attention.weight"], output="keys")
    ends = graph.add("Transpose", [f"hn_{config.num_layers - 1}"], perm=[1, 0, 2])  # from (D, B, H)
    end = graph.add("Reshape", [ends, graph.constant([0, read])])
    bridge = graph.add("Tanh", [graph.linear(end, tensors["bridge.weight"], tensors["bridge.bias"])])
    shape = graph.constant([0, config.num_layers, len(states), config.hidden_size])
    by_layer = graph.add("Transpose", [graph.add("Reshape", [bridge, shape])], perm=[2, 1, 0, 3])  # (S, L, B, H)
    for index, state in enumerate(states):
        graph.add("Gather", [by_layer, graph.constant(index)], [f"{state}0"], axis=0)
    return graph.finish(
        {"ids": ("INT64", ["S", "B"]), "lengths": ("INT32", ["B"])},
        {
            "keys": ("FLOAT", ["S", "B", config.hidden_size]),
            "read": ("FLOAT", ["S", "B", read]),
            **state_shapes(model, "0", 1),
        },
        model,
        ENCODER_MEANING,
    )


def decoder_graph(model: Portable) -> ModelProto:
    """Return the graph of some steps of the decoder with its attention.

    Inputs: `ids` int64 (T, B), `lengths`, and `keys`, `read`, `h0`, `c0` of the encoder, or the states after the last
    call. Outputs: `logits` (T, B, V), `attention` (T, B, S), the states `hn` and `cn`.
    """
    config, tensors, graph = model.config, model.tensors, Graph()
    assert isinstance(config, EncoderDecoderConfig)
    own = {name.replace("decoder.", "rnn.", 1): tensor for name, tensor in tensors.items()}
    split_states(graph, model)
    x = add_layers(graph, config.decoder, own, one_hot(graph, "ids", config.output_size))
    join_states(graph, model)
    d = graph.add("Transpose", [x], perm=[1, 0, 2])  # (B, T, H)
    scores = graph.add("MatMul", [d, graph.add("Transpose", ["keys"], perm=[1, 2, 0])])  # (B, T, S)
    steps = graph.add("Gather", [graph.add("Shape", ["keys"]), graph.constant(0)])
    positions = graph.add("Range", [graph.constant(0), steps, graph.constant(1)])
    lengths = graph.add("Cast", ["lengths"], to=7)  # int64
    column = graph.add("Unsqueeze", [lengths, graph.constant([1, 2])])
    inside = graph.add("Less", [positions, column])  # (B, 1, S)
    scores = graph.add("Where", [inside, scores, graph.constant(np.array(BARRED, np.float32))])
    weights = graph.add("Softmax", [scores], axis=-1)
    contexts = graph.add("MatMul", [weights, graph.add("Transpose", ["read"], perm=[1, 0, 2])])
    both = graph.add("Concat", [d, contexts], axis=-1)
    z = graph.add("Tanh", [graph.linear(both, tensors["combine.weight"], tensors["combine.bias"])])
    logits = graph.linear(z, tensors["output.weight"], tensors["output.bias"])
    graph.add("Transpose", [logits], ["logits"], perm=[1, 0, 2])
    graph.add("Transpose", [weights], ["attention"], perm=[1, 0, 2])
    return graph.finish(
        {
            "ids": ("INT64", ["T", "B"]),
            "lengths": ("INT32", ["B"]),
            "keys": ("FLOAT", ["S", "B", config.hidden_size]),
            "read": ("FLOAT", ["S", "B", config.directions * config.hidden_size]),
            **state_shapes(model, "0", 1),
        },
        {
            "logits": ("FLOAT", ["T", "B", config.output_size]),
            "attention": ("FLOAT", ["T", "B", "S"]),
            **state_shapes(model, "n", 1),
        },
        model,
        DECODER_MEANING,
    )


def series_graph(model: Portable) -> ModelProto:
    """Return the graph of a forecaster, with what it reads of a series.

    Input: `values` float64 (N, B), of at least a season and two values. Output: `forecast` float64 (horizon, B, Q).
    """
    config, tensors, graph, about = model.config, model.tensors, Graph(), model.details
    shape = Shape(about["season"], about["longer"], about["horizon"])
    count = graph.add("Gather", [graph.add("Shape", ["values"]), graph.constant(0)])
    scale = add_scale(graph, shape.season, count)
    x = add_inputs(graph, shape, about["context"], count, scale)
    last = add_last_output(graph, model, x)
    changes = graph.linear(last, tensors["decoder.weight"], tensors["decoder.bias"])
    levels = max(1, len(config.quantiles))
    changes = graph.add("Reshape", [changes, graph.constant([-1, shape.horizon, levels])])
    changes = graph.add("Cast", [graph.add("Transpose", [changes], perm=[1, 0, 2])], to=11)  # double
    column = graph.add("Reshape", [scale, graph.constant([1, -1, 1])])
    season = graph.constant(np.arange(shape.horizon) % shape.season - shape.season)
    naive = graph.add("Unsqueeze", [graph.add("Gather", ["values", season], axis=0), graph.constant([2])])
    found = graph.add("Add", [naive, graph.add("Mul", [changes, column])])
    graph.add("TopK", [found, graph.constant([levels])], ["forecast", "order"], axis=-1, largest=0, sorted=1)
    return graph.finish(
        {"values": ("DOUBLE", ["N", "B"])},
        {"forecast": ("DOUBLE", [shape.horizon, "B", levels])},
        model,
        SERIES_MEANING,
    )


def add_scale(graph: Graph, season: int, count: str) -> str:
    """Add the scale (1, B) of each series, as `seasonal_scale` computes it."""
    zero, one, end = graph.constant([0]), graph.constant(1), graph.constant([2**62])
    apart = graph.add("Where", [graph.add("Greater", [count, graph.constant(season)]), graph.constant(season), one])
    apart = graph.add("Reshape", [apart, graph.constant([1])])
    later = graph.add("Slice", ["values", apart, end, zero])
    earlier = graph.add("Slice", ["values", zero, graph.add("Neg", [apart]), zero])
    changes = graph.add("Abs", [graph.add("Sub", [later, earlier])])
    sizes = graph.add("Abs", ["values"])
    least = graph.add(
        "Mul", [graph.add("ReduceMax", [sizes], axes=[0], keepdims=1), graph.constant(np.array(1e-12, np.float64))]
    )
    scale = graph.constant(np.array(1, np.float64))
    for each in (sizes, changes):
        mean = graph.add("ReduceMean", [each], axes=[0], keepdims=1)
        scale = graph.add("Where", [graph.add("Greater", [mean, least]), mean, scale])
    return scale


def add_inputs(graph: Graph, shape: Shape, context: int, count: str, scale: str) -> str:
    """Add what the network reads (T, B, I) of the last `context` steps, as `Windows.inputs` computes it."""
    reach, season = shape.reach, shape.season
    ahead = np.arange(1, shape.horizon + 1)
    naive = ahead - season * -(-ahead // season)  # where each step ahead was in the last season, from t
    last, far = naive[:season], ahead[: shape.longer] - shape.longer
    scaled = graph.add("Div", ["values", scale])
    z = graph.add("Pad", [scaled, graph.constant([reach, 0, 0, 0])])
    first = graph.add("Max", [graph.add("Sub", [count, graph.constant(context)]), graph.constant(shape.first)])
    steps = [graph.add("Add", [each, graph.constant(reach)]) for each in (first, count)]
    t = graph.add("Unsqueeze", [graph.add("Range", [*steps, graph.constant(1)]), graph.constant([1])])

    def at(offsets: np.ndarray) -> str:
        """Add the values (T, K, B) at offsets from each step."""
        return graph.add("Gather", [z, graph.add("Add", [t, graph.constant(offsets.astype(np.int64))])], axis=0)

    def change(after: np.ndarray, before: np.ndarray) -> str:
        """Add how the values at two offsets differ; 0 if the earlier one is before the start."""
        index = graph.add("Add", [t, graph.constant(before.astype(np.int64))])
        known = graph.add("GreaterOrEqual", [index, graph.constant(reach)])
        known = graph.add("Unsqueeze", [known, graph.constant([2])])
        difference = graph.add("Sub", [at(after), at(before)])
        return graph.add("Where", [known, difference, graph.constant(np.array(0, np.float64))])

    now = np.zeros(1, np.int64)
    level = graph.add("ReduceMean", [at(-np.arange(season))], axes=[1], keepdims=1)
    inputs = [
        graph.add("Sub", [at(now), at(now - 1)]),
        change(now, now - season),
        graph.add("Sub", [at(last), level]),
        change(last, last - season),
    ]
    if len(far):
        inputs.append(graph.add("Neg", [change(naive[: len(far)], far)]))
    x = graph.add("Transpose", [graph.add("Concat", inputs, axis=1)], perm=[0, 2, 1])
    return graph.add("Asinh", [graph.add("Cast", [x], to=1)])  # float


def add_last_output(graph: Graph, model: Portable, x: str) -> str:
    """Add the layers, from zero states, and return their output (B, H) at the last step."""
    batch = graph.add("Gather", [graph.add("Shape", ["values"]), graph.constant([1])])
    steps = graph.add("Gather", [graph.add("Shape", [x]), graph.constant([0])])
    lengths = graph.add("Cast", [graph.add("Expand", [steps, batch])], to=6)  # int32
    y = add_layers(graph, model.config, model.tensors, x, lengths)
    return graph.add("Gather", [y, graph.constant(-1)], axis=0)
