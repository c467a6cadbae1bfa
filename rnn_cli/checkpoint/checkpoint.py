"""The checkpoint: one safetensors file that holds a model, how it came to be, and what resuming it needs.

The tensors have the names and the layout of PyTorch (rnn_cli/layout.py); those that only resuming needs are
called `training.NAME`. The rest is JSON, in the metadata of the file under the one key "rnn".

A file may come from a stranger. So it is read here and not by the safetensors library, which accepts a name
twice: each size is compared with the size of the file before anything of that size is allocated.
"""

from __future__ import annotations

import io
import json
import math
import os
import shlex
import stat
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnn_cli.atomic_files import write_atomically
from rnn_cli.cells import find_cell
from rnn_cli.errors import CheckpointError, RnnError, UsageError
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import torch_shapes
from rnn_cli.text.codecs import Codec, codec_from_dict

FORMAT = 2
METADATA_KEY = "rnn"
TRAINING_PREFIX = "training."
FLOAT32 = np.dtype("<f4")
DTYPES: dict[str, np.dtype[Any]] = {"F32": FLOAT32, "F64": np.dtype("<f8"), "I64": np.dtype("<i8")}
RECORD_KINDS = {
    "corpus": dict,
    "training": dict,
    "history": list,
    "versions": dict,
    "fingerprint": dict,
}

FILE_LIMIT = 4 << 30  # bytes
HEADER_LIMIT = 32 << 20  # bytes; a vocabulary of all characters takes half of that
PARTS_LIMIT = 1 << 17  # names and elements in a piece of JSON
DEPTH_LIMIT = 32  # lists and objects of JSON inside each other
DIGITS_LIMIT = 40  # of a whole number in JSON; one of 128 bits has 39
DIMENSIONS_LIMIT = 8  # of a tensor
REASON_LIMIT = 300  # characters of a message that quotes the file

Place = tuple[str, int, int, np.dtype[Any], tuple[int, ...]]
"""Where a tensor lies in the data: its name, first byte, end, type and shape."""


@dataclass
class Checkpoint:
    """A model and its history.

    `parameters` are float32, with the names and shapes of `torch_shapes(config)`: the best model so far.
    `record` says how it came to be, in JSON. `training` (float32, float64 or int64) and `progress` (JSON) are
    what only resuming needs: nothing, and None, once the training has finished.
    """

    config: NetworkConfig
    codec: Codec
    parameters: dict[str, np.ndarray]
    record: dict[str, Any] = field(default_factory=dict)
    training: dict[str, np.ndarray] = field(default_factory=dict)
    progress: dict[str, Any] | None = None

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all the tensors by their names in the file."""
        return self.parameters | {TRAINING_PREFIX + name: tensor for name, tensor in self.training.items()}


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> int:
    """Write a checkpoint in one step and return its size in bytes; on any failure the old file stays.

    Raises RnnError where it cannot be written, with the bytes that it takes, and where `load_checkpoint` would
    refuse it, so that a good model is never replaced by a bad one.
    """
    data = to_bytes(checkpoint)
    try:
        write_atomically(path, data)
    except OSError as problem:
        reason = problem.strerror or problem
        raise RnnError(
            f"the model could not be saved to {os.fspath(path)} ({reason}), where it needs {len(data):,} bytes"
        ) from problem
    return len(data)


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the content of the file, the same bytes for the same checkpoint.

    Raises RnnError where `load_checkpoint` would refuse it.
    """
    from safetensors.numpy import save

    description = {
        "format": FORMAT,
        "model": checkpoint.config.to_dict(),
        "vocabulary": checkpoint.codec.to_dict(),
        "record": checkpoint.record,
        "progress": checkpoint.progress,
    }
    try:
        text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
        read_description(text)
        check(checkpoint)
    except (ValueError, CheckpointError) as problem:
        raise RnnError(f"the model is not saved, as it could not be loaded again: {problem}") from problem
    # The safetensors library writes wrong values, and says nothing, for arrays that are not contiguous.
    tensors = {name: np.asarray(tensor, order="C") for name, tensor in checkpoint.tensors().items()}
    data: bytes = save(tensors, metadata={METADATA_KEY: text})
    header_size = int.from_bytes(data[:8], "little")
    if len(data) > FILE_LIMIT or header_size > HEADER_LIMIT:
        raise RnnError(
            f"the model is not saved: it takes {len(data):,} bytes, {header_size:,} of them for its header, "
            f"and the limits are {FILE_LIMIT:,} and {HEADER_LIMIT:,}; make it smaller or evaluate less often"
        )
    return data


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint. Raises CheckpointError for any file that is not a whole and sound one."""
    try:
        with open(path, "rb", opener=open_without_waiting) as file:
            return read_checkpoint(file)
    except FileNotFoundError as problem:
        command = f"rnn train CORPUS -m {shlex.quote(os.fspath(path))}"
        raise CheckpointError(f"there is no model at {path}; train one with: {command}") from problem
    except OSError as problem:
        raise CheckpointError(f"the model {path} cannot be read: {problem.strerror}") from problem
    except CheckpointError as problem:
        reason = str(problem)
        if len(reason) > REASON_LIMIT:
            reason = reason[:REASON_LIMIT] + "..."
        raise CheckpointError(f"{path} cannot be used as a model: {reason}") from problem


def open_without_waiting(path: str, flags: int) -> int:
    """Return a descriptor at once, where opening a FIFO would wait for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_checkpoint(file: io.BufferedReader) -> Checkpoint:
    """Read an open file: the size of the header (8 bytes), the header (JSON), the data of the tensors."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError("it is not a regular file; give the file that rnn train has written")
    if status.st_size > FILE_LIMIT:
        raise CheckpointError(f"it has {status.st_size:,} bytes, and the limit is {FILE_LIMIT:,}")
    header_size = int.from_bytes(file.read(8), "little")
    data_size = status.st_size - 8 - header_size
    if status.st_size < 8 or header_size > HEADER_LIMIT:
        raise CheckpointError("it is no safetensors file; give the file that rnn train has written")
    if data_size < 0:
        raise CheckpointError("it ends within its header; it was cut off: copy it or train it again")
    entries = parse_json(file.read(header_size))
    metadata = entries.pop("__metadata__", None)
    text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise CheckpointError("another program wrote it; give the file that rnn train has written")
    config, codec, record, progress = read_description(text)
    places = find_places(entries, data_size)
    data = np.empty(data_size, np.uint8)
    if file.readinto(data.data) != data_size:
        raise CheckpointError("it became shorter while it was read; try again")
    parameters, training = {}, {}
    for name, start, end, dtype, shape in places:
        tensor = data[start:end].view(dtype).reshape(shape)
        if name.startswith(TRAINING_PREFIX):
            training[name.removeprefix(TRAINING_PREFIX)] = tensor
        else:
            parameters[name] = tensor
    checkpoint = Checkpoint(config, codec, parameters, record, training, progress)
    check(checkpoint)
    return checkpoint


def parse_json(text: str | bytes) -> dict[str, Any]:
    """Return an object of JSON: no name twice, every number finite and short, no great depth, not too many parts.

    Long texts are read at once, but each part takes its time and many times its size in memory.
    """
    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        if text.count(",") + text.count(":") > PARTS_LIMIT:
            raise CheckpointError("its description has too many parts")
        parsed = json.loads(
            text,
            object_pairs_hook=unique,
            parse_int=bounded,
            parse_float=finite,
            parse_constant=finite,
        )
    except RecursionError as problem:
        raise CheckpointError("its description is nested too deeply") from problem
    except ValueError as problem:
        raise CheckpointError(f"its description is damaged ({problem})") from problem
    if not isinstance(parsed, dict):
        raise CheckpointError("its description is damaged (it is no JSON object)")
    level: list[Any] = [parsed]
    for _ in range(DEPTH_LIMIT):
        children = (value.values() if isinstance(value, dict) else value for value in level)
        level = [child for values in children for child in values if isinstance(child, dict | list)]
    if level:
        raise CheckpointError("its description is nested too deeply")
    return parsed


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dictionary. Raises ValueError where a name comes twice."""
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name comes twice")
    return values


def bounded(digits: str) -> int:
    """Return a whole number. Raises ValueError where it is so long that no float comes near it."""
    if len(digits) > DIGITS_LIMIT:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def finite(digits: str) -> float:
    """Return a number. Raises ValueError where it is not finite."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"a number is {value}")
    return value


def read_description(text: str) -> tuple[NetworkConfig, Codec, dict[str, Any], dict[str, Any] | None]:
    """Return the configuration, vocabulary, record and progress that the metadata describe."""
    description = parse_json(text)
    version = description.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise CheckpointError(
            f"it was written by a newer rnn (format {version}); this one reads format {FORMAT}: install the newer one"
        )
    match description:
        case {
            "format": int(),
            "model": dict(model),
            "vocabulary": dict(symbols),
            "record": dict(record),
            "progress": dict() | None as progress,
        } if version in (1, FORMAT) and len(description) == 5:
            pass
        case _:
            raise CheckpointError("its description has missing, unknown or damaged parts")
    for name, kind in RECORD_KINDS.items():
        if not isinstance(record.get(name, kind()), kind):
            raise CheckpointError(f"the part '{name}' of its record is damaged")
    try:
        config = NetworkConfig.from_dict(upgraded(model) if version == 1 else model)
        find_cell(config.cell, config.activation)
    except UsageError as problem:
        raise CheckpointError(f"it describes an impossible model ({problem})") from problem
    return config, codec_from_dict(symbols), record, progress


def upgraded(model: dict[str, Any]) -> dict[str, Any]:
    """Return the network of a file of format 1 in the fields of today: it had one vocabulary."""
    others = {name: value for name, value in model.items() if name != "vocab_size"}
    if len(others) == len(model) or others.keys() - {"cell", "activation", "hidden_size", "num_layers"}:
        raise UsageError("the network has missing or unknown fields")
    return NetworkConfig.for_symbols(model["vocab_size"], **others).to_dict()


def find_places(entries: dict[str, Any], data_size: int) -> list[Place]:
    """Return the places of all tensors. Raises CheckpointError unless they fill the data without a gap."""
    places: list[Place] = []
    for name, entry in entries.items():
        match entry:
            case {"dtype": str(code), "shape": [*sizes], "data_offsets": [int(start), int(end)]} if (
                len(entry) == 3
                and code in DTYPES
                and len(sizes) <= DIMENSIONS_LIMIT
                and all(type(size) is int and size > 0 for size in sizes)
                and end - start == math.prod(sizes) * DTYPES[code].itemsize
            ):
                places.append((name, start, end, DTYPES[code], tuple(sizes)))
            case _:
                raise CheckpointError(f"no model has a tensor '{name}' that is described as {entry}")
    places.sort(key=lambda place: place[1])
    position = 0
    for name, start, end, _, _ in places:
        if start != position:
            raise CheckpointError(f"its tensor '{name}' does not begin where the one before ends")
        position = end
    if position != data_size:
        raise CheckpointError(
            f"its tensors have {position:,} bytes and the file holds {data_size:,}: "
            "it was cut off or altered; copy it or train it again"
        )
    return places


def check(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError where parts do not fit together, or a tensor holds a value that is not finite."""
    symbols, config = len(checkpoint.codec), checkpoint.config
    if symbols != config.output_size:
        raise CheckpointError(f"its vocabulary has {symbols:,} symbols and its model {config.output_size:,}")
    shapes = torch_shapes(config)
    for name in sorted(shapes.keys() ^ checkpoint.parameters.keys()):
        raise CheckpointError(f"its tensor '{name}' is {'missing' if name in shapes else 'unknown'}")
    for name, tensor in checkpoint.tensors().items():
        kind, allowed = f"{tensor.dtype} of shape {tensor.shape}", DTYPES.values()
        if name in shapes and (tensor.dtype, tensor.shape) != (FLOAT32, shapes[name]):
            raise CheckpointError(f"its tensor '{name}' is {kind}, not float32 of shape {shapes[name]}")
        if tensor.dtype not in allowed or tensor.size == 0 or tensor.ndim > DIMENSIONS_LIMIT:
            raise CheckpointError(f"its tensor '{name}' is {kind}, which this format does not have")
        if not np.isfinite(tensor).all():
            raise CheckpointError(f"its tensor '{name}' holds values that are not finite")
