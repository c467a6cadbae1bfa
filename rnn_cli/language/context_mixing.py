"""Coding with nothing shared: contexts, matches and perhaps a network learn from the bytes while they code them."""

from __future__ import annotations

import numpy as np

from rnn_cli.kernels.network.optimizer import Step
from rnn_cli.kernels.simd.aligned import aligned_zeros
from rnn_cli.kernels.text.coding import Coder, begin_coding, code_bytes, code_window, end_coding
from rnn_cli.kernels.text.contexts import (
    CONTEXTS,
    INPUTS,
    KNOWN,
    LEVELS,
    NETWORK_INPUTS,
    SETS,
    SLOT,
    TABLE_BITS,
    WORTHS,
    ContextModel,
)
from rnn_cli.kernels.text.matches import LENGTHS, Matches
from rnn_cli.kernels.threads import Team
from rnn_cli.language.matches import nothing_tracked
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import TrainingWindow, Window
from rnn_cli.rng import WEIGHTS, generator
from rnn_cli.text.codecs import BOUNDARY

FEWEST_SLOTS, MOST_SLOTS = 1 << 10, 1 << 19  # of a context, 64 bytes each
SIZES = ((128, 1 << 16), (256, 1 << 62))  # units of the network, and up to how many bytes
LEARNED = 16  # bytes in each step
LEARNING_RATE, CLIP = 0.002, 1.0
FIRST_STEPS = 20  # in which the rate rises
SEED = 1


def context_model(size: int, network: bool = False) -> ContextModel:
    """Return a model for content of `size` bytes that has learned nothing, beside a network or alone."""
    slots = min(max(FEWEST_SLOTS, 1 << (2 * size).bit_length()), MOST_SLOTS)
    inputs = INPUTS + NETWORK_INPUTS * network
    return ContextModel(
        counters=aligned_zeros((CONTEXTS, slots * SLOT), np.uint32),
        worth=np.zeros((CONTEXTS, WORTHS, LEVELS, 2)),
        first=np.zeros((256, 2)),
        matched=np.zeros((LENGTHS, 2)),
        weights=np.zeros((SETS, 256, inputs)),
        last=np.zeros((256, SETS)),
        refined=np.zeros((2, 1 << TABLE_BITS, LEVELS)),
        stretched=np.zeros(KNOWN),
        rates=np.zeros(1024, np.int64),
        inputs=np.zeros(inputs),
        results=np.zeros(SETS + 1),
        bases=np.zeros(CONTEXTS, np.int64),
        hashes=np.zeros(CONTEXTS, np.uint64),
        chosen=np.zeros(SETS, np.int64),
        rows=np.zeros(2, np.int64),
        word=np.zeros(1, np.uint64),
        network=np.zeros(512 if network else 0),
    )


def empty_matches(size: int) -> Matches:
    """Return a match model with room for a history of `size` symbols, of which none is known."""
    slots = min(max(FEWEST_SLOTS, 1 << size.bit_length()), 1 << 24)
    return Matches(
        np.zeros(max(size, 1), np.int32),
        np.zeros(1, np.int64),
        np.zeros((2, slots), np.int32),
        np.zeros((0, 2)),
        np.zeros((1, 2), np.int32),
    )


def coder_of(data: np.ndarray, content: np.ndarray, decodes: bool) -> Coder:
    """Return what codes the bytes `content` into `data`, or back."""
    unused = np.zeros(1, np.uint8)
    return Coder(np.zeros(5, np.uint64), data, content, unused, unused.astype(np.uint64), int(decodes))


def code_alone(data: np.ndarray, content: np.ndarray, decodes: bool) -> int:
    """Encode the bytes `content` (int32) into `data`, or decode them; return the number of bytes in `data`."""
    coder = coder_of(data, content, decodes)
    code_bytes(coder, context_model(len(content)), empty_matches(len(content)), nothing_tracked())
    return int(coder.state[3])


class Learner:
    """A network that learns from the bytes once they are coded: after each window it makes a step on it.

    Further rows with earlier windows did not lower the bits of 150 KB of tinyshakespeare.
    """

    def __init__(self, size: int, threads: int) -> None:
        """Make a network for content of `size` bytes; the same for the same size."""
        hidden = next(units for units, most in SIZES if size <= most)
        config = NetworkConfig.for_symbols(257, hidden_size=hidden)
        self.model = Model.initialised(config, generator([SEED, WEIGHTS]))
        self.team = Team(threads)
        self.reader = Window(self.model, 1, 1, self.team)
        self.reader.pack()
        self._learner = TrainingWindow(self.model, LEARNED, 1, self.team)
        self._learner.starts[:] = 0
        self._steps = 0

    def learn(self, symbols: np.ndarray) -> None:
        """Make a step on a window of LEARNED symbols and the one after it; the first of a text is the boundary."""
        learner = self._learner
        learner.inputs[:, 0], learner.targets[:, 0] = symbols[:-1], symbols[1:]
        learner.starts[0, 0] = symbols[0] == BOUNDARY
        self._steps += 1
        learner.train(Step(self._steps, LEARNING_RATE * min(1.0, self._steps / FIRST_STEPS), CLIP))
        self.reader.pack()


def code_learning(data: np.ndarray, content: np.ndarray, decodes: bool, threads: int) -> int:
    """Do the same as `code_alone`, with a network that learns, too."""
    coder = coder_of(data, content, decodes)
    model, matches = context_model(len(content), network=True), empty_matches(len(content))
    learner, symbols = Learner(len(content), threads), np.zeros(len(content) + 1, np.int32)
    mixer = (coder, model, matches, nothing_tracked())
    begin_coding(coder, model)
    reader = learner.reader
    for start in range(0, len(content), LEARNED):
        end = min(start + LEARNED, len(content))
        learner.team.run(code_window, reader.network, reader.arrays, mixer, (start, end))
        symbols[start + 1 : end + 1] = content[start:end] + 1
        if end - start == LEARNED:
            learner.learn(symbols[start : end + 1])
    end_coding(coder)
    return int(coder.state[3])
