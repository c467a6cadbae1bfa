"""Does the state of a model, or its loss, diverge over a very long text?

Reads a text repeatedly, or a sample of the model itself, in one stream whose state is never reset. Prints the largest
absolute value of each state and the mean loss (nats per character) for each tenth of the stream.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from common import options, report, table

from rnn_cli.checkpoint.checkpoint import Checkpoint, load_checkpoint
from rnn_cli.kernels.threads import Team
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import sample_texts
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import Window

PARTS = 10
LENGTH = 100  # characters of a window


class Part(NamedTuple):
    """The largest state values and the mean loss of a part of the stream, which ends before character `end`."""

    end: int
    largest: list[float]
    loss: float


def drift(checkpoint: Checkpoint, symbols: np.ndarray, parts: int = PARTS) -> list[Part]:
    """Return a Part for each of `parts` parts of a text; symbols after the last whole window are ignored."""
    model = Model.from_torch(checkpoint.config, checkpoint.parameters)
    window = Window(model, LENGTH, 1, Team(1))
    window.pack()
    sizes = window.sizes
    states = window.arrays.states.reshape(sizes.layers, sizes.states, LENGTH + 1, sizes.hidden)
    windows = (len(symbols) - 1) // LENGTH
    found = []
    for indices in np.array_split(np.arange(windows), parts):
        largest, losses = np.zeros(sizes.states), 0.0
        for index in indices:
            start = index * LENGTH
            window.inputs[:, 0] = symbols[start : start + LENGTH]
            window.starts[:] = window.inputs == 0
            window.targets[:, 0] = symbols[start + 1 : start + LENGTH + 1]
            window.score()
            largest = np.maximum(largest, np.abs(states).max(axis=(0, 2, 3)))
            losses += float(window.losses.sum(dtype=np.float64))
        found.append(Part(int(indices[-1] + 1) * LENGTH, largest.tolist(), losses / (len(indices) * LENGTH)))
    return found


def main() -> None:
    """Print the table for a text, or for a sample of the model if no text is given."""
    parser = options(__doc__)
    parser.add_argument("model", type=Path, help="a model of a stream")
    parser.add_argument("text", type=Path, nargs="?", help="a text to read (default: a sample of the model)")
    parser.add_argument("--characters", type=int, default=1_000_000, help="length of the stream (default: 1000000)")
    arguments = parser.parse_args()
    characters = 5_000 if arguments.quick else arguments.characters
    checkpoint = load_checkpoint(arguments.model)
    if arguments.text:
        text = arguments.text.read_bytes()
    else:
        config = SamplingConfig(length=characters + 1, random_seed=1)
        (text,) = sample_texts(checkpoint, config=config)
    codec = checkpoint.codec
    symbols = codec.encode(text if codec.reads_bytes else text.decode("utf-8", "ignore"))
    symbols = np.resize(symbols[symbols >= 0], characters + 1)  # repeats the text
    parts = drift(checkpoint, symbols)
    names = [f"largest {name}" for name in Model(checkpoint.config).layout.cell.states]
    rows = [[f"{part.end:,}", *(f"{value:.2f}" for value in part.largest), f"{part.loss:.4f}"] for part in parts]
    read = arguments.text.name if arguments.text else "a sample of the model"
    intro = f"Read: {read}, {characters:,} characters in one stream, by {arguments.model.name}."
    report("state-drift", [intro, table(["characters", *names, "nats/char"], rows)], arguments.save)


if __name__ == "__main__":
    main()
