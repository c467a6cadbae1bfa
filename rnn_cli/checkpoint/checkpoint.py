"""The checkpoint: one safetensors file that holds a model, how it was trained, and what resuming needs.

The tensors have PyTorch's names and layout (network/parameters.py). Those that only resuming needs are called
`training.NAME`, those of the n-gram model beside a language model `counts.NAME`. The rest is JSON, in the metadata of
the file under the one key "rnn":

format    2; files of format 1, which held language models only, are read for ever
network   the fields of NetworkConfig
task      {"name": "language", "codec": {...}}: what the network does, and all that using it needs
record    how it was trained
progress  the counts that only resuming needs, or null
source    what a command needs in order to resume (for `rnn train` the files and how they are read), or null
"""

from __future__ import annotations

import io
import json
import os
import shlex
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from rnn_cli.atomic_files import write_atomically
from rnn_cli.cells import find_cell
from rnn_cli.checkpoint.safetensors_reader import (
    DIMENSIONS_LIMIT,
    DTYPES,
    FILE_LIMIT,
    FLOAT32,
    HEADER_LIMIT,
    parse_json,
    read_header,
    read_tensors,
)
from rnn_cli.errors import CheckpointError, RnnError, TaskError, UsageError
from rnn_cli.network.config import EncoderDecoderConfig, NetworkConfig, network_from_dict
from rnn_cli.network.members import as_one
from rnn_cli.network.parameters import torch_shapes
from rnn_cli.text.codecs import Codec, codec_from_dict

FORMAT = 2
METADATA_KEY = "rnn"
TRAINING_PREFIX = "training."
COUNTS_PREFIX = "counts."
CLASSIFY = "classify"  # the name of the task whose models give a text a label
TAG = "tag"  # the name of the task whose models give each token of a sentence a tag
LANGUAGE = "language"  # the name of the task whose models predict the next symbol of a text
TRANSLATE = "translate"  # the name of the task whose networks are an encoder and a decoder
FEATURES = ("sizes", "keys", "entries", "labels", "counts", "weights")
COUNTS = {  # the tensors with this prefix that models of a task may have
    LANGUAGE: {"symbols", "children", "counts", "wide_children", "wide_counts", "spread", "weights", "shares"}
    | {"text", "match_shares"},
    CLASSIFY: {f"feature_{name}" for name in FEATURES},
    TAG: {f"feature_{name}" for name in FEATURES},
}
RECORD_KINDS = {
    "corpus": dict,
    "training": dict,
    "history": list,
    "versions": dict,
    "fingerprint": dict,
}
TASK_NAME_LIMIT = 40  # characters
REASON_LIMIT = 300  # characters of a message that quotes the file


@dataclass
class Checkpoint:
    """A model and its history.

    `parameters` are float32, with the names and shapes of `torch_shapes(config)`: the best model so far.
    `task` (JSON) says what the model does: its "name", and what the task needs in order to use it.
    `record` (JSON) says how it was trained. `training` (float32, float64 or int64) and `progress` (JSON) are what
    only resuming needs: empty, and None, once the training has finished. `source` (JSON, or None) is what a command
    needs in order to resume; the library does not read it. `counts` are those of the n-gram model beside a language
    model: the tensors of language/ngrams.py.
    """

    config: NetworkConfig
    task: dict[str, Any]
    parameters: dict[str, np.ndarray]
    record: dict[str, Any] = field(default_factory=dict)
    training: dict[str, np.ndarray] = field(default_factory=dict)
    progress: dict[str, Any] | None = None
    source: dict[str, Any] | None = None
    counts: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of_language(
        cls,
        config: NetworkConfig,
        codec: Codec,
        parameters: dict[str, np.ndarray],
        record: dict[str, Any] | None = None,
    ) -> Self:
        """Return the checkpoint of a language model that reads and writes the symbols of a codec."""
        return cls(config, {"name": LANGUAGE, "codec": codec.to_dict()}, parameters, record or {})

    @cached_property
    def codec(self) -> Codec:
        """The symbols of a language model. Raises TaskError for a model of another task."""
        self.expect(LANGUAGE)
        return codec_of(self.task)

    def expect(self, task: str) -> None:
        """Raise TaskError unless the model is for this task."""
        if self.task["name"] != task:
            raise TaskError(self.task["name"], task)

    def as_one_network(self) -> Checkpoint:
        """Return the same model with one network in place of several members, as other programs have it."""
        config, parameters = as_one(self.config, self.parameters)
        return replace(self, config=config, parameters=parameters)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all the tensors by their names in the file."""
        kinds = ((TRAINING_PREFIX, self.training), (COUNTS_PREFIX, self.counts))
        return self.parameters | {prefix + name: tensor for prefix, kind in kinds for name, tensor in kind.items()}


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> int:
    """Write a checkpoint atomically and return its size in bytes; if anything fails the old file stays.

    Raises RnnError if it cannot be written, with the bytes that it takes, or if `load_checkpoint` would refuse it,
    so that a good model is never replaced by a bad one.
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

    Raises RnnError if `load_checkpoint` would refuse it.
    """
    from safetensors.numpy import save

    description = {
        "format": FORMAT,
        "network": checkpoint.config.to_dict(),
        "task": checkpoint.task,
        "record": checkpoint.record,
        "progress": checkpoint.progress,
        "source": checkpoint.source,
    }
    try:
        text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
        read_description(text)
        check(checkpoint)
    except (ValueError, CheckpointError) as problem:
        raise RnnError(f"the model is not saved, as it could not be loaded again: {problem}") from problem
    # The safetensors library writes wrong values, without an error, for arrays that are not contiguous.
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
    """Read a checkpoint. Raises CheckpointError if the file is missing, damaged, or not a checkpoint."""
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
    """Open without waiting for a writer, if the path is a FIFO."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_checkpoint(file: io.BufferedReader) -> Checkpoint:
    """Return the checkpoint in an open file; its description is checked before its tensors are read."""
    entries, data_size = read_header(file)
    metadata = entries.pop("__metadata__", None)
    text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise CheckpointError("another program wrote it; give the file that rnn train has written")
    checkpoint = read_description(text)
    for name, tensor in read_tensors(file, entries, data_size).items():
        if name.startswith(TRAINING_PREFIX):
            checkpoint.training[name.removeprefix(TRAINING_PREFIX)] = tensor
        elif name.startswith(COUNTS_PREFIX):
            checkpoint.counts[name.removeprefix(COUNTS_PREFIX)] = tensor
        else:
            checkpoint.parameters[name] = tensor
    check(checkpoint)
    return checkpoint


def read_description(text: str) -> Checkpoint:
    """Return a checkpoint without tensors from the metadata of a file. Raises CheckpointError if they are damaged."""
    description = parse_json(text)
    version = description.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise CheckpointError(
            f"it was written by a newer rnn (format {version}); this one reads format {FORMAT}: install the newer one"
        )
    match upgraded(description) if version == 1 else description:
        case {
            "format": int(),
            "network": dict(network),
            "task": {"name": str(name), **details},
            "record": dict(record),
            "progress": dict() | None as progress,
            "source": dict() | None as source,
            **others,
        } if version in (1, FORMAT) and not others and name.isidentifier() and len(name) <= TASK_NAME_LIMIT:
            task: dict[str, Any] = {"name": name, **details}  # type: ignore[dict-item]
        case _:
            raise CheckpointError("its description has missing, unknown or damaged parts")
    for name, kind in RECORD_KINDS.items():
        if not isinstance(record.get(name, kind()), kind):
            raise CheckpointError(f"the part '{name}' of its record is damaged")
    try:
        config = network_from_dict(network)
        find_cell(config.cell, config.activation)
    except UsageError as problem:
        raise CheckpointError(f"it describes an impossible model ({problem})") from problem
    return Checkpoint(config, task, {}, record, {}, progress, source)


def upgraded(description: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a file of format 1 in the parts of format 2.

    Such a file holds a language model, whose network has one vocabulary; the source was in the progress.
    """
    match description:
        case {
            "format": 1,
            "model": {"vocab_size": size, **network},
            "vocabulary": dict(codec),
            "record": record,
            "progress": dict() | None as progress,
            **others,
        } if not others and network.keys() == {"cell", "activation", "hidden_size", "num_layers"}:
            counts = progress and {name: value for name, value in progress.items() if name != "source"}
            sizes = {"input_size": size, "output_size": size}
            return {
                "format": 1,
                "network": NetworkConfig().to_dict() | network | sizes,
                "task": {"name": LANGUAGE, "codec": codec},
                "record": record,
                "progress": counts,
                "source": progress and progress.get("source"),
            }
    return {}


def codec_of(task: dict[str, Any]) -> Codec:
    """Return the codec of the description of a language model. Raises CheckpointError if it is damaged."""
    if task.keys() != {"name", "codec"}:
        raise CheckpointError("the description of its task has missing or unknown fields")
    return codec_from_dict(task["codec"])


def check(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError if parts do not fit together, or a tensor holds a value that is not finite."""
    config = checkpoint.config
    if isinstance(config, EncoderDecoderConfig) and checkpoint.task["name"] != TRANSLATE:
        raise CheckpointError("its network is not one that its task can have")
    if checkpoint.task["name"] == LANGUAGE:
        symbols = len(codec_of(checkpoint.task))
        if symbols != config.output_size:
            raise CheckpointError(f"its vocabulary has {symbols:,} symbols and its model {config.output_size:,}")
        reads = (config.inputs, config.outputs, config.input_size, config.directions)
        if reads != ("symbols", "symbols", config.output_size, 1):
            raise CheckpointError("its network is not one that a language model can have")
    for name in checkpoint.counts.keys() - COUNTS.get(checkpoint.task["name"], set()):
        raise CheckpointError(f"its tensor '{COUNTS_PREFIX}{name}' is unknown")
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
