"""Whatever a client sends, or does not send: a clear status, and no other client notices."""

import json
import os
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from http_server import ask, closed, connect, read_answer, request, serving, wait_until
from random_models import make_checkpoint

from rnn_cli.serving import connections
from rnn_cli.serving.access import HEADER_LIMIT, Access
from rnn_cli.serving.fields import Limits
from rnn_cli.serving.models import Models

TOKEN = "0123456789abcdef"
SOME = {"prompt": "a", "max_tokens": 3, "seed": 1}
ENDLESS = {"prompt": "a", "max_tokens": 10**6, "n": 8, "stream": True}
LIMITS = Limits(max_tokens=10**6, max_body=2000, max_waiting=8)
LEAST = Limits(max_tokens=10**6, max_seconds=0.3)


@pytest.fixture(scope="module")
def models():
    served = Models({"m": make_checkpoint(False, boundary_bias=-50)}, LIMITS)
    served.warm_up()
    yield served
    served.close()


@pytest.fixture(scope="module")
def port(models):
    with pytest.MonkeyPatch.context() as patch, serving(models, max_connections=12) as (port, complaints):
        patch.setattr(connections, "SECONDS", {"headers": 0.4, "body": 0.4})
        patch.setattr(connections, "READ_SECONDS", 0.4)
        yield port
        assert complaints == []


@pytest.fixture(autouse=True)
def nothing_is_left(models, request):
    """After each attack nothing is at work, no descriptor is open, and a request is answered."""
    port = request.getfixturevalue("port")
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    yield
    wait_until(lambda: not models._active)
    status, answer = ask(port, globals()["request"](SOME))
    assert (status, len(answer["choices"][0]["text"])) == (200, 3)
    if before:
        wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before)


def refused(port, data):
    """Return the status of a request that is refused, with an error in JSON."""
    status, answer = ask(port, data)
    assert answer["error"]["code"] == status
    return status


@pytest.mark.parametrize(
    "host, status",
    [
        (None, 400),
        ("", 400),
        (":80", 400),
        ("localhost:", 400),
        ("localhost:x", 400),
        ("a\r\nHost: a", 400),
        ("localhost\r\nHost: localhost", 400),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil", 421),
        ("u@localhost", 421),
        ("[::2]:80", 421),
        ("[::1", 421),
        ("localhost.", 421),
    ],
)
def test_a_wrong_host_is_refused(port, host, status):
    assert refused(port, request(SOME, host=host)) == status


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]", "[::1]:8000"])
def test_the_names_of_this_machine_are_accepted(port, host):
    assert ask(port, request(SOME, host=host))[0] == 200


def test_http_1_0_without_a_host_is_refused(port):
    assert refused(port, b"GET /v1/models HTTP/1.0\r\n\r\n") == 400


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost", ""])
def test_pages_of_other_origins_are_refused(port, origin):
    assert refused(port, request(SOME, f"Origin: {origin}")) == 403


def test_a_preflight_is_refused_without_cors(port):
    with connect(port) as connection:
        connection.sendall(request(b"", "Access-Control-Request-Method: POST", method="OPTIONS"))
        status, headers, _ = read_answer(connection)
        assert (status, headers["allow"]) == (405, "POST")
        connection.sendall(request(SOME))
        assert not [name for name in read_answer(connection)[1] | headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: text/plain",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: multipart/form-data",
        "Content-Type: ",
        "Content-Type: application/jsonx",
        "Content-Encoding: gzip",
    ],
)
def test_a_body_of_another_type_is_refused(port, header):
    assert refused(port, request(SOME, header)) == 415


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/v1/completions", 405),
        ("POST", "/v1/models", 405),
        ("PUT", "/v1/tag", 405),
        ("GET", "/", 404),
        ("GET", "/v1/../../etc/passwd", 404),
        ("GET", "http://localhost/v1/models", 404),
        ("POST", "/v1/chat", 404),
        ("CONNECT", "localhost:80", 404),
        ("GET", "/%ff%00", 404),
        ("TRACE", "/v1/models", 405),
    ],
)
def test_other_paths_and_methods_are_refused(port, method, path, status):
    assert refused(port, request(b"", method=method, path=path)) == status


def test_a_path_as_the_model_is_only_a_name(port):
    assert refused(port, request({"model": "../../etc/passwd"})) == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"n": NaN}',
        b'{"n": 1e999}',
        b'{"n": ' + b"9" * 99 + b"}",
        b"[" * 1999,
        b'{"a":' * 300 + b"1" + b"}" * 300,
        b'{"n": 1, "n": 2}',
        b'{"prompt": "\\ud800"}',
        b'{"max_tokens": 1e9}',
    ],
)
def test_broken_bodies_are_refused(port, body):
    assert refused(port, request(body)) == 400


def test_a_long_body_is_refused_before_it_comes(port):
    assert refused(port, request(b"", "Content-Length: 2001")) == 413
    assert refused(port, request(b"", "Content-Length: " + "9" * 20)) == 413
    chunk = b"3e8\r\n" + b" " * 1000 + b"\r\n"
    assert refused(port, request(b"", "Transfer-Encoding: chunked", "Content-Length-: 0") + chunk * 3) in (400, 413)
    head = request(b"", "Transfer-Encoding: chunked", method="PUT").replace(b"PUT", b"POST", 1)
    typed = head.replace(b"\r\n\r\n", b"\r\nContent-Type: application/json\r\n\r\n")
    assert refused(port, typed + chunk * 3) == 413


@pytest.mark.parametrize("header", ["X: " + "x" * HEADER_LIMIT, "\r\n".join(f"X{k}: x" for k in range(4000))])
def test_long_headers_are_refused(port, header):
    assert refused(port, request(SOME, header)) == 431
    assert refused(port, request(SOME, header + "x").partition(b"\r\nContent")[0]) == 431


def test_a_long_target_is_refused(port):
    assert refused(port, request(b"", method="GET", path="/v1/models?" + "x" * HEADER_LIMIT)) == 431


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x00" * 99,
        b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET  / HTTP/9.9\r\n\r\n",
        request(b"", "Content-Length: 1", "Transfer-Encoding: x"),
        request(b"", "Content-Length: -1"),
    ],
)
def test_what_is_not_http_is_refused(port, data):
    assert refused(port, data + b"\r\n\r\n") in (400, 501)


def test_slow_headers_end_the_connection(port):
    with connect(port) as silent, connect(port) as slow:
        slow.sendall(request(SOME)[:20])
        for connection in (silent, slow):
            assert read_answer(connection)[0] == 408
            assert closed(connection)


def test_a_slow_body_ends_the_connection(port):
    with connect(port) as connection:
        connection.sendall(request(SOME)[:-3])
        assert read_answer(connection)[0] == 408
        assert closed(connection)


def test_a_body_nobody_waits_for_ends_the_connection(port):
    with connect(port) as connection:
        connection.sendall(request(b"", "Content-Length: 1999", path="/other"))
        assert read_answer(connection)[0] == 404
        assert closed(connection)


def test_a_client_that_does_not_read_is_given_up(port, models):
    with connect(port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(request({**ENDLESS, "logprobs": 0}))
        wait_until(lambda: models._active)
        wait_until(lambda: not models._active)
        assert closed(connection)


@pytest.mark.parametrize("leave", ["close", "reset", "half"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_is_cancelled(port, models, leave, stream):
    with connect(port) as connection:
        connection.sendall(request({**ENDLESS, "stream": stream}))
        wait_until(lambda: models._active)
        if leave == "half":
            connection.shutdown(socket.SHUT_WR)
        elif leave == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if leave != "half":
            connection.close()
        wait_until(lambda: not models._active)


def test_pipelined_requests_are_answered_in_order(port):
    with connect(port) as connection:
        connection.sendall(b"".join(request({**SOME, "seed": seed}) for seed in range(20)) + b"nonsense\r\n\r\n")
        answers = [read_answer(connection) for _ in range(21)]
    assert [status for status, _, _ in answers] == [200] * 20 + [400]
    assert [json.loads(body).get("seed") for _, _, body in answers[:20]] == list(range(20))


def test_nonsense_after_a_request_changes_no_answer(port, models):
    with connect(port) as connection:
        connection.sendall(request(ENDLESS) + b"nonsense\r\n" * 10_000)
        wait_until(lambda: models._active)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_a_flood_of_streams_leaves_room_for_others(port, models):
    with ExitStack() as stack:
        flood = [stack.enter_context(connect(port)) for _ in range(11)]
        for connection in flood:
            connection.sendall(request(ENDLESS))
        wait_until(lambda: len(models._active) == LIMITS.max_waiting)
        for seed in range(3):
            status, answer = ask(port, request({**SOME, "seed": seed}))
            assert (status, answer["error"]["type"]) == (503, "server_error")
        flood[0].close()
        wait_until(lambda: len(models._active) < LIMITS.max_waiting)
        assert ask(port, request(SOME))[0] == 200


def test_idle_connections_make_room_for_new_ones(port):
    with ExitStack() as stack:
        idle = [stack.enter_context(connect(port)) for _ in range(50)]
        assert ask(port, request(SOME))[0] == 200
        assert read_answer(idle[0])[0] == 408


def test_too_many_busy_connections_are_refused(models, port):
    with serving(models, max_connections=2) as (other, complaints), connect(other) as one, connect(other) as two:
        for connection in (one, two):
            connection.sendall(request(ENDLESS))
            assert connection.recv(8) == b"HTTP/1.1"
        assert refused(other, b"") == 503
        one.close()
        wait_until(lambda: len(models._active) == 1)
        assert ask(other, request(SOME))[0] == 200
        two.close()
        assert complaints == []


def test_a_request_has_a_time_limit(port):
    served = Models({"m": make_checkpoint(False, boundary_bias=-50)}, LEAST)
    served.warm_up()
    with serving(served) as (other, complaints):
        assert refused(other, request({**ENDLESS, "stream": False})) == 503
        with connect(other) as connection:
            connection.sendall(request(ENDLESS))
            status, _, body = read_answer(connection)
        assert (status, b'"code": 503' in body, b"[DONE]" in body) == (200, True, False)
        assert complaints == []
    served.close()


def test_a_token_is_needed_if_there_is_one(models, port):
    access = Access(frozenset(["model.example"]), frozenset(["app://editor"]), TOKEN)
    with serving(models, access) as (other, complaints):
        right = f"Authorization: Bearer {TOKEN}"
        for wrong in (
            "X: x",
            f"Authorization: {TOKEN}",
            f"{right}x",
            right[:-1],
            f"{right}\r\n{right}",
            f"{right}\xe9",
        ):
            assert refused(other, request(SOME, wrong)) == 401
            assert refused(other, request(b"", wrong, method="GET", path="/v1/models")) == 401
        assert ask(other, request(SOME, right, "Origin: app://editor", host="model.example:1"))[0] == 200
        assert refused(other, request(SOME, right, host="other.example")) == 421
        assert refused(other, request(SOME, right, "Origin: app://editor", "Origin: app://editor")) == 403
        assert complaints == []


def test_an_unexpected_error_is_not_quoted(models, port, monkeypatch):
    def broken(request, state=None, changed=None):
        raise ValueError("a secret")

    with serving(models) as (other, complaints):
        monkeypatch.setattr(models, "begin", broken)
        status, answer = ask(other, request(SOME))
        monkeypatch.undo()
        assert (status, answer["error"]["message"]) == (500, "unexpected ValueError")
        assert list(map(type, complaints)) == [ValueError]


def test_who_leaves_with_requests_in_a_row_is_noticed(port, models):
    long = {**ENDLESS, "stream": False}
    with connect(port) as connection:
        for data in (request(long), request(SOME) * 20):
            connection.sendall(data)
            wait_until(lambda: models._active)
            time.sleep(0.1)  # the second comes while the first is answered
    wait_until(lambda: not models._active)


def test_requests_at_random_do_no_harm(port, models, monkeypatch):
    """The short form of `benchmarks/serving.py --fuzz`; the fixture checks that nothing is left."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    from serving import fuzz

    counts = Counter()
    end = time.monotonic() + 4
    clients = [threading.Thread(target=fuzz, args=(port, seed, end, counts)) for seed in range(3)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert {"200", "400"} <= set(counts)
    assert "500" not in counts


def test_threads_of_a_server_end_with_it(models, port):
    before = threading.active_count()
    with serving(models, stop=models.stop) as (other, _), connect(other) as connection:
        connection.sendall(request(ENDLESS))
        assert connection.recv(8) == b"HTTP/1.1"
    wait_until(lambda: threading.active_count() <= before)
    models._stopping = False  # for the other tests
