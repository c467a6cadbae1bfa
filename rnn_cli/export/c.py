"""A model as one C99 header: the weights as arrays, and functions that neither allocate nor depend on a library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from typing import NamedTuple

import numpy as np

from rnn_cli.checkpoint.checkpoint import TAG, TRANSLATE
from rnn_cli.export.portable import Portable
from rnn_cli.network.config import EncoderDecoderConfig
from rnn_cli.network.parameters import decoder_name, runs_of
from rnn_cli.tasks.forecast.forecaster import FORECAST

TEMPLATE, WEIGHTS_MARK, TASK_MARK = "rnn.h", "/* WEIGHTS */\n", "/* TASK */\n"
TASKS = {TAG: "tag.h", TRANSLATE: "translate.h", FORECAST: "forecast.h"}  # further functions, for models of a task
PER_LINE = 8  # numbers in a line
CELLS = {"lstm": 1, "gru": 2, "rnn": 3}
ACTIVATIONS = {"tanh": 1, "relu": 2, "sigmoid": 3}
KINDS = {"characters": 1, "tokens": 1, "bytes": 2, "words": 3, "numbers": 0}


class Run(NamedTuple):
    """A layer in one direction: the prefix and the suffix of its tensors, and whether it reads symbols."""

    prefix: str
    suffix: str
    reads_symbols: bool


def runs_in(model: Portable) -> list[Run]:
    """Return the layers in their directions, in the order of the header: those of a decoder after its encoder."""
    config, symbols = model.config, model.codec is not None and model.config.embedding != "tied"
    if isinstance(config, EncoderDecoderConfig):
        halves = (("encoder", config.encoder), ("decoder", config.decoder))
        return [Run(name, suffix, layer == 0) for name, half in halves for layer, _, suffix in runs_of(half)]
    return [Run("rnn", suffix, layer == 0 and symbols) for layer, _, suffix in runs_of(config)]


def c_header(model: Portable) -> bytes:
    """Return the header of a model."""
    folder = resources.files("rnn_cli.export") / "c_header"
    head, rest = folder.joinpath(TEMPLATE).read_text("utf-8").split(WEIGHTS_MARK)
    middle, tail = rest.split(TASK_MARK)
    more = folder.joinpath(TASKS[model.task]).read_text("utf-8") if model.task in TASKS else ""
    return "".join([head, *definitions(model), middle, more, tail]).encode()


def definitions(model: Portable) -> Iterator[str]:
    """Yield the lines that describe the model and hold its weights."""
    config, tensors, details = model.config, model.tensors, model.details
    if model.remark:
        yield f"/* {model.remark} */\n"
    runs, translates = runs_in(model), model.task == TRANSLATE
    sizes = {
        "CELL": CELLS[config.cell],
        "ACTIVATION": ACTIVATIONS[config.activation],
        "GATES": len(model.cell.torch_gates),
        "STATES": len(model.cell.states),
        "HIDDEN": config.hidden_size,
        "LAYERS": config.num_layers,
        "DIRECTIONS": config.directions,
        "RUNS": len(runs),
        "SYMBOLS": len(model.symbols),
        "OUTPUTS": config.output_size,
        "LABELS": len(model.labels),
        "TIED": int(config.embedding == "tied"),
        "MEAN": int(config.readout == "mean"),
        "WRITES": int(model.writes),
        "TAGS": int(model.task == TAG),
        "TRANSLATES": int(translates),
        "KIND": KINDS[model.kind],
        "UNKNOWN": model.unknown,
        "NEWLINE": model.newline,
    }
    if model.task == FORECAST:
        sizes |= {name.upper(): details[name] for name in ("season", "longer", "horizon", "context")}
        sizes |= {"INPUTS": config.input_size, "QUANTILES": max(1, len(config.quantiles))}
    if model.task == TAG:
        sizes["BIO"] = int(details["allowed"] is not None)
    if translates:
        sizes["LONGEST"] = 2 * details["longest"] + 8
        yield f'#define RNN_FORM "{details["form"]}" /* the normal form of Unicode in which sources are read */\n'
        yield f'#define RNN_BETWEEN "{" " * details["target_words"]}" /* between two symbols of a target */\n'
    for name, value in sizes.items():
        yield f"#define RNN_{name} {value if value >= 0 else f'({value})'}\n"
    yield "\n"
    if model.symbols:
        yield from strings("rnn_symbols", model.symbols, "The text of each symbol, in UTF-8; bytes may be parts of it.")
    if model.outputs:
        yield from strings("rnn_outputs", [each.encode() for each in model.outputs], "What each output stands for.")
    if model.labels:
        yield from strings("rnn_labels", [each.encode() for each in model.labels], "The labels that a text can have.")
    if model.follow is not None:
        yield f"#define RNN_FOLLOW_STATES {len(model.follow)}\n"
        yield from numbers("unsigned char", "rnn_follow", list(map(str, model.follow.ravel().tolist())))
    if details.get("allowed"):
        yield from numbers("unsigned char", "rnn_allowed", [str(each) for row in details["allowed"] for each in row])
    for number, run in enumerate(runs):
        weight = tensors[f"{run.prefix}.weight_ih_{run.suffix}"]
        yield from floats(f"rnn_w{number}", weight.T if run.reads_symbols else weight)  # a row for each symbol
        yield from floats(f"rnn_r{number}", tensors[f"{run.prefix}.weight_hh_{run.suffix}"])
        yield from floats(f"rnn_bi{number}", tensors[f"{run.prefix}.bias_ih_{run.suffix}"])
        yield from floats(f"rnn_bh{number}", tensors[f"{run.prefix}.bias_hh_{run.suffix}"])
    for name, prefix in (("input", "w"), ("recurrent", "r"), ("bias_ih", "bi"), ("bias_hh", "bh")):
        rows = ", ".join(f"rnn_{prefix}{number}" for number in range(len(runs)))
        yield f"static const float *const rnn_{name}[RNN_RUNS] = {{{rows}}};\n"
    readout, bias = ("output.weight", "output.bias") if translates else (decoder_name(config), "decoder.bias")
    yield from floats("rnn_decoder", tensors[readout])
    yield from floats("rnn_decoder_bias", tensors[bias])
    if translates:
        for name in ("attention.weight", "combine.weight", "combine.bias", "bridge.weight", "bridge.bias"):
            yield from floats(f"rnn_{name.replace('.', '_')}", tensors[name])


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
