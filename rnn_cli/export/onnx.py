"""A model as an ONNX graph, built by hand: OneHot or Gather, then RNN, GRU or LSTM, then a product.

ONNX orders the gates and the biases in its own way (onnx.ai/onnx/operators: RNN, GRU, LSTM). Its GRU applies the reset
gate before the product unless linear_before_reset is 1. Sequences are time-major, as here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.export.portable import BOUNDARY_MEANING, Portable

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET, IR_VERSION = 17, 8  # of 2022, so that older runtimes read the file too
GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}  # ONNX's i o f c, z r h and h, in PyTorch's blocks
OPERATORS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
LARGEST = 2_000_000_000  # bytes of a file; a protocol buffer ends at 2 GiB
MEAN_MEANING = "the outputs are means over the steps of one call: give a whole text at once"
BACK_MEANING = "a direction reads from the end: give a whole text at once"


def onnx_model(model: Portable) -> ModelProto:
    """Return the graph of a model.

    Inputs: `ids` int64 (T, B), for a model of labels `label` int64 (B), and the states `h0`, for LSTM `c0` too,
    float32 (L D, B, H). Outputs: `logits` float32 (T, B, V) and the states after the last step, `hn` and `cn`.
    Raises UsageError if the library onnx is missing, or the file would be too large.
    """
    try:
        from onnx import TensorProto, checker, helper
    except ImportError as problem:
        raise UsageError("the library onnx is missing; install it with: pip install 'rnn-cli[onnx]'") from problem
    if sum(tensor.nbytes for tensor in model.tensors.values()) > LARGEST:
        raise UsageError("the model is too large for an ONNX file, which may have 2 GB")
    config, graph = model.config, Graph()
    states = model.cell.states
    for state in states:
        graph.add("Split", [f"{state}0"], parts(state, config.num_layers), axis=0)
    x = read_symbols(graph, model)
    for layer in range(config.num_layers):
        x = add_layer(graph, model, layer, x)
    if config.readout == "mean":
        x = add_mean(graph, x)
    name = "encoder.weight" if config.embedding == "tied" else "decoder.weight"
    weight = graph.add("Transpose", [graph.constant(name, model.tensors[name])], ["decoder"], perm=[1, 0])
    graph.add("MatMul", [x, weight], ["products"])
    graph.add("Add", ["products", graph.constant("decoder.bias", model.tensors["decoder.bias"])], ["logits"])
    for state in states:
        graph.add("Concat", parts(f"{state}n", config.num_layers), [f"{state}n"], axis=0)

    rows = config.num_layers * config.directions
    state_shape = [rows, "B", config.hidden_size]
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["T", "B"])]
    if model.labels:
        inputs.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["B"]))
    inputs += [helper.make_tensor_value_info(f"{state}0", TensorProto.FLOAT, state_shape) for state in states]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["T", "B", config.output_size])]
    outputs += [helper.make_tensor_value_info(f"{state}n", TensorProto.FLOAT, state_shape) for state in states]
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "rnn", inputs, outputs, graph.constants),
        producer_name="rnn-cli",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        doc_string=meaning_of(model),
    )
    helper.set_model_props(proto, {"rnn": json.dumps(model.description()), "meaning": meaning_of(model)})
    checker.check_model(proto, full_check=True)
    return proto


class Graph:
    """The nodes and the constants of a graph, in their order."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """Add a node and return its first output. An optional input that is left out is ""."""
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0]

    def constant(self, name: str, values: np.ndarray) -> str:
        """Add a constant and return its name."""
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name


def read_symbols(graph: Graph, model: Portable) -> str:
    """Add what layer 0 reads (T, B, I): vectors of one 1, with labels of two, or rows of a tied embedding."""
    if model.config.embedding == "tied":
        return graph.add("Gather", ["encoder.weight", "ids"], ["x"], axis=0)
    depth = graph.constant("symbols", np.array(model.config.input_size, np.int64))
    values = graph.constant("off_on", np.array([0, 1], np.float32))
    x = graph.add("OneHot", ["ids", depth, values], ["one_hot"], axis=-1)
    if model.labels:
        first = graph.constant("first_label", np.array(len(model.symbols), np.int64))
        graph.add("Add", ["label", first], ["label_symbol"])
        graph.add("OneHot", ["label_symbol", depth, values], ["label_one_hot"], axis=-1)
        x = graph.add("Add", [x, "label_one_hot"], ["x"])
    return x


def add_layer(graph: Graph, model: Portable, layer: int, x: str) -> str:
    """Add a recurrent layer that reads x (T, B, I), and return its output (T, B, D H)."""
    config, tensors = model.config, model.tensors
    suffixes = [f"l{layer}", f"l{layer}_reverse"][: config.directions]
    order = list(GATES[config.cell])

    def stacked(name: str) -> np.ndarray:
        blocks = [tensors[f"rnn.{name}_{suffix}"].reshape(len(order), config.hidden_size, -1) for suffix in suffixes]
        return np.stack([block[order].reshape(len(order) * config.hidden_size, -1) for block in blocks])

    biases = np.concatenate([stacked("bias_ih"), stacked("bias_hh")], axis=1)[:, :, 0]
    inputs = [
        x,
        graph.constant(f"W{layer}", stacked("weight_ih")),
        graph.constant(f"R{layer}", stacked("weight_hh")),
        graph.constant(f"B{layer}", biases),
        "",  # the lengths of the sequences: all are whole
        f"h_{layer}",
    ]
    outputs = [f"y{layer}", f"hn_{layer}"]
    attributes: dict[str, Any] = {
        "hidden_size": config.hidden_size,
        "direction": "bidirectional" if config.directions == 2 else "forward",
    }
    if config.cell == "lstm":
        inputs.append(f"c_{layer}")
        outputs.append(f"cn_{layer}")
    elif config.cell == "gru":
        attributes["linear_before_reset"] = 1
    else:
        attributes["activations"] = [config.activation.capitalize()] * config.directions
    y = graph.add(OPERATORS[config.cell], inputs, outputs, **attributes)  # (T, D, B, H)
    graph.add("Transpose", [y], [f"t{layer}"], perm=[0, 2, 1, 3])
    shape = graph.constant(f"shape{layer}", np.array([0, 0, config.directions * config.hidden_size], np.int64))
    return graph.add("Reshape", [f"t{layer}", shape], [f"x{layer + 1}"])


def add_mean(graph: Graph, x: str) -> str:
    """Add the mean of the outputs up to each step: their running sum, divided by 1, 2, ... T."""
    axis = graph.constant("time", np.array(0, np.int64))
    total = graph.add("CumSum", [x, axis], ["total"])
    ones = graph.constant("one", np.array(1, np.float32))
    like = graph.add("Mul", [x, graph.constant("zero", np.array(0, np.float32))], ["zeros"])
    graph.add("Add", [like, ones], ["ones"])
    counts = graph.add("CumSum", ["ones", axis], ["counts"])
    return graph.add("Div", [total, counts], ["mean"])


def parts(name: str, layers: int) -> list[str]:
    """Return the names of the states of all layers."""
    return [f"{name}_{layer}" for layer in range(layers)]


def meaning_of(model: Portable) -> str:
    """Return what a caller must know, in sentences."""
    remarks = [BOUNDARY_MEANING]
    if model.config.directions == 2:
        remarks.append(BACK_MEANING)
    if model.config.readout == "mean":
        remarks.append(MEAN_MEANING)
    return ". ".join(remarks)
