"""Rows of a model that read symbols, one step at a time, and draw what follows; no row sees another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnn_cli.kernels.network.step import Net
from rnn_cli.kernels.simd.aligned import aligned_zeros
from rnn_cli.kernels.text.generate import SamplingState, generate
from rnn_cli.kernels.threads import Team
from rnn_cli.language.config import SamplingConfig
from rnn_cli.network.model import Model, Window, check_finite
from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.fingerprint import Fingerprint, gram_for

DRAWN = -1  # in place of a symbol that is given


@dataclass
class Start:
    """What a text goes on from: the symbols of a seed, and what follows from them for what is drawn.

    `shortest` and `longest` are the fewest and the most symbols that are drawn; `mode` is the state of the follow
    table after the seed, and `run` how many of its last symbols are copied from the corpus. `state` is that of the
    network after the seed, with the symbol that it reads next; without it the seed has yet to be read. `ends` says
    whether the boundary is the end of a text, as in line mode. `lead` is read before the seed, and no part of the text.
    """

    ids: np.ndarray
    shortest: int = 0
    longest: int = 0
    mode: int = 0
    run: int = 0
    state: tuple[np.ndarray, int] | None = None
    ends: bool = False
    lead: Sequence[int] = ()


def sampling_state_for(
    net: Net, config: SamplingConfig, follow: np.ndarray | None = None, fingerprint: Fingerprint | None = None
) -> SamplingState:
    """Return how the rows of a network draw, without the symbols; without a `follow` table everything may follow."""
    rows, gram, hashes, bits = net.batch, 1, 1, np.zeros(1, np.uint8)
    if config.max_copy is not None and fingerprint is not None:
        gram, hashes, bits = gram_for(config.max_copy), fingerprint.hashes, fingerprint.bits
    return SamplingState(
        symbols=np.zeros((0, rows), np.int32),
        losses=np.zeros((0, rows), np.float32),
        scratch=aligned_zeros(rows * net.columns, np.float32),
        texts=np.zeros(rows, np.int64),
        positions=np.zeros(rows, np.int64),
        shortest=np.zeros(rows, np.int64),
        modes=np.zeros(rows, np.int64),
        follow=np.zeros((1, net.vocab_size), np.uint8) if follow is None else follow,
        filter=bits,
        recent=np.zeros((rows, gram), np.int32),
        runs=np.zeros(rows, np.int64),
        seed=config.random_seed,
        hashes=hashes,
        gram=gram,
        max_copy=config.max_copy or 0,
        temperature=float(config.temperature),
        top_k=config.top_k,
        top_p=float(config.top_p),
        min_p=float(config.min_p),
    )


class Stepper:
    """Rows of a model, which draw as `draws_for` says."""

    def __init__(
        self,
        model: Model,
        rows: int,
        team: Team,
        config: SamplingConfig | None = None,
        follow: np.ndarray | None = None,
        fingerprint: Fingerprint | None = None,
    ) -> None:
        config = config or SamplingConfig()
        self.window = Window(model, 1, rows, team, config.precision)
        self.window.pack()
        self.rows, self.team = rows, team
        self._draws = sampling_state_for(self.window.net, config, follow, fingerprint)

    def begin(self, row: int, start: Start, text: int) -> np.ndarray:
        """Begin a text of this number on a row; return the symbols that it has to be given first."""
        state, symbol = (0, BOUNDARY) if start.state is None else start.state
        given = np.concatenate([start.lead, start.ids]).astype(np.int32) if start.state is None else start.ids[:0]
        self.window.state[:, :, row], self.window.inputs[0, row] = state, symbol
        draws = self._draws
        draws.texts[row], draws.positions[row], draws.shortest[row] = text, -len(given), start.shortest
        draws.modes[row], draws.runs[row], draws.recent[row] = start.mode, start.run, BOUNDARY
        recent = start.ids[-draws.gram :]
        draws.recent[row, draws.gram - len(recent) :] = recent
        return given

    def state(self, row: int) -> tuple[np.ndarray, int]:
        """Return a copy of the state of a row, and the symbol that it reads next."""
        return self.window.state[:, :, row].copy(), int(self.window.inputs[0, row])

    def run(self, symbols: np.ndarray) -> np.ndarray:
        """Read the given symbols (T, rows), drawing those that are DRAWN in place; return their losses in nats."""
        losses = np.zeros(symbols.shape, np.float32)
        draws = self._draws._replace(symbols=symbols, losses=losses)
        self.team.run(generate, self.window.model.equations, self.window.net, self.window.memory, draws)
        check_finite(losses)
        self._draws.positions[:] += len(symbols)
        return losses

    def read(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read given symbols on every row; return their losses (T) in nats."""
        given = np.ascontiguousarray(np.repeat(np.asarray(ids, np.int32)[:, None], self.rows, axis=1))
        return self.run(given)[:, 0]

    def step(self) -> np.ndarray:
        """Read what is to be read next on each row; return the log probabilities (rows, V) of what follows, float64.

        What that is has to be said, with `branch`, before anything else is read.
        """
        self.run(np.zeros((1, self.rows), np.int32))
        logits = self.window.logits[0, :, : self.window.net.vocab_size].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def branch(self, parents: np.ndarray, symbols: np.ndarray) -> None:
        """Let the first rows go on from the rows `parents`, each with its symbol."""
        count = len(parents)
        self.window.state[:, :, :count] = self.window.state[:, :, parents]
        self.window.inputs[0, :count] = symbols
