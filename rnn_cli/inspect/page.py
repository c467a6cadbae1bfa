"""The page of a report: report.html with its data in it, and the policy that keeps the browser from fetching."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

TEMPLATE = "report.html"
DATA, POLICY = "{{data}}", "{{policy}}"


def page_of(data: dict[str, Any]) -> bytes:
    """Return the page as UTF-8. Nothing of the data can end its element or run: `<`, `>` and `&` are escapes in it."""
    template = files("rnn_cli.inspect").joinpath(TEMPLATE).read_text("utf-8")
    before, after = template.split(DATA)
    before = before.replace(POLICY, policy_of(template))
    return (before + embedded(data) + after).encode()


def embedded(data: dict[str, Any]) -> str:
    """Return JSON in ASCII that is safe inside a script element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def policy_of(template: str) -> str:
    """Return the Content-Security-Policy: only the style and the script of the template, by their hashes."""
    style, script = (hash_of(between(template, f"<{name}>", f"</{name}>")) for name in ("style", "script"))
    return f"default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"


def hash_of(content: str) -> str:
    """Return the source expression of a hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def between(text: str, start: str, end: str) -> str:
    """Return what is between the only two places of some marks."""
    _, rest = text.split(start)
    return rest.split(end)[0]
