"""Hostile model files are refused with one sentence, quickly and in little memory; nothing is written or executed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import ENVIRONMENT, PROGRAM, SMALL, STREAM_TEXT, run, run_process
from fault_injection import train_until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_checkpoint import (
    DAMAGE,
    in_description,
    in_header,
    in_model,
    in_tensor,
    in_text,
    load_bytes,
    make_checkpoint,
    pack,
    unpack,
)

from rnn_cli.checkpoint.checkpoint import Checkpoint, save_checkpoint, to_bytes
from rnn_cli.errors import CheckpointError
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import torch_shapes
from rnn_cli.text.codecs import CharacterCodec

GOOD = to_bytes(make_checkpoint())
HEADER = 8 + int.from_bytes(GOOD[:8], "little")
MEGABYTE = 1 << 20
SECONDS, MEGABYTES = 2, 600  # limits of CPU time and memory for a file of at most 32 MB, on top of the start-up


def with_value(value: float) -> Callable[[bytes], bytes]:
    """Return a damage: this value in the middle of weight_hh_l0."""

    def damage(content: bytes) -> bytes:
        header, data = unpack(content)
        start, end = header["rnn.weight_hh_l0"]["data_offsets"]
        offset = start + (end - start) // 8 * 4
        return pack(header, data[:offset] + np.float32(value).tobytes() + data[offset + 4 :])

    return damage


def with_tensor_name(name: str) -> Callable[[bytes], bytes]:
    """Return a damage: a tensor with this name."""
    return in_header(lambda header: header.update({name: header.pop("training.total")}))


def vocabulary_of(symbols: str) -> Callable[[bytes], bytes]:
    """Return a damage: a vocabulary of these symbols."""
    return in_description(lambda description: description["task"]["codec"].update(symbols=symbols))


LARGE: dict[str, Callable[[bytes], bytes]] = {
    "a header of ten million numbers": lambda c: pack(b'{"a":[' + b"0," * 10**7 + b"0]}", b""),
    "a header of a million tensors": lambda c: pack(
        b"{" + b",".join(b'"%d":{}' % number for number in range(10**6)) + b"}", b""
    ),
    "a header of one long name": lambda c: pack(b'{"' + b"a" * (30 * MEGABYTE) + b'":{}}', b""),
    "a header of one long number": lambda c: pack(b'{"a":' + b"9" * (30 * MEGABYTE) + b"}", b""),
    "a header of brackets": lambda c: pack(b"[" * (30 * MEGABYTE), b""),
    "a description of ten million numbers": in_description(lambda d: d["record"].update(x=[0] * 10**7)),
    "a description of brackets": in_text("1.5", "[" * (10 * MEGABYTE)),
    "a vocabulary of ten million letters": vocabulary_of("a" * 10**7),
    "a vocabulary of all characters": vocabulary_of("".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))),
    "a vocabulary of lone surrogates": vocabulary_of("".join(map(chr, range(0xD800, 0xE000)))),
    "sizes of 10^9": in_model(hidden_size=10**9, vocab_size=10**9, num_layers=10**9),
    "layers of 10^9": in_model(num_layers=10**9),
    "a tensor of 10^9 by 10^9": in_tensor(shape=[10**9, 10**9], data_offsets=[0, 4 * 10**18]),
    "NaN among the weights": with_value(float("nan")),
    "infinity among the weights": with_value(float("inf")),
    "a path for a name": with_tensor_name("../../../../tmp/written"),
    "an absolute path for a name": with_tensor_name("/tmp/written"),
    "a name with a NUL": with_tensor_name("training\0total"),
}

# Opens each file with `rnn info` under a memory limit, and prints the exit code and the CPU time.
REFUSE = """
import resource, sys, time
from rnn_cli.__main__ import main
import numpy, rnn_cli.checkpoint.checkpoint, rnn_cli.cells, rnn_cli.display.tables, rnn_cli.network.parameters
with open("/proc/self/statm") as statm:
    base = int(statm.read().split()[0]) * resource.getpagesize()
limit = base + {megabytes} * 1024 * 1024
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sys.argv[1:]:
    start = time.process_time()
    code = main(["info", "-m", path])
    print(f"--{{code}} {{time.process_time() - start}}", file=sys.stderr, flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_hostile_files_are_refused_within_time_and_memory(tmp_path: Path) -> None:
    damages = {**{name: damage for name, (damage, _) in DAMAGE.items()}, **LARGE}
    paths = [tmp_path / str(number) for number in range(len(damages))]
    for path, damage in zip(paths, damages.values()):
        path.write_bytes(damage(GOOD))
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    paths += [tmp_path / "folder", tmp_path / "fifo", Path("/dev/zero"), Path("/dev/full"), Path("/proc/self/mem")]
    names = [*damages, "folder", "fifo", "device", "device", "memory"]
    code = REFUSE.format(megabytes=MEGABYTES)
    command = [sys.executable, "-c", code, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    results = re.findall(r"(.*?)--(\d+) (\S+)\n", done.stderr, re.DOTALL)
    assert len(results) == len(paths)
    for name, (sentence, code, seconds) in zip(names, results):
        assert code == "3", (name, sentence)
        assert float(seconds) < SECONDS, name
        assert re.fullmatch("rnn: error: .{1,1000}\n", sentence), name
    assert len(os.listdir(tmp_path)) == len(damages) + 2


@pytest.mark.parametrize("command", [["sample"], ["evaluate", "/dev/null"], ["predict", "a"], ["train", "--resume"]])
@pytest.mark.parametrize("name", ["a header of ten million numbers", "a vocabulary of ten million letters"])
def test_every_command_refuses_hostile_files(tmp_path: Path, command: list[str], name: str) -> None:
    (tmp_path / "model").write_bytes(LARGE[name](GOOD))
    done = run(*command, "-m", "model", cwd=tmp_path)
    assert (done.code, done.stdout) == (3, b"")
    assert done.stderr.startswith("rnn: error: ")
    assert os.listdir(tmp_path) == ["model"]


COMMANDS = [
    ["sample", "-t", "0"],
    ["sample", "-n", "5", "--jsonl"],
    ["evaluate", "text", "--json"],
    ["evaluate", "text", "--per-line"],
    ["predict", "ab", "--json"],
    ["predict", "ab", "--each"],
    ["complete", "a"],
]


@pytest.mark.parametrize("symbols", ["abcdefg", "abcdefgh"])  # with the boundary, a whole vector and one more
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_models_with_overflowing_outputs_are_refused_on_use(tmp_path: Path, command: list[str], symbols: str) -> None:
    config = NetworkConfig.for_symbols(len(symbols) + 1, cell="rnn", activation="relu", hidden_size=4)
    generator = np.random.default_rng(1)
    weights = {
        name: generator.choice(np.array([3e38, -3e38], np.float32), shape)
        for name, shape in torch_shapes(config).items()
    }
    save_checkpoint(
        tmp_path / "model", Checkpoint.of_language(config, CharacterCodec(symbols, line_mode=False), weights)
    )
    (tmp_path / "text").write_text(symbols * 3)
    done = run_process(*command, "-m", "model", cwd=tmp_path)
    assert done.code == 3
    assert "NaN" not in done.text
    assert re.fullmatch("(random seed [0-9]+\n)?rnn: error: the model's outputs are not finite: .*\n", done.stderr)


MUTATIONS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 8), st.integers(0, HEADER), st.integers(0, len(GOOD) - 1)),
        st.integers(0, 12),
        st.one_of(st.binary(max_size=12), st.sampled_from([b"9" * 9, b"-", b"1e9", b"null", b'"', b"[[[", b"\\u0000"])),
    ),
    min_size=1,
    max_size=5,
)


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    """Each mutation replaces some bytes. Some of the files load, and those can be saved again."""
    outcomes: Counter[str] = Counter()

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(mutations=MUTATIONS)
    def check(mutations: list[tuple[int, int, bytes]]) -> None:
        content = GOOD
        for offset, size, replacement in mutations:
            content = content[:offset] + replacement + content[offset + size :]
        try:
            to_bytes(load_bytes(tmp_path, content))
            outcomes["loaded"] += 1
        except CheckpointError:
            outcomes["refused"] += 1

    check()
    assert outcomes["loaded"] > 0
    assert outcomes["refused"] > 0


def test_resuming_allocates_no_more_than_the_file_holds(tmp_path: Path) -> None:
    """A batch of 4096 windows of 4096 symbols would take gigabytes; the state in the file is that of 4."""
    (tmp_path / "text").write_text(STREAM_TEXT)
    stopped = train_until(5, "text", *SMALL, "--steps", 40, "-m", "model", cwd=tmp_path)
    assert stopped.code == 143, stopped.stderr
    change = in_description(lambda d: d["record"]["training"].update(batch_size=4096, sequence_length=4096))
    (tmp_path / "model").write_bytes(change((tmp_path / "model").read_bytes()))
    limited = 'ulimit -v "$1"; shift; exec "$@"'
    command = ["sh", "-c", limited, "sh", str(3 * MEGABYTE), *PROGRAM, "train", "--resume", "-m", "model"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1].startswith("rnn: error: the state of the training in this model is damaged")
