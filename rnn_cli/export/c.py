"""A model as one C99 header: the weights as arrays, and functions that neither allocate nor depend on a library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources

import numpy as np

from rnn_cli.export.portable import Portable
from rnn_cli.network.parameters import decoder_name, runs_of

TEMPLATE = "rnn.h"
WEIGHTS_MARK = "/* WEIGHTS */\n"
PER_LINE = 8  # numbers in a line
CELLS = {"lstm": 1, "gru": 2, "rnn": 3}
ACTIVATIONS = {"tanh": 1, "relu": 2, "sigmoid": 3}
KINDS = {"characters": 1, "tokens": 1, "bytes": 2, "words": 3}


def c_header(model: Portable) -> bytes:
    """Return the header of a model."""
    template = resources.files("rnn_cli.export").joinpath(TEMPLATE).read_text("utf-8")
    head, tail = template.split(WEIGHTS_MARK)
    return "".join([head, *definitions(model), tail]).encode()


def definitions(model: Portable) -> Iterator[str]:
    """Yield the lines that describe the model and hold its weights."""
    config = model.config
    tied = config.embedding == "tied"
    sizes = {
        "CELL": CELLS[config.cell],
        "ACTIVATION": ACTIVATIONS[config.activation],
        "GATES": len(model.cell.torch_gates),
        "HIDDEN": config.hidden_size,
        "LAYERS": config.num_layers,
        "DIRECTIONS": config.directions,
        "SYMBOLS": len(model.symbols),
        "OUTPUTS": config.output_size,
        "LABELS": len(model.labels),
        "TIED": int(tied),
        "MEAN": int(config.readout == "mean"),
        "WRITES": int(model.writes),
        "KIND": KINDS[model.codec.kind],
        "UNKNOWN": model.unknown,
        "NEWLINE": model.codec.newline if model.writes else -1,
    }
    for name, value in sizes.items():
        yield f"#define RNN_{name} {value if value >= 0 else f'({value})'}\n"
    yield "\n"
    yield from strings("rnn_symbols", model.symbols, "The text of each symbol, in UTF-8; bytes may be parts of it.")
    if model.outputs:
        yield from strings("rnn_outputs", [each.encode() for each in model.outputs], "What each output stands for.")
    if model.labels:
        yield from strings("rnn_labels", [each.encode() for each in model.labels], "The labels that a text can have.")
    if model.follow is not None:
        yield f"#define RNN_FOLLOW_STATES {len(model.follow)}\n"
        yield from numbers("unsigned char", "rnn_follow", list(map(str, model.follow.ravel().tolist())))
    for layer, direction, suffix in runs_of(config):
        weight = model.tensors[f"rnn.weight_ih_{suffix}"]
        one_hot = layer == 0 and not tied
        yield from floats(f"rnn_w{layer}_{direction}", weight.T if one_hot else weight)  # a row for each symbol
        yield from floats(f"rnn_r{layer}_{direction}", model.tensors[f"rnn.weight_hh_{suffix}"])
        yield from floats(f"rnn_bi{layer}_{direction}", model.tensors[f"rnn.bias_ih_{suffix}"])
        yield from floats(f"rnn_bh{layer}_{direction}", model.tensors[f"rnn.bias_hh_{suffix}"])
    yield from floats("rnn_decoder", model.tensors[decoder_name(config)])
    yield from floats("rnn_decoder_bias", model.tensors["decoder.bias"])
    for name, prefix in (("input", "w"), ("recurrent", "r"), ("bias_ih", "bi"), ("bias_hh", "bh")):
        rows = ", ".join(f"rnn_{prefix}{layer}_{direction}" for layer, direction, _ in runs_of(config))
        yield f"static const float *const rnn_{name}[RNN_LAYERS * RNN_DIRECTIONS] = {{{rows}}};\n"


def floats(name: str, values: np.ndarray) -> Iterator[str]:
    """Yield an array of float; nine digits give the same bits back."""
    texts = [f"{value:.9g}" for value in values.ravel().tolist()]
    return numbers("float", name, [text + ("f" if "." in text or "e" in text else ".0f") for text in texts])


def numbers(kind: str, name: str, texts: Sequence[str]) -> Iterator[str]:
    """Yield an array of numbers."""
    yield f"static const {kind} {name}[{len(texts)}] = {{\n"
    for start in range(0, len(texts), PER_LINE):
        yield f"  {','.join(texts[start : start + PER_LINE])},\n"
    yield "};\n"


def strings(name: str, texts: Sequence[bytes], remark: str) -> Iterator[str]:
    """Yield an array of strings, and one of their lengths."""
    yield f"/* {remark} */\n"
    yield f"static const char *const {name}[{len(texts)}] = {{\n"
    for text in texts:
        yield f"  {quoted(text)},\n"
    yield "};\n"
    yield from numbers("unsigned short", f"{name}_length", [str(len(text)) for text in texts])


def quoted(text: bytes) -> str:
    """Return a string literal of C; octal escapes of three digits join no digit, and make no trigraph."""
    kept = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ")
    return '"' + "".join(chr(code) if code in kept else f"\\{code:03o}" for code in text) + '"'
