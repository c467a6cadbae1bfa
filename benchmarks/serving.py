"""What does it cost to be asked over HTTP, and does the server survive an hour of nonsense?

64 clients ask for a text of 500 characters each, and for another one as soon as they have it, until each has four.
Beside that, `Sampler.texts(64)` runs four times, which is what `rnn sample -n 64` runs: the same texts, by the same
kernels. The clients are kept-alive connections of one loop that sends prepared bytes and only counts those that come,
so that it takes little of the cores that it shares with the server; the first answers are compared with the texts.
Then a client asks for streams, alone and while others are answered: the time from the request to the first token. With
`--fuzz MINUTES` clients instead send requests that are changed at random, leave in the middle, and read slowly, while
others check that their answers stay the same; at the end the memory, the threads and the open files are compared with
those of the first minute.

The server and the clients are processes of their own, on the same cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, alternate, options, report, table

from rnn_cli.checkpoint.checkpoint import Checkpoint, save_checkpoint
from rnn_cli.cpu_count import usable_cores
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import Sampler, sample_texts
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import CharacterCodec

CLIENTS, LENGTH = 64, 500
TEXTS = 4  # of each client, one after the other
SYMBOLS = 65
STREAMS = 40  # in a row
BAR_THROUGHPUT, BAR_FIRST = 0.7, 0.050  # share, seconds
FUZZERS, CHECKERS = 6, 2
BUSY = {"checked: 408", "checked: 503"}  # other connections, or other requests, need the place of this one
GROWTH = 1.25  # of the memory, at most


def build(hidden: int) -> Checkpoint:
    """Return a random model that ends no text."""
    config = NetworkConfig.for_symbols(SYMBOLS, hidden_size=hidden, num_layers=2)
    codec = CharacterCodec("".join(chr(ord("0") + number) for number in range(SYMBOLS - 1)), line_mode=False)
    return Checkpoint.of_language(config, codec, Model.initialised(config, np.random.default_rng(0)).to_torch())


@contextlib.contextmanager
def server(checkpoint: Checkpoint, *arguments: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Run the program; yield its port and its process."""
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "model.safetensors", checkpoint)
        command = [sys.executable, "-m", "rnn_cli", "serve", f"{folder}/model.safetensors", "--port", "0", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        port = next(int(found[1]) for line in lines if (found := re.search(r":(\d+)/v1", line)))
        try:
            yield port, process
        finally:
            process.terminate()
            process.wait(30)


def ask(connection: HTTPConnection, **values: Any) -> bytes:
    """Return the body of the answer to a request for a text."""
    connection.request("POST", "/v1/completions", json.dumps(values), {"Content-Type": "application/json"})
    return connection.getresponse().read()


class Crowd:
    """Clients that ask for a text, each by the same request, and for it again as soon as it is there."""

    def __init__(self, port: int) -> None:
        self.sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(CLIENTS)]
        self.requests = [prepared(max_tokens=LENGTH, seed=seed) for seed in range(CLIENTS)]
        self.answers = [b""] * CLIENTS  # the last ones, as they came

    def ask(self, times: int = TEXTS) -> None:
        """Let every client ask some times."""
        self.left = [times] * CLIENTS
        with selectors.DefaultSelector() as selector:
            for number, connection in enumerate(self.sockets):
                selector.register(connection, selectors.EVENT_READ, number)
                connection.sendall(self.requests[number])
                self.answers[number] = b""
            while any(self.left):
                for key, _ in selector.select():
                    self._read(key.data)

    def _read(self, number: int) -> None:
        """Read a part of an answer, and send the next request if it is the last part."""
        data = self.sockets[number].recv(1 << 16)
        assert data, "the server has closed a connection"
        self.answers[number] += data
        head, found, body = self.answers[number].partition(b"\r\n\r\n")
        if found and len(body) == int(head.lower().partition(b"content-length:")[2].split(b"\r", 1)[0]):
            self.left[number] -= 1
            if self.left[number]:
                self.answers[number] = b""
                self.sockets[number].sendall(self.requests[number])

    def texts(self) -> list[str]:
        """Return the texts of the last answers."""
        return [json.loads(answer.partition(b"\r\n\r\n")[2])["choices"][0]["text"] for answer in self.answers]

    def close(self) -> None:
        """Close the connections."""
        for connection in self.sockets:
            connection.close()


def prepared(**values: Any) -> bytes:
    """Return the bytes of a request for a text."""
    body = json.dumps(values).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def sample_all(checkpoint: Checkpoint) -> None:
    """Sample as many texts in this process."""
    for _ in range(TEXTS):
        sampler = Sampler(checkpoint, config=SamplingConfig(length=LENGTH), threads=usable_cores())
        assert sum(len(text.symbols) for text in sampler.texts(CLIENTS)) == CLIENTS * LENGTH


def check_texts(checkpoint: Checkpoint, crowd: Crowd) -> None:
    """Check that the answers are the texts that the same seeds have without a server."""
    crowd.ask(1)
    for seed, text in enumerate(crowd.texts()):
        config = SamplingConfig(length=LENGTH, random_seed=seed)
        assert list(sample_texts(checkpoint, config=config)) == [text.encode()], seed


def first_token(port: int) -> float:
    """Return the seconds from a request for a stream, on a new connection, to its first token."""
    body = json.dumps({"max_tokens": 200, "stream": True})
    start = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    line = answer.readline()
    passed = time.perf_counter() - start
    assert line.startswith(b"data: {"), line
    answer.read()
    connection.close()
    return passed


def measure_first(port: int, others: int, count: int) -> list[float]:
    """Return the times to the first token while some other clients are answered all the time."""
    going = threading.Event()

    def other() -> None:
        connection = HTTPConnection("127.0.0.1", port)
        while not going.is_set():
            ask(connection, max_tokens=LENGTH)
        connection.close()

    threads = [threading.Thread(target=other) for _ in range(others)]
    for thread in threads:
        thread.start()
    times = [first_token(port) for _ in range(count)]
    going.set()
    for thread in threads:
        thread.join()
    return times


def measure(hidden: int, seconds: float, streams: int) -> tuple[list[str], list[list[str]]]:
    """Return a row of throughput, and rows of the time to the first token."""
    checkpoint = build(hidden)
    with server(checkpoint) as (port, _):
        crowd = Crowd(port)
        check_texts(checkpoint, crowd)
        times = alternate({"sample": lambda: sample_all(checkpoint), "serve": crowd.ask}, seconds)
        crowd.close()
        speeds = {name: CLIENTS * TEXTS * LENGTH / times[name] for name in times}
        share = speeds["serve"] / speeds["sample"]
        row = [str(hidden), f"{speeds['sample']:,.0f}", f"{speeds['serve']:,.0f}", f"{share:.0%}"]
        firsts = []
        for others in (0, 8, CLIENTS):
            found = sorted(measure_first(port, others, streams))
            worst = found[int(0.95 * len(found))]
            shown = [f"{1000 * value:.1f}" for value in (statistics.median(found), worst)]
            firsts.append([f"{hidden}, {others} others", *shown])
    return [*row, "yes" if share >= BAR_THROUGHPUT else "no"], firsts


# Fuzzing


def valid(generator: random.Random) -> bytes:
    """Return a request that is right, or nearly."""
    path = generator.choice(["/v1/completions"] * 6 + ["/v1/models", "/v1/tag", "/v1/classify", "/health", "/"])
    values: dict[str, Any] = {
        "prompt": "0" * generator.choice([0, 1, 30, 3000]),
        "max_tokens": generator.choice([0, 5, 500]),
    }
    for name, value in {
        "n": generator.choice([1, 3, 60, 10**9, "2"]),
        "stream": True,
        "logprobs": generator.choice([0, 5, 20, -1]),
        "echo": True,
        "stop": generator.choice(["1", ["1", "2"], []]),
        "temperature": generator.choice([0, 0.5, 1e300, None]),
        "input": "012",
        "model": generator.choice(["model", "../x"]),
    }.items():
        if generator.random() < 0.3:
            values[name] = value
    body = json.dumps(values).encode()
    headers = [b"Host: localhost", b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    if generator.random() < 0.2:
        headers.append(
            generator.choice([b"Host: x", b"Origin: x", b"Expect: 100-continue", b"Connection: close", b"X: y"])
        )
    method = generator.choice([b"POST"] * 9 + [b"GET", b"PUT"])
    return method + b" " + path.encode() + b" HTTP/1.1\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + body


def changed(data: bytes, generator: random.Random) -> bytes:
    """Return some bytes with changes at random."""
    text = bytearray(data)
    for _ in range(generator.randrange(6)):
        place = generator.randrange(len(text) + 1)
        end = place + generator.choice([0, 1, 8, 100])
        text[place:end] = generator.choice(
            [b"", generator.randbytes(4), bytes(text[:60]), b"9" * 50, b"[" * 50, b"\r\n"]
        )
    return bytes(text)


def fuzz(port: int, seed: int, end: float, counts: Counter[str]) -> None:
    """Send requests that are changed at random until the end, and read the answers, or not."""
    generator = random.Random(seed)
    while time.monotonic() < end:
        data = b"".join(valid(generator) for _ in range(generator.choice([1, 1, 1, 5])))
        if generator.random() < 0.6:
            data = changed(data, generator)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            size = generator.choice([len(data) or 1, len(data) or 1, 7, 500])
            for start in range(0, len(data), size):
                connection.sendall(data[start : start + size])
            if generator.random() < 0.2:
                connection.shutdown(socket.SHUT_WR)
            if generator.random() < 0.7:
                connection.settimeout(generator.choice([0.05, 1.0]))
                answer = connection.recv(100)
                counts[answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "no answer"] += 1
                while generator.random() < 0.9 and connection.recv(4096):
                    pass
            else:
                counts["left"] += 1


def check(port: int, seed: int, expected: bytes, end: float, counts: Counter[str]) -> None:
    """Ask for the same text until the end."""
    while time.monotonic() < end:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/v1/completions", json.dumps(checked(seed)), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 200:
            counts["checked: same" if text_in(body) == expected else "checked: OTHER"] += 1
        else:
            counts[f"checked: {answer.status}"] += 1
            time.sleep(0.05)
        connection.close()


def checked(seed: int) -> dict[str, Any]:
    """Return the request whose answer is checked."""
    return {"prompt": "0123", "seed": seed, "max_tokens": 100}


def text_in(body: bytes) -> bytes:
    """Return the text of an answer."""
    return json.dumps(json.loads(body)["choices"][0]["text"]).encode()


def state_of(pid: int) -> dict[str, float]:
    """Return the memory (MB), the threads and the open files of a process."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    return {
        "memory, MB": int(status["VmRSS"].split()[0]) / 1024,
        "threads": int(status["Threads"]),
        "open files": len(os.listdir(f"/proc/{pid}/fd")),
    }


def fuzz_all(minutes: float) -> list[str]:
    """Fuzz a server for some minutes. Raises AssertionError if it does not survive, or leaks."""
    counts: Counter[str] = Counter()
    checkpoint = build(32)
    options_ = ["--max-seconds", "20", "--max-connections", "64", "--max-waiting", "32"]
    with server(checkpoint, *options_) as (port, process):
        connection = HTTPConnection("127.0.0.1", port)
        expected = [text_in(ask(connection, **checked(seed))) for seed in range(CHECKERS)]
        connection.close()
        start = time.monotonic()
        end = start + 60 * minutes
        threads = [threading.Thread(target=fuzz, args=(port, seed, end, counts)) for seed in range(FUZZERS)]
        threads += [
            threading.Thread(target=check, args=(port, seed, expected[seed], end, counts)) for seed in range(CHECKERS)
        ]
        for thread in threads:
            thread.start()
        time.sleep(min(60.0, 30 * minutes))
        early = state_of(process.pid)
        for thread in threads:
            thread.join()
        assert process.poll() is None, "the server has ended"
        time.sleep(12.0)  # connections that were left open are closed
        late = state_of(process.pid)
        connection = HTTPConnection("127.0.0.1", port)
        assert [text_in(ask(connection, **checked(seed))) for seed in range(CHECKERS)] == expected
        connection.close()
    assert process.returncode == 143, process.returncode
    wrong = {name for name in counts if name.startswith("checked")} - {"checked: same", *BUSY}
    assert not wrong, counts
    assert late["memory, MB"] <= GROWTH * early["memory, MB"], (early, late)
    assert late["open files"] <= early["open files"]
    rows = [[name, f"{early[name]:,.0f}", f"{late[name]:,.0f}"] for name in early]
    return [
        table(["server", "early", "at the end"], rows),
        table(["answer", "times"], [[name, f"{count:,}"] for name, count in sorted(counts.items())]),
    ]


def main() -> None:
    """Measure, or fuzz, as the options say."""
    parser = options(__doc__)
    parser.add_argument("--hidden-sizes", nargs="+", type=int, default=[128, 256])
    parser.add_argument("--fuzz", type=float, metavar="MINUTES", help="fuzz instead")
    chosen: argparse.Namespace = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    if chosen.fuzz is not None:
        report("serving-fuzz", fuzz_all(0.1 if chosen.quick else chosen.fuzz), chosen.save)
        return
    seconds, sizes = (0.05, [32]) if chosen.quick else (chosen.seconds, chosen.hidden_sizes)
    found = [measure(hidden, seconds, 3 if chosen.quick else STREAMS) for hidden in sizes]
    headers = ["2 layers of", "sample -n 64, chars/s", "64 clients, chars/s", "share", f"at least {BAR_THROUGHPUT:.0%}"]
    report(
        "serving",
        [
            table(headers, [row for row, _ in found]),
            "The time from a request to the first token of its stream, in ms; the bar is "
            f"{1000 * BAR_FIRST:.0f} ms without others.",
            table(["2 layers of", "median", "95 %"], [row for _, rows in found for row in rows]),
        ],
        chosen.save,
    )


if __name__ == "__main__":
    main()
