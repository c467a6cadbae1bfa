"""A model as the folder that model hubs expect: config.json, model.safetensors and a card, without code of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.export.portable import BOUNDARY_MEANING, Portable

MODULES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
LICENCE_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-+")
LONGEST_LICENCE, LONGEST_QUOTE = 60, 200  # characters
DOES = {
    "language": "It predicts the next symbol of a text, and so writes texts.",
    "labelled": "It writes texts of a label.",
    "classify": "It gives a text one of its labels: read the outputs at the last symbol.",
    "tag": "It gives each token of a sentence a tag: read the outputs at the last character of each token.",
}


def hub_folder(model: Portable, record: Mapping[str, Any], licence: str) -> dict[str, bytes]:
    """Return the files by their names. `record` says how the model was trained; it is quoted as text only.

    Raises UsageError for a licence that is not a name, and for a cell that torch.nn lacks.
    """
    from safetensors.numpy import save

    if not licence or len(licence) > LONGEST_LICENCE or not set(licence) <= LICENCE_LETTERS:
        raise UsageError(f"`licence` takes the short name of a licence, such as mit or cc-by-4.0, not '{licence}'")
    if model.config.activation == "sigmoid":
        raise UsageError("torch.nn.RNN has no sigmoid, so its users could not load this model; use `to='onnx'`")
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in model.tensors.items()}
    config = {**model.description(), "codec": model.codec.to_dict(), "model_type": "rnn-cli"}
    return {
        "config.json": (json.dumps(config, indent=1) + "\n").encode(),
        "model.safetensors": save(tensors, metadata={"format": "pt"}),
        "README.md": card(model, record, licence).encode(),
    }


def card(model: Portable, record: Mapping[str, Any], licence: str) -> str:
    """Return the model card."""
    config = model.config
    count = sum(tensor.size for tensor in model.tensors.values())
    layers = f"{config.num_layers} layer{'s' * (config.num_layers > 1)} of {config.hidden_size} units"
    both = ", each in both directions" if config.directions == 2 else ""
    return f"""---
license: {licence}
tags: [recurrent-network, {config.cell}]
---

# A recurrent network

{DOES[model.task]} {MODULES[config.cell]}, {layers}{both}; {count:,} numbers in float32. Made with `rnn-cli`.

## Data and figures

{facts(model, record)}

## Limits

A small network, trained on the data above only. It repeats their errors and prejudices, and what it writes is not a
fact. It knows only the {len(model.symbols):,} symbols in `config.json`. {BOUNDARY_MEANING}.

## Use

```python
{torch_lines(model)}
```
"""


def facts(model: Portable, record: Mapping[str, Any]) -> str:
    """Return a list of what the record says."""
    corpus, training = (
        part if isinstance(part, dict) else {} for part in (record.get("corpus"), record.get("training"))
    )
    rows = [f"- {name.replace('_', ' ')}: {quoted(value)}" for name, value in corpus.items() if is_plain(value)]
    if is_plain(steps := record.get("steps")):
        rows.append(f"- steps of training: {quoted(steps)}")
    loss = record.get("best_loss")
    if isinstance(loss, float) and math.isfinite(loss):
        unit = "text" if model.task == "classify" else "token" if model.task == "tag" else model.codec.unit
        guess = math.log2(model.config.output_size)
        held = "held-out" if training.get("validation_fraction", 1) else "training"
        bits = loss / math.log(2)
        rows.append(f"- best {held} loss: {bits:.3f} bits per {unit}; guessing equally would cost {guess:.3f}")
    return "\n".join(rows) or "The file does not say what it was trained on."


def is_plain(value: object) -> bool:
    """Say whether a value of a record can be quoted."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def quoted(value: object) -> str:
    """Return a value as a span of code, in which nothing is markup."""
    text = " ".join(str(value).split()).replace("`", "'")[:LONGEST_QUOTE]
    return f"`{text or ' '}`"


def torch_lines(model: Portable) -> str:
    """Return the lines of Python that load the model with torch.nn and run it."""
    config = model.config
    width, tied = config.directions * config.hidden_size, config.embedding == "tied"
    reads = config.hidden_size if tied else config.input_size
    options = f", num_layers={config.num_layers}" + ", bidirectional=True" * (config.directions == 2)
    if config.cell == "rnn":
        options += f', nonlinearity="{config.activation}"'
    lines = [
        "import torch",
        "from safetensors.torch import load_file",
        "",
        'tensors = load_file("model.safetensors")',
        *['tensors["decoder.weight"] = tensors["encoder.weight"]'] * tied,
        "net = torch.nn.ModuleDict({",
        *[f'    "encoder": torch.nn.Embedding({config.input_size}, {reads}),'] * tied,
        f'    "rnn": torch.nn.{MODULES[config.cell]}({reads}, {config.hidden_size}{options}),',
        f'    "decoder": torch.nn.Linear({width}, {config.output_size}),',
        "})",
        "net.load_state_dict(tensors)",
        "ids = torch.tensor([[0], [1]])  # (T, B): the boundary, then the symbols of a text",
    ]
    if tied:
        lines.append('x = net["encoder"](ids)')
    else:
        lines.append(f"x = torch.nn.functional.one_hot(ids, {config.input_size}).float()")
    if model.labels:
        lines.append(f"x[:, :, {len(model.symbols)} + 0] = 1  # label 0")
    lines.append('y, state = net["rnn"](x)')
    if config.readout == "mean":
        lines.append("y = y.cumsum(0) / torch.arange(1, 1 + len(y))[:, None, None]")
    lines.append('logits = net["decoder"](y)  # (T, B, outputs)')
    return "\n".join(lines)
