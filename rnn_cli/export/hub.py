"""A model as the folder that model hubs expect: config.json, model.safetensors and a card, without code of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.export.portable import BOUNDARY_MEANING, Portable
from rnn_cli.export.torch_lines import MODULES, torch_lines

LICENCE_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-+")
LONGEST_LICENCE, LONGEST_QUOTE = 60, 200  # characters


class Kind(NamedTuple):
    """What the card says of models of a task: a title, what they do, the hub's name of the task, the held-out score."""

    title: str
    does: str
    pipeline: str
    score: str = ""


KINDS = {
    "language": Kind(
        "A recurrent language model", "It predicts the next symbol of a text, and so writes texts.", "text-generation"
    ),
    "labelled": Kind("A recurrent language model of labels", "It writes texts of a label.", "text-generation"),
    "classify": Kind(
        "A recurrent text classifier",
        "It gives a text one of its labels: read the outputs at the last symbol.",
        "text-classification",
        "{:.1%} of the labels right",
    ),
    "tag": Kind(
        "A recurrent tagger",
        "It gives each token of a sentence a tag: read the outputs at the last character of each token.",
        "token-classification",
        "{:.1%} of the tags right",
    ),
    "translate": Kind(
        "A recurrent encoder with a decoder",
        "It answers a source with a target, and attends to the source (Luong, Pham and Manning 2015).",
        "translation",
        "{:.1%} of the targets right",
    ),
    "forecast": Kind(
        "A recurrent forecaster",
        "It forecasts the next values of a series of numbers.",
        "time-series-forecasting",
        "a MASE {:.1%} below that of the seasonal naive forecast",
    ),
}
READS = {
    "forecast": """At step t it reads arcsinh of these numbers, of a series y that is divided by its `scale`, the mean
of |y_t - y_(t-season)|; naive_(t,h) is the last value known at step t of the phase of the season of step t + h:

- y_t - y_(t-1), and y_t - y_(t-season)
- naive_(t,h) - the mean of the last `season` values, for h = 1 ... min(season, horizon)
- naive_(t,h) - naive_(t-season,h), for the same h
- naive_(t,h) - y_(t+h-longer), for h = 1 ... min(longer, horizon)

A difference from a value before the start of the series is 0. It reads the last `context` steps. With Q `quantiles`,
output h Q + q at the last step is the forecast of step t + 1 + h, less naive_(t,h+1), divided by the scale; sort the Q
numbers of each step."""
}
UNITS = {"classify": "text", "tag": "token", "translate": "symbol"}  # of other models it is that of the codec


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
    codec = {} if model.codec is None else {"codec": model.codec.to_dict()}
    config = {**model.description(), **codec, "model_type": "rnn-cli"}
    return {
        "config.json": (json.dumps(config, indent=1) + "\n").encode(),
        "model.safetensors": save(tensors, metadata={"format": "pt"}),
        "README.md": card(model, record, licence).encode(),
    }


def card(model: Portable, record: Mapping[str, Any], licence: str) -> str:
    """Return the model card."""
    config, kind = model.config, KINDS[model.task]
    count = sum(tensor.size for tensor in model.tensors.values())
    layers = f"{config.num_layers} layer{'s' * (config.num_layers > 1)} of {config.hidden_size} units"
    both = ", each in both directions" if config.directions == 2 else ""
    return f"""---
license: {licence}
library_name: rnn-cli
pipeline_tag: {kind.pipeline}
tags: [recurrent-network, {config.cell}]
---

# {kind.title}

{kind.does} {MODULES[config.cell]}, {layers}{both}; {count:,} numbers in float32. Made with `rnn-cli`.

## Data and figures

{facts(model, record)}

## Limits

{limits(model)}

## Use

```python
{torch_lines(model)}
```
"""


def limits(model: Portable) -> str:
    """Return what users must know."""
    if model.codec is None:
        return f"A small network, trained on the data above only. {READS[model.task]}"
    return (
        "A small network, trained on the data above only. It repeats their errors and prejudices, and what it writes\n"
        f"is not a fact. It knows only the {len(model.symbols):,} symbols in `config.json`.\n"
        f"{BOUNDARY_MEANING.capitalize()}."
    )


def facts(model: Portable, record: Mapping[str, Any]) -> str:
    """Return a list of what the record says."""
    corpus, training = (
        part if isinstance(part, dict) else {} for part in (record.get("corpus"), record.get("training"))
    )
    rows = [f"- {name.replace('_', ' ')}: {quoted(value)}" for name, value in corpus.items() if is_plain(value)]
    if is_plain(steps := record.get("steps")):
        rows.append(f"- steps of training: {quoted(steps)}")
    match record.get("mixture"):
        case {"network_loss": float(alone), "loss": float(mixed)} if math.isfinite(alone) and math.isfinite(mixed):
            rows.append(f"- left out: n-gram counts, with which rnn-cli takes {mixed:.4f} nats instead of {alone:.4f}")
    loss = record.get("best_loss")
    if isinstance(loss, float) and math.isfinite(loss) and model.codec is not None:
        unit = UNITS.get(model.task, model.codec.unit)
        guess = math.log2(model.config.output_size)
        held = "held-out" if training.get("validation_fraction", 1) else "training"
        bits = loss / math.log(2)
        rows.append(f"- best {held} loss: {bits:.3f} bits per {unit}; guessing equally would cost {guess:.3f}")
    score = record.get("best_score")
    if isinstance(score, float) and math.isfinite(score) and KINDS[model.task].score:
        rows.append(f"- best held-out score: {KINDS[model.task].score.format(score)}")
    return "\n".join(rows) or "The file does not say what it was trained on."


def is_plain(value: object) -> bool:
    """Say whether a value of a record can be quoted."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def quoted(value: object) -> str:
    """Return a value as a span of code, in which nothing is markup."""
    text = " ".join(str(value).split()).replace("`", "'")[:LONGEST_QUOTE]
    return f"`{text or ' '}`"
