"""Building blocks of ONNX graphs: nodes, constants, linear maps, recurrent layers.

ONNX orders the gates and the biases in its own way (onnx.ai/onnx/operators: RNN, GRU, LSTM). Its GRU applies the reset
gate before the product unless linear_before_reset is 1. Sequences are time-major, as here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_cli.export.portable import Portable
from rnn_cli.network.config import NetworkConfig

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET, IR_VERSION = 17, 8  # of 2022, so that older runtimes read the file too
GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}  # ONNX's i o f c, z r h and h, in PyTorch's blocks
OPERATORS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
Shapes = Mapping[str, tuple[str, Sequence[int | str]]]
"""Inputs or outputs by name: a type of TensorProto, and a shape in which a string is a size that varies."""


class Graph:
    """The nodes and the constants of a graph, in their order."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, inputs: Sequence[str], outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add a node and return its first output, which has a name of its own. An input that is left out is ""."""
        from onnx import helper

        outputs = list(outputs) or [f"{operator.lower()}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(operator, list(inputs), outputs, **attributes))
        return outputs[0]

    def constant(self, values: np.ndarray | int | list[int], name: str = "") -> str:
        """Add a constant and return its name; whole numbers are int64."""
        from onnx import numpy_helper

        array = np.ascontiguousarray(values) if np.ndim(values) else np.array(values)
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def linear(self, x: str, weight: np.ndarray, bias: np.ndarray | None = None, output: str = "") -> str:
        """Add x W^T + b, of a weight (outputs, inputs)."""
        named = [output] if output else []
        if bias is None:
            return self.add("MatMul", [x, self.constant(weight.T)], named)
        return self.add("Add", [self.add("MatMul", [x, self.constant(weight.T)]), self.constant(bias)], named)

    def finish(self, inputs: Shapes, outputs: Shapes, model: Portable, meaning: str) -> ModelProto:
        """Return the checked model, with what a caller must know in its metadata."""
        from onnx import TensorProto, checker, helper

        infos = [
            [helper.make_tensor_value_info(name, getattr(TensorProto, kind), shape) for name, (kind, shape) in part]
            for part in (inputs.items(), outputs.items())
        ]
        proto = helper.make_model(
            helper.make_graph(self.nodes, "rnn", *infos, self.constants),
            producer_name="rnn-cli",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
            doc_string=meaning,
        )
        helper.set_model_props(proto, {"rnn": json.dumps(model.description()), "meaning": meaning})
        checker.check_model(proto, full_check=True)
        return proto


def state_shapes(model: Portable, suffix: str, directions: int) -> Shapes:
    """Return the states of all layers, as inputs or outputs."""
    shape: list[int | str] = [model.config.num_layers * directions, "B", model.config.hidden_size]
    return {f"{state}{suffix}": ("FLOAT", shape) for state in model.cell.states}


def split_states(graph: Graph, model: Portable) -> None:
    """Add what splits the initial states h0, and c0 of LSTM, by layers."""
    for state in model.cell.states:
        graph.add("Split", [f"{state}0"], parts(state, model.config.num_layers), axis=0)


def join_states(graph: Graph, model: Portable) -> None:
    """Add what joins the states of the layers after the last step."""
    for state in model.cell.states:
        graph.add("Concat", parts(f"{state}n", model.config.num_layers), [f"{state}n"], axis=0)


def parts(name: str, layers: int) -> list[str]:
    """Return the names of the states of all layers."""
    return [f"{name}_{layer}" for layer in range(layers)]


def one_hot(graph: Graph, symbols: str, size: int) -> str:
    """Add vectors of one 1 each."""
    off_on = graph.constant(np.array([0, 1], np.float32))
    return graph.add("OneHot", [symbols, graph.constant(size), off_on], axis=-1)


def add_layers(
    graph: Graph, config: NetworkConfig, tensors: Mapping[str, np.ndarray], x: str, lengths: str | None = None
) -> str:
    """Add the recurrent layers that read x (T, B, I), and return their output (T, B, D H).

    Layer k starts from the states h_k and c_k; with `lengths` (B), of the sequences, from zeros. Its states after them
    are hn_k and cn_k. `tensors` have the prefix rnn.
    """
    for layer in range(config.num_layers):
        suffixes = [f"l{layer}", f"l{layer}_reverse"][: config.directions]
        order = list(GATES[config.cell])

        def stacked(name: str, suffixes: list[str] = suffixes, order: list[int] = order) -> np.ndarray:
            blocks = [
                tensors[f"rnn.{name}_{suffix}"].reshape(len(order), config.hidden_size, -1) for suffix in suffixes
            ]
            return np.stack([block[order].reshape(len(order) * config.hidden_size, -1) for block in blocks])

        biases = np.concatenate([stacked("bias_ih"), stacked("bias_hh")], axis=1)[:, :, 0]
        weights = [graph.constant(stacked("weight_ih")), graph.constant(stacked("weight_hh")), graph.constant(biases)]
        states = [] if lengths else [f"h_{layer}"]
        outputs = [f"y{layer}", f"hn_{layer}"]
        both = config.directions == 2
        attributes: dict[str, Any] = {
            "hidden_size": config.hidden_size,
            "direction": "bidirectional" if both else "forward",
        }
        if config.cell == "lstm":
            states += [] if lengths else [f"c_{layer}"]
            outputs.append(f"cn_{layer}")
        elif config.cell == "gru":
            attributes["linear_before_reset"] = 1
        else:
            attributes["activations"] = [config.activation.capitalize()] * config.directions
        y = graph.add(OPERATORS[config.cell], [x, *weights, lengths or "", *states], outputs, **attributes)
        side_by_side = graph.add("Transpose", [y], perm=[0, 2, 1, 3])  # from (T, D, B, H)
        x = graph.add("Reshape", [side_by_side, graph.constant([0, 0, config.directions * config.hidden_size])])
    return x
