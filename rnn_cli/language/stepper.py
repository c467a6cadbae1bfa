"""Stepping through symbols: each row of a batch reads a prompt and samples what follows; no row sees another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from rnn_cli.kernels.network.memory import Sizes
from rnn_cli.kernels.shared_row import RowTeam
from rnn_cli.kernels.simd.aligned import aligned_zeros
from rnn_cli.kernels.text.generate import RULES, SamplingState, generate, generate_together, sample_from_logits
from rnn_cli.kernels.text.mixture import FITTED, Mixture
from rnn_cli.kernels.threads import Team
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.guide import Guide, side_by_side
from rnn_cli.language.ngrams import NgramModel, no_mixture
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import Window, check_finite
from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.fingerprint import GRAMS, Fingerprint, gram_for

NOT_GUIDED = -1  # in place of the number of a guide
SAMPLED = -1  # in place of a given symbol: sample one here
ALONE = Team(1)  # runs a kernel on the thread that calls


class ReadState(NamedTuple):
    """The state of the network (L, S, H), the symbol that it reads next, and the contexts of the n-gram model."""

    network: np.ndarray | np.float32
    symbol: int
    contexts: np.ndarray | np.int32


NOT_READ = ReadState(np.float32(0), BOUNDARY, np.int32(-1))  # values that fill arrays


@dataclass
class Prompt:
    """A prompt, and the sampling limits that follow from it.

    ids               the symbols of the prompt
    shortest, longest the fewest and the most symbols to sample
    automaton_state   the state of the follow table, or of the guide, after the prompt
    copied            the number of its last symbols that are copied from the corpus
    ends              whether the boundary ends a text, as in line mode
    lead              symbols to read before the prompt, which are not part of the text
    characters        the character of each symbol, if some of them join others to one grapheme cluster, which a text is
                      not cut in; None otherwise
    network_state     the state after the prompt; None if the prompt has yet to be read
    mixed_states      the same of each model of a mixture
    unread            the number of the last symbols of the prompt that this state has not read
    """

    ids: np.ndarray
    shortest: int = 0
    longest: int = 0
    automaton_state: int = 0
    copied: int = 0
    ends: bool = False
    lead: Sequence[int] = ()
    characters: str | None = None
    network_state: ReadState | None = None
    mixed_states: Sequence[ReadState] = ()
    unread: int = 0


def sampling_state_for(
    sizes: Sizes,
    config: SamplingConfig,
    follow: np.ndarray | None = None,
    fingerprint: Fingerprint | None = None,
    mixture: Mixture | None = None,
    guide: Guide | None = None,
) -> SamplingState:
    """Return the sampling state of the rows of a network, without symbols. Without a `follow` table, all may follow.

    A `guide` takes the place of the table.
    """
    rows, hashes, bits = sizes.batch, 1, np.zeros(1, np.uint8)
    if fingerprint is not None:
        hashes, bits = fingerprint.hashes, fingerprint.bits
    return SamplingState(
        symbols=np.zeros((0, rows), np.int32),
        losses=np.zeros((0, rows), np.float32),
        scratch=aligned_zeros(rows * sizes.columns, np.float32),
        texts=np.zeros(rows, np.int64),
        positions=np.zeros(rows, np.int64),
        shortest=np.zeros(rows, np.int64),
        longest=np.zeros(rows, np.int64),
        worths=np.zeros(rows),
        automaton=np.zeros(rows, np.int64),
        follow=(np.zeros((1, sizes.output_size), np.uint8) if follow is None else follow)[None],
        guides=side_by_side([guide] if guide else [], sizes.output_size),
        filter=bits,
        recent=np.zeros((rows, max(GRAMS)), np.int32),
        runs=np.zeros(rows, np.int64),
        rules=np.full(rows, rules_of(config, fingerprint, guide=0 if guide else NOT_GUIDED), RULES),
        hashes=hashes,
        mixture=mixture or no_mixture(rows),
    )


def rules_of(
    config: SamplingConfig, fingerprint: Fingerprint | None, table: int = 0, guide: int = NOT_GUIDED
) -> np.ndarray:
    """Return how a row samples by a configuration, a scalar of the type RULES."""
    most = 0 if fingerprint is None else config.max_copy or 0
    values = (config.random_seed, config.temperature, config.top_k, config.top_p, config.min_p)
    share = FITTED if config.counts is None else config.counts
    return np.array((*values, most, gram_for(most) if most else 1, table, guide, share), RULES)


class RowState(NamedTuple):
    """All that a row is while it samples a text, so that it can go on later, or on another row.

    read      the state after what was read
    values    of the row in each of the arrays ROW_ARRAYS of its SamplingState
    """

    read: ReadState
    values: tuple[np.ndarray, ...]


ROW_ARRAYS = ("texts", "positions", "shortest", "longest", "worths", "automaton", "recent", "runs")


class Stepper:
    """Rows of a model that read and sample symbols, step by step."""

    def __init__(
        self,
        model: Model,
        rows: int,
        team: Team,
        config: SamplingConfig | None = None,
        follow: np.ndarray | None = None,
        fingerprint: Fingerprint | None = None,
        ngrams: NgramModel | None = None,
        guide: Guide | None = None,
    ) -> None:
        config = config or SamplingConfig()
        self.window = Window(model, 1, rows, team, config.precision)
        self.window.pack()
        self.rows, self.team, self._together = rows, team, RowTeam(team)
        self._fingerprint = fingerprint
        sizes = self.window.sizes
        mixture = ngrams.mixture(rows, sizes.columns) if ngrams else None
        self._sampling = sampling_state_for(sizes, config, follow, fingerprint, mixture, guide)
        self._guides, self._placed = [guide] * rows, [guide] if guide else []
        self._contexts = self._sampling.mixture.contexts

    def begin(self, row: int, prompt: Prompt, text_index: int, position: int = 0) -> np.ndarray:
        """Begin a text on a row; return the symbols to give to `run` first.

        Its index and the `position` of its first symbol determine its random numbers.
        """
        state, symbol, contexts = prompt.network_state or NOT_READ
        given = np.concatenate([prompt.lead, prompt.ids]).astype(np.int32)
        if prompt.network_state is not None:
            given = given[len(given) - prompt.unread :]
        self.window.state[:, :, row], self.window.inputs[0, row], self._contexts[row] = state, symbol, contexts
        sampling = self._sampling
        sampling.texts[row], sampling.positions[row] = text_index, position - len(given)
        sampling.shortest[row], sampling.longest[row] = prompt.shortest, prompt.longest
        sampling.automaton[row], sampling.worths[row] = prompt.automaton_state, 0
        sampling.runs[row], sampling.recent[row] = prompt.copied, BOUNDARY
        recent = prompt.ids[-sampling.recent.shape[1] :]
        sampling.recent[row, sampling.recent.shape[1] - len(recent) :] = recent
        return given

    def choose(self, row: int, config: SamplingConfig, follow: np.ndarray, guide: Guide | None = None) -> None:
        """Let a row sample by a configuration, and a follow table or a guide of its own, from now on."""
        sampling = self._sampling
        if sampling.follow.shape != (self.rows, *follow.shape):
            self._sampling = sampling = sampling._replace(follow=np.repeat(follow[None], self.rows, axis=0))
        self._guides[row] = guide
        if guide is not None and guide not in self._placed:
            self._placed = list(dict.fromkeys(each for each in self._guides if each))
            self._sampling = sampling._replace(guides=side_by_side(self._placed, self.window.sizes.output_size))
            sampling.rules["guide"] = [self._place_of(each) for each in self._guides]
        sampling.rules[row] = rules_of(config, self._fingerprint, row, self._place_of(guide))
        sampling.follow[row] = follow

    def _place_of(self, guide: Guide | None) -> int:
        return NOT_GUIDED if guide is None else self._placed.index(guide)

    def move(self, source: int, target: int) -> None:
        """Let a row go on where another one was, which rests from now on."""
        if source != target:
            self.restore(target, self.save(source))
            rules, self._guides[target] = self._sampling.rules, self._guides[source]
            rules[target], self._sampling.follow[target] = rules[source], self._sampling.follow[source]
            rules["table"][target] = target
        self._guides[source] = None  # it may be large

    def after(self, prompt: Prompt, row: int) -> Prompt:
        """Return a prompt that a row has read with the state after it."""
        return replace(prompt, network_state=self.state(row))

    def save(self, row: int) -> RowState:
        """Return a copy of all that a row is, but how it samples."""
        return RowState(self.state(row), tuple(getattr(self._sampling, name)[row].copy() for name in ROW_ARRAYS))

    def restore(self, row: int, saved: RowState) -> None:
        """Let a row go on as a saved one."""
        self.window.state[:, :, row], self.window.inputs[0, row], self._contexts[row] = saved.read
        for name, value in zip(ROW_ARRAYS, saved.values):
            getattr(self._sampling, name)[row] = value

    def worth(self, row: int) -> float:
        """Return the log of how much more probable the text of a row is than it was to be sampled with its guide."""
        return float(self._sampling.worths[row])

    def state(self, row: int) -> ReadState:
        """Return a copy of the state of a row."""
        return ReadState(
            self.window.state[:, :, row].copy(), int(self.window.inputs[0, row]), self._contexts[row].copy()
        )

    def run(self, symbols: np.ndarray) -> np.ndarray:
        """Read symbols (T, R) of the first R rows, sampling those that are SAMPLED in place; the other rows rest.

        Return the losses (T, R) in nats.
        """
        losses = np.zeros(symbols.shape, np.float32)
        sampling = self._sampling._replace(symbols=symbols, losses=losses)
        if self.rows == 1 < self.team.threads:
            self._together.run(len(symbols), generate_together, self.window.network, self.window.arrays, sampling)
        else:
            team = self.team if symbols.shape[1] > 1 else ALONE
            team.run(generate, self.window.network, self.window.arrays, sampling)
        check_finite(losses)
        self._sampling.positions[: symbols.shape[1]] += len(symbols)
        return losses

    def read(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read the same symbols on every row; return their losses (T) in nats."""
        given = np.ascontiguousarray(np.repeat(np.asarray(ids, np.int32)[:, None], self.rows, axis=1))
        return self.run(given)[:, 0]

    def step(self) -> np.ndarray:
        """Read the next symbol of each row; return the log probabilities (rows, V) of what follows, float64.

        Call `branch` to choose the next symbols before the next step.
        """
        self.run(np.zeros((1, self.rows), np.int32))
        logits = self.window.logits[0, :, : self.window.sizes.output_size].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def choose_from(self, log_probabilities: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """Choose the symbols (1, rows) that follow a `step` by these log probabilities (rows, V); return their losses.

        Those that are SAMPLED are sampled, in place; the rows read the symbols next.
        """
        losses = np.zeros(symbols.shape, np.float32)
        self.window.logits[0, :, : self.window.sizes.output_size] = log_probabilities
        positions = self._sampling.positions - 1  # the step counted the symbol already
        sampling = self._sampling._replace(symbols=symbols, losses=losses, positions=positions)
        self.team.run(sample_from_logits, self.window.network, self.window.arrays, sampling)
        return losses[0]

    def branch(self, parents: np.ndarray, symbols: np.ndarray) -> None:
        """Continue the first rows from the rows `parents`, each with its next symbol."""
        count = len(parents)
        self.window.state[:, :, :count] = self.window.state[:, :, parents]
        self.window.inputs[0, :count] = symbols
        self._contexts[:count] = self._contexts[parents]
