"""The checkpoint: one safetensors file that holds a model, how it came to be, and what resuming it needs.

The tensors have the names and the layout of PyTorch (rnn_cli/layout.py); those that only resuming needs are called
`training.NAME`. All that is no tensor is JSON, in the metadata of the file under the one key "rnn".

A file may come from a stranger. So it is read here and not by the safetensors library, which accepts a name twice:
each size is compared with the size of the file before anything of that size is allocated, and nothing is executed.
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

from rnn_cli.cells import find_cell
from rnn_cli.config import ModelConfig
from rnn_cli.errors import CheckpointError, RnnError, UsageError
from rnn_cli.files import write_atomically
from rnn_cli.layout import torch_shapes
from rnn_cli.vocabulary import Vocabulary

FORMAT = 1
METADATA_KEY = "rnn"
TRAINING_PREFIX = "training."
DTYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "I64": np.dtype("<i8")}
RECORD_KINDS = {"corpus": dict, "training": dict, "history": list, "scores": dict, "versions": dict}

FILE_LIMIT = 4 << 30  # bytes
HEADER_LIMIT = 64 << 20  # bytes
DEPTH_LIMIT = 32  # lists and objects of JSON inside each other
DIGITS_LIMIT = 40  # of a whole number in JSON: a generator's state of 128 bits has 39
DIMENSIONS_LIMIT = 8  # of a tensor
REASON_LIMIT = 300  # characters of a message that quotes the file


@dataclass
class Checkpoint:
    """A model and its history.

    `parameters` are float32, with the names and shapes of `torch_shapes(config)`: the best model so far. `record` says
    how it came to be, in JSON. `training` (float32, float64 or int64) and `progress` (JSON) are what only resuming
    needs: nothing, and None, once the training has finished.
    """

    config: ModelConfig
    vocabulary: Vocabulary
    parameters: dict[str, np.ndarray]
    record: dict[str, Any] = field(default_factory=dict)
    training: dict[str, np.ndarray] = field(default_factory=dict)
    progress: dict[str, Any] | None = None

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all the tensors by their names in the file."""
        return self.parameters | {TRAINING_PREFIX + name: tensor for name, tensor in self.training.items()}


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> int:
    """Write a checkpoint in one step and return its size in bytes; on any failure the old file stays.

    Raises RnnError where `load_checkpoint` would refuse it, so that a good model is never replaced by a useless one,
    and OSError where the file cannot be written.
    """
    data = to_bytes(checkpoint)
    write_atomically(path, data)
    return len(data)


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the content of the file: the same bytes for the same checkpoint. Raises RnnError as `save_checkpoint`."""
    from safetensors.numpy import save

    description = {
        "format": FORMAT,
        "model": checkpoint.config.to_dict(),
        "vocabulary": checkpoint.vocabulary.to_dict(),
        "record": checkpoint.record,
        "progress": checkpoint.progress,
    }
    try:
        text = json.dumps(
            description, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
        )
        read_description(text)
        check(checkpoint)
    except (ValueError, CheckpointError) as problem:
        raise RnnError(f"the model is not saved, as it could not be loaded again: {problem}") from problem
    # The safetensors library writes wrong values, and says nothing, for arrays that are not contiguous.
    tensors = {name: np.asarray(tensor, order="C") for name, tensor in checkpoint.tensors().items()}
    data: bytes = save(tensors, metadata={METADATA_KEY: text})
    if len(data) > FILE_LIMIT or int.from_bytes(data[:8], "little") > HEADER_LIMIT:
        raise RnnError(
            f"the model is not saved: it would take {len(data):,} bytes, {len(text):,} of them for its description, "
            f"and the limits are {FILE_LIMIT:,} and {HEADER_LIMIT:,}; make it smaller, or evaluate less often"
        )
    return data


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint. Safe on any file; raises CheckpointError where it is not a whole and sound checkpoint."""
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
    """Read a file that is open: the length of the header (8 bytes), the header (JSON), the data of the tensors."""
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
        raise CheckpointError("it ends within its header; it was cut off: copy or train it again")
    entries = parse_json(file.read(header_size))
    match entries.pop("__metadata__", None):
        case {"rnn": str(text)}:
            config, vocabulary, record, progress = read_description(text)
        case _:
            raise CheckpointError("another program wrote it; give the file that rnn train has written")
    places = find_places(entries, data_size)
    data = np.empty(data_size, np.uint8)
    if file.readinto(data.data) != data_size:
        raise CheckpointError("it became shorter while it was read; try again")
    tensors = {name: data[start:end].view(dtype).reshape(shape) for name, start, end, dtype, shape in places}
    checkpoint = Checkpoint(
        config=config,
        vocabulary=vocabulary,
        parameters={name: tensor for name, tensor in tensors.items() if not name.startswith(TRAINING_PREFIX)},
        record=record,
        training={
            name.removeprefix(TRAINING_PREFIX): tensor
            for name, tensor in tensors.items()
            if name.startswith(TRAINING_PREFIX)
        },
        progress=progress,
    )
    check(checkpoint)
    return checkpoint


def parse_json(text: str | bytes) -> dict[str, Any]:
    """Return an object of JSON in UTF-8: no name twice, no number that is not finite, no great depth or length."""
    try:
        parsed = json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
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
        containers = [value.values() if isinstance(value, dict) else value for value in level]
        level = [value for container in containers for value in container if isinstance(value, dict | list)]
    if level:
        raise CheckpointError(f"its description is nested too deeply; the limit is {DEPTH_LIMIT}")
    return parsed


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dictionary. Raises ValueError where a name comes twice."""
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name comes twice")
    return values


def bounded(digits: str) -> int:
    """Return a whole number. Raises ValueError where it has too many digits for what computes with it later."""
    if len(digits) > DIGITS_LIMIT:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def finite(digits: str) -> float:
    """Return a number. Raises ValueError where it is not finite."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"a number is {value}")
    return value


def read_description(text: str) -> tuple[ModelConfig, Vocabulary, dict[str, Any], dict[str, Any] | None]:
    """Return the configuration, vocabulary, record and progress that the metadata describe."""
    description = parse_json(text)
    version = description.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise CheckpointError(
            f"it was written by a newer rnn (format {version}); this one reads format {FORMAT}: install the newer one"
        )
    if version != FORMAT:
        raise CheckpointError(f"it has the unknown format {version}; this rnn reads format {FORMAT}")
    match description:
        case {
            "model": dict(model),
            "vocabulary": dict(symbols),
            "record": dict(record),
            "progress": dict() | None as progress,
        } if len(description) == 5:
            pass
        case _:
            raise CheckpointError("its description has missing, unknown or mistaken parts")
    for name, kind in RECORD_KINDS.items():
        if name in record and not isinstance(record[name], kind):
            raise CheckpointError(f"the part '{name}' of its record is no {kind.__name__}")
    try:
        config = ModelConfig.from_dict(model)
        find_cell(config.cell, config.activation)
    except UsageError as problem:
        raise CheckpointError(f"it describes an impossible model ({problem})") from problem
    return config, Vocabulary.from_dict(symbols), record, progress


def find_places(
    entries: dict[str, Any], data_size: int
) -> list[tuple[str, int, int, np.dtype, tuple[int, ...]]]:
    """Return the name, first byte, end, type and shape of each tensor, in the order in which they fill the data."""
    places = []
    for name, entry in entries.items():
        match entry:
            case {"dtype": str(code), "shape": [*shape], "data_offsets": [int(start), int(end)]} if (
                len(entry) == 3
                and code in DTYPES
                and len(shape) <= DIMENSIONS_LIMIT
                and all(type(size) is int and size > 0 for size in shape)
                and end - start == math.prod(shape) * DTYPES[code].itemsize
            ):
                places.append((name, start, end, DTYPES[code], tuple(shape)))
            case _:
                raise CheckpointError(f"no model has a tensor like '{name}': {entry}")
    places.sort(key=lambda place: place[1])
    position = 0
    for name, start, end, _, _ in places:
        if start != position:
            raise CheckpointError(f"the data of its tensor '{name}' are not where they should be")
        position = end
    if position != data_size:
        raise CheckpointError(
            f"its tensors have {position:,} bytes and the file holds {data_size:,}; "
            "it was cut off or altered: copy or train it again"
        )
    return places


def check(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError where the parts of a checkpoint do not fit together, or a number is not finite."""
    config = checkpoint.config
    if len(checkpoint.vocabulary) != config.vocab_size:
        raise CheckpointError(
            f"its vocabulary has {len(checkpoint.vocabulary):,} symbols and its model {config.vocab_size:,}"
        )
    shapes = torch_shapes(config)
    for name in sorted(shapes.keys() ^ checkpoint.parameters.keys()):
        raise CheckpointError(
            f"its tensor '{name}' is {'missing' if name in shapes else 'none of its model'}"
        )
    for name, tensor in checkpoint.tensors().items():
        shape = shapes.get(name, tensor.shape)
        dtypes = [DTYPES["F32"]] if name in shapes else list(DTYPES.values())
        if tensor.shape != shape or tensor.dtype not in dtypes:
            wanted = f"{' or '.join(map(str, dtypes))} of shape {shape}"
            raise CheckpointError(
                f"its tensor '{name}' is {tensor.dtype} of shape {tensor.shape}, not {wanted}"
            )
        if tensor.size == 0 or tensor.ndim > DIMENSIONS_LIMIT:
            raise CheckpointError(
                f"its tensor '{name}' is empty or has more than {DIMENSIONS_LIMIT} dimensions"
            )
        if not np.isfinite(tensor).all():
            raise CheckpointError(f"its tensor '{name}' holds values that are not finite")
