"""A model as ONNX graphs, built by hand. Those of an encoder with a decoder and of a forecaster: onnx_others.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rnn_cli.checkpoint.checkpoint import TRANSLATE
from rnn_cli.errors import UsageError
from rnn_cli.export.portable import BOUNDARY_MEANING, Portable
from rnn_cli.tasks.forecast.forecaster import FORECAST

if TYPE_CHECKING:
    from onnx import ModelProto

    from rnn_cli.export.onnx_graph import Graph

LARGEST = 2_000_000_000  # bytes of a file; a protocol buffer ends at 2 GiB
MEAN_MEANING = "the outputs are means over the steps of one call: give a whole text at once"
BACK_MEANING = "a direction reads from the end: give a whole text at once"


def onnx_models(model: Portable) -> dict[str, ModelProto]:
    """Return the graphs of a model by what is added to the name of the file: "", or "-encoder" and "-decoder".

    Raises UsageError if the library onnx is missing, or the file would be too large.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as problem:
        raise UsageError("the library onnx is missing; install it with: pip install 'rnn-cli[onnx]'") from problem
    if sum(tensor.nbytes for tensor in model.tensors.values()) > LARGEST:
        raise UsageError("the model is too large for an ONNX file, which may have 2 GB")
    from rnn_cli.export.onnx_others import decoder_graph, encoder_graph, series_graph

    if model.task == TRANSLATE:
        return {"-encoder": encoder_graph(model), "-decoder": decoder_graph(model)}
    return {"": series_graph(model) if model.task == FORECAST else text_graph(model)}


def text_graph(model: Portable) -> ModelProto:
    """Return the graph of a model that reads texts.

    Inputs: `ids` int64 (T, B), for a model of labels `label` int64 (B), and the states `h0`, for LSTM `c0` too,
    float32 (L D, B, H). Outputs: `logits` float32 (T, B, V) and the states after the last step, `hn` and `cn`.
    """
    from rnn_cli.export.onnx_graph import Graph, add_layers, join_states, one_hot, split_states, state_shapes

    config, tensors, graph = model.config, model.tensors, Graph()
    split_states(graph, model)
    if config.embedding == "tied":
        decoder = tensors["encoder.weight"]
        x = graph.add("Gather", [graph.constant(decoder), "ids"], axis=0)
    else:
        decoder = tensors["decoder.weight"]
        x = one_hot(graph, "ids", config.input_size)
        if model.labels:
            label = graph.add("Add", ["label", graph.constant(len(model.symbols))])
            x = graph.add("Add", [x, one_hot(graph, label, config.input_size)])
    x = add_layers(graph, config, tensors, x)
    if config.readout == "mean":
        x = add_mean(graph, x)
    graph.linear(x, decoder, tensors["decoder.bias"], "logits")
    join_states(graph, model)
    label_input = {"label": ("INT64", ["B"])} if model.labels else {}
    return graph.finish(
        {"ids": ("INT64", ["T", "B"]), **label_input, **state_shapes(model, "0", config.directions)},
        {"logits": ("FLOAT", ["T", "B", config.output_size]), **state_shapes(model, "n", config.directions)},
        model,
        meaning_of(model),
    )


def add_mean(graph: Graph, x: str) -> str:
    """Add the mean of the outputs up to each step: their running sum, divided by 1, 2, ... T."""
    axis, one, zero = graph.constant(0), np.array(1, np.float32), np.array(0, np.float32)
    total = graph.add("CumSum", [x, axis])
    zeros = graph.add("Mul", [x, graph.constant(zero)])
    counts = graph.add("CumSum", [graph.add("Add", [zeros, graph.constant(one)]), axis])
    return graph.add("Div", [total, counts])


def meaning_of(model: Portable) -> str:
    """Return what a caller must know, in sentences."""
    remarks = [BOUNDARY_MEANING]
    if model.config.directions == 2:
        remarks.append(BACK_MEANING)
    if model.config.readout == "mean":
        remarks.append(MEAN_MEANING)
    return ". ".join(remarks)
