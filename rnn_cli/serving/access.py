"""Who may send requests over HTTP, by their headers.

A page in a browser can send requests to this machine, under its own name for it if its owner's name server points here.
So a request is let in only if its Host and its Origin are accepted, and its body is JSON, which http.py checks.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from rnn_cli.serving.fields import RequestError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
HEADER_LIMIT = 16_384  # bytes of the target and the headers


@dataclass(frozen=True)
class Access:
    """Who may send requests.

    hosts    names that a request may call this server by, beside those of the loopback interface
    origins  origins of pages and programs that may send requests; those that send no Origin are no pages
    token    what each request must name, if it is not None
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    token: str | None = field(default=None, repr=False)

    def check(self, headers: Iterable[tuple[bytes, bytes]], target: bytes) -> None:
        """Raise RequestError unless a request with these headers may come in."""
        headers = list(headers)
        if len(target) + sum(len(name) + len(value) for name, value in headers) > HEADER_LIMIT:
            raise RequestError(f"the headers have more than {HEADER_LIMIT:,} bytes; send less", status=431)
        if host_of(values_of(headers, b"host")) not in self.hosts.union(LOOPBACK_NAMES):
            raise RequestError("this server does not answer under the name in `Host`", "host", 421)
        origins = values_of(headers, b"origin")
        if len(origins) > 1 or not {*origins} <= self.origins:
            raise RequestError("this `Origin` may not send requests", "origin", 403)
        given = values_of(headers, b"authorization")
        if self.token is not None:
            wanted = f"Bearer {self.token}".encode("latin-1")
            if len(given) != 1 or not hmac.compare_digest(given[0].encode("latin-1"), wanted):
                raise RequestError("the `Authorization` is not `Bearer` and the token of this server", status=401)


def values_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    """Return the values of all headers of a name."""
    return [value.decode("latin-1") for each, value in headers if each == name]


def host_of(values: list[str]) -> str:
    """Return the name in a Host, without its port. Raises RequestError unless there is exactly one."""
    value = values[0].lower() if len(values) == 1 else ""
    name, colon, port = value.partition("]:" if value.startswith("[") else ":")
    name += "]" * (colon == "]:")
    if not name or (colon and not (port.isascii() and port.isdigit())):
        raise RequestError("the request needs exactly one `Host`, a name and perhaps a port", "host")
    return name
