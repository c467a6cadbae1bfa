"""How long does a suggestion of `rnn write` take after a keystroke, and a key until a terminal shows it?

Suggestions are of 40 characters, one after each character of a text that is typed. A frame of a screen at 60 Hz takes
16.7 ms. Keys are typed on a pseudo-terminal, one after the other, into an empty text and at the end of one of 1 MB.
"""

from __future__ import annotations

import os
import pty
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import ROOT, options, report, table

from rnn_cli.checkpoint.checkpoint import Checkpoint, save_checkpoint
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.networks import network_for
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import CharacterCodec
from rnn_cli.writing.suggestions import Request, Suggester

SYMBOLS = "".join(map(chr, range(32, 127))) + "\n"
SIZES = ((1, 128), (2, 256), (2, 512))
KEYS = 200
LATE = 0.95  # the share of keys that are not slower than the second figure
PAUSE = 0.05  # seconds between two keys


def checkpoint_of(layers: int, hidden_size: int) -> Checkpoint:
    """Return a random network of a size; its speed is that of a trained one."""
    codec = CharacterCodec(SYMBOLS, False)
    config = network_for(codec, cell="lstm", num_layers=layers, hidden_size=hidden_size)
    return Checkpoint.of_language(config, codec, Model.initialised(config, np.random.default_rng(1)).to_torch())


def figures(seconds: list[float]) -> list[str]:
    """Return the median and the time of the slow ones, in milliseconds."""
    slow = sorted(seconds)[min(int(LATE * len(seconds)), len(seconds) - 1)]
    return [f"{1000 * statistics.median(seconds):.1f}", f"{1000 * slow:.1f}"]


def suggestion_times(checkpoint: Checkpoint, keys: int) -> list[float]:
    """Return the seconds of the suggestion after each character of a text."""
    config, text = SamplingConfig(length=40, temperature=0.7), (ROOT / "README.md").read_text("utf-8")
    suggester, times = Suggester(checkpoint, config), []
    suggester.answer(Request("", config))
    for end in range(1, keys + 1):
        start = time.perf_counter()
        suggester.answer(Request(text[:end], config))
        times.append(time.perf_counter() - start)
    return times


def key_times(checkpoint: Checkpoint, text: str, keys: int) -> list[float]:
    """Return the seconds from each key to the first byte that `rnn write` sends for it."""
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "model.safetensors", checkpoint)
        (Path(folder) / "page.txt").write_text(text)
        terminal, end = pty.openpty()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
        command = [sys.executable, "-m", "rnn_cli", "write", "page.txt"]
        with subprocess.Popen(
            command, cwd=folder, env=environment, stdin=end, stdout=end, stderr=end, start_new_session=True
        ) as process:
            os.close(end)
            shown = b""
            while b"quit" not in shown:
                shown += os.read(terminal, 1 << 16)
            times = []
            for _ in range(keys):
                while select.select([terminal], [], [], PAUSE)[0]:
                    os.read(terminal, 1 << 16)
                start = time.perf_counter()
                os.write(terminal, b"a")
                os.read(terminal, 1 << 16)
                times.append(time.perf_counter() - start)
            process.kill()
        os.close(terminal)
    return times


def main() -> None:
    """Print two tables."""
    arguments = options(__doc__, timed=False).parse_args()
    keys = 3 if arguments.quick else KEYS
    rows = [
        [f"LSTM {layers} x {size}", *figures(suggestion_times(checkpoint_of(layers, size), keys))]
        for layers, size in (SIZES[:1] if arguments.quick else SIZES)
    ]
    checkpoint = checkpoint_of(*SIZES[0 if arguments.quick else 1])
    texts = {"an empty text": "", "1 MB": "The cat sat on the mat, and so did the dog.\n" * 23_000}
    echoes = [[name, *figures(key_times(checkpoint, text, keys))] for name, text in texts.items()]
    heads = ["ms, median", f"ms, {LATE:.0%}"]
    tables = [table(["a suggestion of", *heads], rows), table(["a key typed into", *heads], echoes)]
    report("writing-latency", tables, arguments.save)


if __name__ == "__main__":
    main()
