"""A model as one readable Python file that needs NumPy alone, beside its weights in an .npz."""

from __future__ import annotations

import io
import json
import zipfile
from importlib import resources

import numpy as np

from rnn_cli.checkpoint.checkpoint import CLASSIFY, TAG, TRANSLATE
from rnn_cli.export.portable import Portable
from rnn_cli.tasks.forecast.forecaster import FORECAST

EPOCH = (1980, 1, 1, 0, 0, 0)  # the date of each part, so that the same model gives the same bytes
TEMPLATE = "numpy_model.txt"
IF, END = "#if ", "#end"  # lines of the template: what is between them is for models with one of the traits


def numpy_source(model: Portable, weights_name: str) -> bytes:
    """Return the Python file, of the parts that the model needs; `weights_name` is the name of the .npz beside it."""
    traits, lines, kept = traits_of(model), [], [True]
    template = resources.files("rnn_cli.export").joinpath(TEMPLATE).read_text("utf-8")
    for line in template.splitlines():
        if line.startswith(IF):
            kept.append(kept[-1] and not traits.isdisjoint(line.split()[1:]))
        elif line == END:
            kept.pop()
        elif kept[-1]:
            lines.append(line)
    text, label = "\n".join(lines) + "\n", bool(model.labels)
    words = {
        "USAGE": "< NUMBERS" if model.task == FORECAST else "TEXT",
        "DIRECTIONS": str(model.config.directions),
        "LABEL": ", label=None" * label,
        "GIVEN_FIRST": ', label=about["labels"][0]' * label,
        "GIVEN": ", label" * label,
        "SPACEdecode": '" " * bool(text) + decode' if model.kind == "words" else "decode",
        "import sys\n": "import sys\nimport unicodedata\n" if model.task == TRANSLATE else "import sys\n",
        '"WEIGHTS.npz"': json.dumps(weights_name),  # last, as it may hold any of these words
    }
    for mark, word in words.items():
        text = text.replace(mark, word)
    return text.encode()


def traits_of(model: Portable) -> set[str]:
    """Return the words by which the template chooses its parts."""
    config, tasks = model.config, (CLASSIFY, TAG, TRANSLATE, FORECAST)
    choices = {
        config.cell: config.cell != "rnn",
        config.activation: config.cell == "rnn",
        model.kind: True,
        model.task: model.task in tasks,
        "texts": model.task not in (TRANSLATE, FORECAST),
        "writes": model.writes,
        "forward": model.task != TRANSLATE and config.directions == 1,
        "both": model.task == TRANSLATE or config.directions == 2,
        "tied": config.embedding == "tied",
        "untied": config.embedding != "tied",
        "labels": bool(model.labels),
        "mean": config.readout == "mean",
        "unknown": model.unknown >= 0,
        "known": model.unknown < 0,
        "stream": model.newline > 0,
        "known-symbols": model.kind != "bytes",
        "bio": bool(model.details.get("allowed")),
        "free": not model.details.get("allowed"),
    }
    return {trait for trait, has in choices.items() if has}


def numpy_weights(model: Portable) -> bytes:
    """Return the .npz: the tensors by PyTorch's names, the description as JSON in UTF-8, and of bytes `follow`."""
    arrays = dict(model.tensors)
    arrays["description"] = np.frombuffer(json.dumps(model.description()).encode(), np.uint8)
    if model.follow is not None and model.kind == "bytes":
        arrays["follow"] = model.follow
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), part.getvalue())
    return buffer.getvalue()
