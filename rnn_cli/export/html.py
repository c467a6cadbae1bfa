"""A model as one page that runs it in a browser, offline, by WebAssembly or plain JavaScript.

The weights are bfloat16; or each row of a matrix is 8-bit integers with a scale (float32), which follow one another.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from importlib import resources

import numpy as np

from rnn_cli.checkpoint.checkpoint import LANGUAGE, Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.export.portable import Portable
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.evaluation import evaluate_texts
from rnn_cli.language.sampling import sample_texts
from rnn_cli.tasks.labelled.model import LABELLED, given_label

PARTS = ("page.html", "style.css", "network.js", "page.js")  # of the page, in page/
MEASURED, LONGEST_MEASURED = 10_000, 100  # symbols on which the loss of 8 bits is measured, and of each text
LARGEST = 200_000_000  # numbers; base64 of more is longer than a string of JavaScript may be


def html_page(model: Portable, title: str, int8: bool = False) -> bytes:
    """Return the page. With `int8` its matrices have 8 bits.

    Raises UsageError for a model that is too large for one, or reads no texts.
    """
    from rnn_cli.kernels.wasm import product_module

    if model.codec is None:
        raise UsageError("a page has no place for series of numbers; use `to='numpy'`, `'onnx'` or `'c'`")
    count = sum(tensor.size for tensor in model.tensors.values())
    if count > LARGEST:
        raise UsageError(f"the model has {count:,} numbers, and a page can hold {LARGEST:,}; use `to='onnx'`")
    parts = {
        "about": {
            **model.description(),
            "title": title,
            "int8": int8,
            "tensors": {name: list(tensor.shape) for name, tensor in model.tensors.items()},
            "follow": None if model.follow is None else base64.b64encode(model.follow.tobytes()).decode(),
        },
        "weights": base64.b64encode(b"".join(tensor_bytes(t, int8) for t in model.tensors.values())).decode(),
        "module": base64.b64encode(product_module()).decode(),
    }
    folder = resources.files("rnn_cli.export") / "page"
    page, style, *scripts = (folder.joinpath(name).read_text("utf-8") for name in PARTS)
    script = "".join(scripts)
    policy = f"script-src {digest_of(script)} 'wasm-unsafe-eval'; style-src {digest_of(style)}"
    policy = f"default-src 'none'; {policy}; img-src data:; base-uri 'none'; form-action 'none'"
    for mark, text in (("POLICY", policy), ("STYLE", style), ("MODEL", json_for_html(parts)), ("SCRIPT", script)):
        before, after = page.split(mark, 1)
        page = before + text + after
    return page.encode()


def digest_of(text: str) -> str:
    """Return how a policy names the only script, or style, that may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def tensor_bytes(values: np.ndarray, int8: bool) -> bytes:
    """Return a tensor as the page reads it; vectors are always bfloat16."""
    if not int8 or values.ndim != 2:
        return bfloat16_bytes(values)
    numbers, scales = int8_rows(values)
    return numbers.tobytes() + scales.astype("<f4").tobytes()


def int8_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a matrix as 8-bit integers (rows, columns), and the scale of each row (rows): their product is near it."""
    scales = (np.maximum(np.abs(values).max(axis=1), 1e-30) / 127).astype(np.float32)
    return np.rint(values / scales[:, None]).astype(np.int8), scales


def int8_loss(checkpoint: Checkpoint) -> str:
    """Return a sentence that says what 8 bits cost a model that writes, on texts that it has written itself.

    That is its divergence from the exact model, in bits per symbol. Raises UsageError for other models.
    """
    if checkpoint.task["name"] not in (LANGUAGE, LABELLED):
        raise UsageError("8 bits can be measured only with a model that writes; leave `int8` out")
    if checkpoint.task["name"] == LABELLED:
        checkpoint = given_label(checkpoint, checkpoint.task["labels"][0])
    exact = replace(checkpoint, parameters={name: in_page(t, False) for name, t in checkpoint.parameters.items()})
    coarse = replace(checkpoint, parameters={name: in_page(t, True) for name, t in checkpoint.parameters.items()})
    codec, config = checkpoint.codec, SamplingConfig(length=LONGEST_MEASURED, random_seed=1)
    texts, count = [], 0
    for text in sample_texts(checkpoint, count=MEASURED, config=config):
        texts.append(text)
        count += len(codec.encode(codec.as_read(text))) + 1  # its end is scored too
        if count >= MEASURED:
            break
    read = [codec.as_read(codec.text_end.join(texts) + codec.text_end)]
    bits = [evaluate_texts(model, read).bits_per_char for model in (exact, coarse)]
    return (
        f"8 bits cost {bits[1] - bits[0]:+.4f} bits per {codec.unit}: {bits[1]:.4f} instead of {bits[0]:.4f}, on "
        f"{count:,} {codec.unit}s that the model wrote"
    )


def in_page(values: np.ndarray, int8: bool) -> np.ndarray:
    """Return a tensor with the values that the page computes with."""
    if int8 and values.ndim == 2:
        numbers, scales = int8_rows(values)
        return numbers.astype(np.float32) * scales[:, None]
    bits = np.frombuffer(bfloat16_bytes(values), "<u2").astype("<u4") << 16
    return bits.view("<f4").reshape(values.shape)


def bfloat16_bytes(values: np.ndarray) -> bytes:
    """Return float32 numbers as bfloat16, rounded to nearest even."""
    bits = np.ascontiguousarray(values, "<f4").view("<u4").astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return rounded.astype("<u2").tobytes()


def json_for_html(value: object) -> str:
    """Return JSON in which nothing can end a script or begin a comment."""
    text = json.dumps(value)  # ASCII, so that no separator of lines is left
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
