"""Weights with PyTorch's names become a language model: an optional embedding, recurrent layers and a linear readout.

An embedding is multiplied into the weights of the first layer, which then reads symbols:

    W_ih E[symbol] = (W_ih E^T) one_hot(symbol)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import COUNTS_PREFIX, Checkpoint, open_without_waiting
from rnn_cli.checkpoint.safetensors_reader import parse_json, read_header, read_tensors
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import torch_shapes
from rnn_cli.text.codecs import CharacterCodec, Codec, TokenCodec, codec_from_dict

CELLS = {4: "lstm", 3: "gru", 1: "rnn"}  # by the number of gates
NEVER_LOGIT = -100.0  # of a boundary that the model has not learned
SYMBOLS_LIMIT = 32 << 20  # bytes of a list of symbols
CONVERT = (
    "it is not a safetensors file; convert a file of PyTorch that you trust with: python -c 'import torch; from "
    'safetensors.torch import save_file; save_file({k: v.float().contiguous() for k, v in torch.load("model.pt", '
    'weights_only=True).items()}, "weights.safetensors")\''
)


def read_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the tensors of a safetensors file as float32, without the n-gram counts of a model of this program.

    Raises UsageError if it cannot be read or is damaged.
    """
    try:
        with open(path, "rb", opener=open_without_waiting) as file:
            if file.peek(2)[:2] == b"PK" or os.fstat(file.fileno()).st_size < 8:
                raise CheckpointError(CONVERT)
            entries, size = read_header(file)
            entries.pop("__metadata__", None)
            tensors = read_tensors(file, entries, size)
    except OSError as problem:
        raise UsageError(f"{os.fspath(path)} cannot be read: {problem.strerror}") from problem
    except CheckpointError as problem:
        reason = str(problem).split(";")[0] if "safetensors file; give" in str(problem) else str(problem)
        raise UsageError(f"{os.fspath(path)} cannot be imported: {reason[:600]}") from problem
    with np.errstate(over="ignore"):
        return {
            name: tensor.astype(np.float32) for name, tensor in tensors.items() if not name.startswith(COUNTS_PREFIX)
        }


def read_symbols(path: str | os.PathLike[str]) -> Any:
    """Return the list of symbols in a JSON file, or the config.json of a folder for a hub.

    Raises UsageError for anything else.
    """
    try:
        with open(path, "rb", opener=open_without_waiting) as file:
            data = file.read(SYMBOLS_LIMIT + 1)
        if len(data) > SYMBOLS_LIMIT:
            raise ValueError("it is too large")
        return parse_json(b'{"symbols":' + data + b"}")["symbols"]
    except OSError as problem:
        raise UsageError(f"{os.fspath(path)} cannot be read: {problem.strerror}") from problem
    except (ValueError, CheckpointError) as problem:
        raise UsageError(
            f"{os.fspath(path)} is not JSON: write the symbols as a list of strings, null for the boundary"
        ) from problem


def import_model(
    tensors: Mapping[str, np.ndarray], symbols: Any, lines: bool = False, activation: str = "tanh"
) -> Checkpoint:
    """Return a language model of weights with PyTorch's names.

    `symbols` is a list of the text of each symbol, None or "" for the boundary, or a dictionary with a "codec". With
    `lines` each line is a text, and a newline is the boundary unless the list has one. A model without a boundary never
    ends a text. Raises UsageError if parts do not fit.
    """
    codec, order = codec_of(symbols, lines)
    prefix = next((name[: -len("weight_ih_l0")] for name in tensors if name.endswith("weight_ih_l0")), None)
    if prefix is None:
        raise UsageError("the weights have no recurrent layer: a tensor whose name ends in weight_ih_l0 is missing")
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if is_recurrent(name, prefix)}
    others = {name: tensor for name, tensor in tensors.items() if not is_recurrent(name, prefix)}
    first, recurrent = own["weight_ih_l0"], own.get("weight_hh_l0", np.zeros((0, 0)))
    if recurrent.ndim != 2 or first.ndim != 2 or recurrent.size == 0 or len(recurrent) != len(first):
        raise UsageError("the weights weight_ih_l0 and weight_hh_l0 do not fit together")
    hidden = recurrent.shape[1]
    gates, rest = divmod(len(recurrent), hidden)
    if rest or gates not in CELLS:
        raise UsageError(f"weight_hh_l0 has the shape {recurrent.shape}, which no LSTM, GRU or RNN has")
    count = len([number for number in order if number >= 0])
    embedding, decoder, bias = readout_of(others, count, first.shape[1], hidden)
    if embedding is not None:
        own["weight_ih_l0"] = first @ embedding.T
    for name in own:
        if name.endswith("_reverse"):
            raise UsageError(f"the tensor '{prefix}{name}' reads backwards, which a model that writes cannot do")
    layers = sum(name.startswith("weight_ih_l") for name in own)
    config = NetworkConfig.for_symbols(
        len(codec),
        cell=CELLS[gates],
        activation=activation if gates == 1 else "tanh",
        hidden_size=hidden,
        num_layers=layers,
    )
    parameters = {f"rnn.{name}": tensor for name, tensor in own.items()}
    for layer in range(layers):
        for name in ("bias_ih", "bias_hh"):
            parameters.setdefault(f"rnn.{name}_l{layer}", np.zeros(len(first), np.float32))
    parameters["rnn.weight_ih_l0"] = reordered(own["weight_ih_l0"].T, order, 0.0).T
    parameters["decoder.weight"] = reordered(decoder, order, 0.0)
    parameters["decoder.bias"] = reordered(bias, order, NEVER_LOGIT)
    shapes = torch_shapes(config)
    for name in sorted(shapes.keys() | parameters.keys()):
        found = parameters[name].shape if name in parameters else "missing"
        if name not in shapes or found != shapes[name]:
            raise UsageError(f"the tensor '{name}' is {found}, and {shapes.get(name, 'none of this name')} is expected")
        parameters[name] = np.ascontiguousarray(parameters[name], np.float32)
        if not np.isfinite(parameters[name]).all():
            raise UsageError(f"the tensor '{name}' holds values that are not finite")
    return Checkpoint.of_language(config, codec, parameters)


def is_recurrent(name: str, prefix: str) -> bool:
    """Say whether a tensor belongs to the recurrent layers."""
    return name.startswith(prefix) and name.removeprefix(prefix).startswith(
        ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )


def readout_of(
    others: Mapping[str, np.ndarray], count: int, inputs: int, hidden: int
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Return the embedding (V, E) if there is one, the readout's weight (V, H) and its bias (V)."""
    matrices = {name: tensor for name, tensor in others.items() if tensor.ndim == 2}
    embeds = [name for name, tensor in matrices.items() if tensor.shape == (count, inputs)]
    reads = [name for name, tensor in matrices.items() if tensor.shape == (count, hidden)]
    if not reads:
        raise UsageError(f"no tensor of the shape ({count}, {hidden}) reads {count} symbols out of {hidden} units")
    like_embedding = [name for name in embeds if "emb" in name or "encoder" in name]
    embedding = None
    if inputs != count or like_embedding:
        if not embeds:
            raise UsageError(f"the first layer reads {inputs} numbers, and no embedding ({count}, {inputs}) gives them")
        embedding = (like_embedding or embeds)[0]
    decoder = next((name for name in reads if name != embedding), reads[0])
    bias = f"{decoder.removesuffix('weight')}bias"
    if bias not in others and decoder == embedding:  # tied weights
        bias = next((name for name, tensor in others.items() if tensor.shape == (count,)), bias)
    for name in others.keys() - {embedding, decoder, bias}:
        raise UsageError(f"the tensor '{name}' belongs to nothing that this program has")
    values = others.get(bias, np.zeros(count, np.float32))
    return (None if embedding is None else others[embedding]), others[decoder], values


def codec_of(symbols: Any, lines: bool) -> tuple[Codec, list[int]]:
    """Return the codec, and for each of its symbols its number in the list, or -1 if the list lacks the boundary."""
    if isinstance(symbols, dict) and isinstance(symbols.get("codec"), dict) and symbols.get("task") == "language":
        codec = codec_from_dict(symbols["codec"])
        return codec, list(range(len(codec)))
    if not isinstance(symbols, list) or not all(isinstance(each, str | None) for each in symbols):
        raise UsageError("the symbols must be a JSON list of strings, or the config.json of a language model")
    texts: Sequence[str] = [each or "" for each in symbols]
    boundary = texts.index("") if "" in texts else texts.index("\n") if lines and "\n" in texts else -1
    if lines and boundary < 0:
        raise UsageError("with `lines` one symbol must be the end of a line: null or a newline in the list")
    order = [boundary, *(number for number in range(len(texts)) if number != boundary)]
    rest = [texts[number] for number in order[1:]]
    if rest and all(len(text) == 1 for text in rest):
        return checked({"symbols": "".join(rest), "lines": lines}, CharacterCodec), order
    return checked({"tokens": rest, "lines": lines, "rule": "list"}, TokenCodec), order


def checked(values: dict[str, Any], kind: type[CharacterCodec] | type[TokenCodec]) -> Codec:
    """Return a codec. Raises UsageError for symbols that no text can have."""
    try:
        return kind.from_dict(values)
    except CheckpointError as problem:
        raise UsageError(f"the symbols cannot be used: {str(problem).split(';')[0]}") from problem


def reordered(rows: np.ndarray, order: Sequence[int], missing: float) -> np.ndarray:
    """Return rows in another order; one of -1 is filled with `missing`."""
    if order[0] < 0:
        filled = np.full((1, *rows.shape[1:]), missing, rows.dtype)
        return np.concatenate([filled, rows[list(order[1:])]])
    return rows[list(order)]
