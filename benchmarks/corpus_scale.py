"""What does a large corpus cost: to read, to train on, in memory?

Each size is written as random words, always the same, as lines and as one stream, and measured in its own process.
A file of 1 GB needs up to 3 GB in $TMPDIR: the file, its symbols, and their two parts when some are held out.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from common import PROC, call_times, options, report, table

from rnn_cli import LanguageTask, NetworkConfig, Trainer, TrainingConfig, load_corpus
from rnn_cli.text.batches import StreamBatches
from rnn_cli.text.corpus import Corpus

WORDS, WRITTEN_TOGETHER = 5000, 1 << 17
LETTERS = np.frombuffer(b"eeeeetttaaaooonniisshhrrdlucmfwypvbgk", np.uint8)
WINDOWS = 2000
BATCH, LENGTH, HIDDEN = 64, 64, 128


def write_text(path: Path, size: int, lines: bool) -> None:
    """Write `size` bytes of common and rare words: one a line, or sentences of ten."""
    generator = np.random.default_rng(1)
    words = [generator.choice(LETTERS, generator.integers(2, 13)).tobytes() for _ in range(WORDS)]
    with path.open("wb") as file:
        while size:
            chosen = [words[rank] for rank in (WORDS * generator.random(WRITTEN_TOGETHER) ** 3).astype(int)]
            rows = chosen if lines else [b" ".join(chosen[first : first + 10]) for first in range(0, len(chosen), 10)]
            end = b"\n" if lines else b".\n"
            size -= file.write((end.join(rows) + end)[:size])


def read(path: str, lines: bool, fraction: float) -> Corpus:
    """Read a text of characters as a corpus."""
    return load_corpus([path], as_bytes=False, line_mode=lines, validation_fraction=fraction, random_seed=1)


def peak_memory() -> float:
    """Return the peak resident memory of this process in MB, or nan if the system does not report it."""
    if not (PROC / "self" / "status").exists():
        return float("nan")
    status = (PROC / "self" / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024 / 1e6


def reading_rate(path: str, lines: bool, fraction: float, seconds: float) -> float:
    """Return the speed of reading a text in MB/s, with a fraction held out."""
    return Path(path).stat().st_size / 1e6 / statistics.median(call_times(lambda: read(path, lines, fraction), seconds))


def training_speed(corpus: Corpus, seconds: float, threads: int) -> float:
    """Return the median speed of training in characters a second."""
    model = NetworkConfig.for_symbols(len(corpus.codec), cell="lstm", hidden_size=HIDDEN)
    config = TrainingConfig(steps=10**9, batch_size=BATCH, sequence_length=LENGTH, evaluate_every=100)
    end = time.perf_counter() + seconds
    speeds: list[float] = []
    trainer = Trainer(
        LanguageTask(corpus, model), config, threads, stop=lambda: len(speeds) >= 3 and time.perf_counter() > end
    )
    for found in trainer:
        speeds.append(found.units_per_second)
    return statistics.median(speeds)


def measure(path: str, lines: bool, seconds: float, threads: int) -> list[str]:
    """Return the row of a text, without its first column."""
    rates = [reading_rate(path, lines, fraction, seconds) for fraction in (0.0, 0.1)]
    corpus = read(path, lines, 0.0)
    reading = peak_memory()
    start = time.perf_counter()
    streams = StreamBatches(corpus.training, lines, BATCH, LENGTH, random_seed=1)
    streams.window(0)
    first = time.perf_counter() - start
    start = time.perf_counter()
    for step in range(WINDOWS):
        streams.window(step)
    window = (time.perf_counter() - start) / WINDOWS
    del streams
    speed = training_speed(corpus, seconds, threads)
    return [
        *(f"{rate:.0f}" for rate in rates),
        f"{reading:.0f}",
        f"{first:.3f}",
        f"{1e6 * window:.0f}",
        f"{speed:,.0f}",
        f"{peak_memory():.0f}",
    ]


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__)
    parser.add_argument("--largest", type=int, default=1000, help="size of the largest text in MB (default: 1000)")
    parser.add_argument("--threads", type=int, default=2, help="threads that train (default: 2)")
    chosen = parser.parse_args()
    seconds = 0.1 if chosen.quick else chosen.seconds
    sizes = (
        [1, 2] if chosen.quick else [size for size in (1, 10, 100, 1000) if size < chosen.largest] + [chosen.largest]
    )
    rows = []
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text"
        for lines in (True, False):
            for size in sizes:
                write_text(path, size * 1_000_000, lines)
                with ProcessPoolExecutor(1, context) as pool:
                    values = pool.submit(measure, str(path), lines, seconds, chosen.threads).result()
                rows.append([f"{size:,} MB of {'lines' if lines else 'prose'}", *values])
    headers = ["text", "read, MB/s", "split, MB/s", "peak MB", "epoch, s", "window, us", "chars/s", "trained: peak MB"]
    notes = (
        "- read: from the file to the symbols; split: the same, with a tenth held out\n"
        "- peak MB: resident memory, after reading, and after training (which includes the compiler)\n"
        "- epoch: time to order an epoch and make its first window; window: time of each further window\n"
        f"- chars/s: training of an lstm of {HIDDEN} units, {BATCH} streams of {LENGTH}, {chosen.threads} threads"
    )
    report("corpus-scale", [table(headers, rows), notes], chosen.save)


if __name__ == "__main__":
    main()
