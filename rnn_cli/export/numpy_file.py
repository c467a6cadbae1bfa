"""A model as one readable Python file that needs NumPy alone, beside its weights in an .npz."""

from __future__ import annotations

import io
import json
import zipfile
from importlib import resources

import numpy as np

from rnn_cli.export.portable import Portable

EPOCH = (1980, 1, 1, 0, 0, 0)  # the date of each part, so that the same model gives the same bytes
TEMPLATE = "numpy_model.txt"
WEIGHTS_NAME = "WEIGHTS.npz"  # in the template


def numpy_source(weights_name: str) -> bytes:
    """Return the Python file; `weights_name` is the name of the .npz beside it."""
    text = resources.files("rnn_cli.export").joinpath(TEMPLATE).read_text("utf-8")
    return text.replace(f'"{WEIGHTS_NAME}"', json.dumps(weights_name)).encode()


def numpy_weights(model: Portable) -> bytes:
    """Return the .npz: the tensors by PyTorch's names, `follow`, and the description as JSON in UTF-8."""
    arrays = dict(model.tensors)
    arrays["description"] = np.frombuffer(json.dumps(model.description()).encode(), np.uint8)
    if model.follow is not None:
        arrays["follow"] = model.follow
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), part.getvalue())
    return buffer.getvalue()
