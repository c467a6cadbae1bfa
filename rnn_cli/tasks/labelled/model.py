"""A model that writes texts of a label, as its file describes it, and the language model that it is for one label.

Each step reads two symbols, the character and the label, whose embeddings are added:

    x_t W_ih = E[character_t] + E[label]

For one label that is the network of a language model with the embeddings E'[character] = E[character] + E[label], so
that everything that a language model does, this one does for each of its labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import LANGUAGE, Checkpoint
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.text.codecs import Codec, codec_from_dict

LABELLED = "labelled"
SHOWN = 5  # labels in a message


def description(codec: Codec, labels: Sequence[str], counts: Sequence[int]) -> dict[str, Any]:
    """Return what the file says of the model, JSON-ready: with how many texts of each label it has learned from."""
    return {"name": LABELLED, "codec": codec.to_dict(), "labels": list(labels), "counts": list(counts)}


def read_description(checkpoint: Checkpoint) -> tuple[Codec, tuple[str, ...], np.ndarray]:
    """Return the codec, the labels and the number of texts of each.

    Raises TaskError for a model of another task, CheckpointError if its description is damaged.
    """
    checkpoint.expect(LABELLED)
    match checkpoint.task:
        case {"codec": dict(values), "labels": [_, *_] as labels, "counts": [*counts], **others} if not (
            others.keys() - {"name"}
        ):
            pass
        case _:
            raise CheckpointError("the description of its task has missing, unknown or damaged fields")
    if not all(isinstance(label, str) and label for label in labels) or len(set(labels)) < len(labels):
        raise CheckpointError("its labels are not distinct texts; the file is damaged")
    if len(counts) != len(labels) or not all(type(count) is int and 0 < count < 1 << 53 for count in counts):
        raise CheckpointError("the numbers of its texts are damaged")
    codec, config = codec_from_dict(values), checkpoint.config
    sizes = (config.inputs, config.outputs, config.input_size, config.output_size, config.directions)
    if sizes != ("symbols", "symbols", len(codec) + len(labels), len(codec), 1) or config.readout != "last":
        raise CheckpointError("its network does not fit its symbols and its labels; the file is damaged")
    return codec, tuple(labels), np.array(counts, np.int64)


def given_label(checkpoint: Checkpoint, label: str) -> Checkpoint:
    """Return the language model that writes texts of a label. Raises UsageError for a label that the model lacks."""
    codec, labels, _ = read_description(checkpoint)
    if label not in labels:
        known = ", ".join(f"'{name}'" for name in labels[:SHOWN]) + (", ..." if len(labels) > SHOWN else "")
        raise UsageError(f"the model has no label '{label}'; it has {known}")
    name = "rnn.weight_ih_l0"
    weights = checkpoint.parameters[name]  # (gates H, V + labels)
    size = len(codec)
    with np.errstate(over="ignore"):
        own = weights[:, :size] + weights[:, size + labels.index(label), None]
    parameters = {**checkpoint.parameters, name: np.ascontiguousarray(own, np.float32)}
    config = replace(checkpoint.config, input_size=size)
    return Checkpoint(config, {"name": LANGUAGE, "codec": codec.to_dict()}, parameters, checkpoint.record)


def language_model(checkpoint: Checkpoint, label: str | None) -> Checkpoint:
    """Return the model that writes: of a label, if there is one, or a language model as it is.

    Raises UsageError for a label that is missing, or given to a model without labels.
    """
    if checkpoint.task["name"] == LABELLED:
        if label is None:
            labels = read_description(checkpoint)[1]
            raise UsageError(f"the model writes texts of a label; name one of its {len(labels):,} with `label`")
        return given_label(checkpoint, label)
    if label is not None:
        checkpoint.expect(LANGUAGE)
        raise UsageError("the model was trained without labels; leave `label` out")
    return checkpoint


def prior_bits(counts: np.ndarray) -> np.ndarray:
    """Return -log2 of the share of each label among the texts."""
    return (math.log(int(counts.sum())) - np.log(counts)) / math.log(2)
