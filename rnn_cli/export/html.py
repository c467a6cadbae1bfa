"""A model as one page that runs it in a browser, offline, by WebAssembly or plain JavaScript."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources

from rnn_cli.errors import UsageError
from rnn_cli.export.portable import Portable
from rnn_cli.export.rounding import tensor_bytes

PARTS = ("page.html", "style.css", "network.js", "page.js")  # of the page, in page/
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
            "remark": model.remark,
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
    # The last mark first: what is put in, which may hold the name of a mark, comes after those that are left.
    for mark, text in (("SCRIPT", script), ("MODEL", json_for_html(parts)), ("STYLE", style), ("POLICY", policy)):
        before, after = page.split(mark, 1)
        page = before + text + after
    return page.encode()


def digest_of(text: str) -> str:
    """Return how a policy names the only script, or style, that may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def json_for_html(value: object) -> str:
    """Return JSON in which nothing can end a script or begin a comment."""
    text = json.dumps(value)  # ASCII, so that no separator of lines is left
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
