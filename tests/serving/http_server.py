"""A server in a thread of this process, and sockets that talk to it byte by byte."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager, suppress

from rnn_cli.serving.access import Access
from rnn_cli.serving.connections import Watch, listen, serve
from rnn_cli.serving.fields import Connecting
from rnn_cli.serving.http import Service

PATIENCE = 20.0  # seconds in which anything must happen that is waited for


@contextmanager
def serving(models, access=None, stop=lambda: None, **connecting):
    """Serve models; yield the port, and what the server complains of."""
    ready, ended, complaints = threading.Event(), threading.Event(), []
    with listen("127.0.0.1", 0) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that slow readers are seen soon
        watch = Watch(ended.is_set, stop, lambda port: ready.set(), complaints.append)
        app = Service(models, complaints.append).application(access or Access())
        settings = Connecting(**{"grace": 0.0, **connecting})
        thread = threading.Thread(target=serve, args=[app, listener, settings, watch])
        thread.start()
        assert ready.wait(PATIENCE)
        yield listener.getsockname()[1], complaints
        ended.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def request(body=b"", *headers, path="/v1/completions", method="POST", host="localhost"):
    """Return the bytes of a request; a body that is not bytes is sent as JSON."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", *([f"Host: {host}"] if host is not None else []), *headers]
    if method == "POST":
        lines += [f"Content-Length: {len(body)}"] * all("Content-Length" not in line for line in headers)
        lines += ["Content-Type: application/json"] * all("Content-Type" not in line for line in headers)
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def read_to_end(connection):
    data = b""
    while part := connection.recv(1 << 16):
        data += part
    return data


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def read_answer(connection):
    """Return the status, the headers and the body of the next answer; a stream must be the last one."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(1)
        if not part:
            return None
        data += part
    first, *lines = data.decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = b""
    if "content-length" in headers:
        while len(body) < int(headers["content-length"]):
            body += connection.recv(int(headers["content-length"]) - len(body))
    elif "transfer-encoding" in headers:
        while not body.endswith(b"0\r\n\r\n") and (part := connection.recv(1 << 16)):
            body += part
    return int(first.split()[1]), headers, body


def ask(port, data):
    """Return the status and the object of the answer to one request, or to some bytes."""
    with connect(port) as connection:
        with suppress(OSError):  # it may close the connection before everything is sent
            connection.sendall(data)
        status, _, body = read_answer(connection)
        return status, json.loads(body)


def closed(connection):
    """Say whether the other side has closed a connection, after whatever it has sent."""
    with suppress(ConnectionError):
        while connection.recv(1 << 16):
            pass
    return True


def wait_until(condition):
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
