"""A trained model translates: many sources side by side, each as if it were alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.kernels.network.attention import Half, Pair
from rnn_cli.kernels.network.pair_step import answer_step, pack_pair, read_sources, start_answers
from rnn_cli.kernels.threads import Team
from rnn_cli.network.model import Model
from rnn_cli.network.pair_window import DecoderWindow, attention_for, part_models
from rnn_cli.network.workspace import Window, check_finite
from rnn_cli.tasks.translate.symbols import Symbols, symbols_of

LONGEST = 4096  # symbols of a source; the rest is not read
ROWS = 256  # of the decoder, at most
FOLLOWED = 32  # rows of the decoder that write given targets
SHORTEST = 16  # steps of a window of the encoder
LENGTH_POWER = 1.0  # of the length, by which the log probability of an answer is divided when they are compared
KEPT_MACHINES = 4


class Answer(NamedTuple):
    """A target, its -log2 probability, and how much each of its symbols, and its end, attends to the source (T, S)."""

    symbols: tuple[int, ...]
    bits: float
    attention: np.ndarray | None = None


class Followed(NamedTuple):
    """At each symbol of a target of T - 1 symbols, and at its end: what was predicted and attended to.

    probabilities  (T, V) of each symbol of the targets, of which 0 is the end
    attention      (T, S) to each symbol of the source, and to its end
    """

    probabilities: np.ndarray
    attention: np.ndarray


class Translator:
    """Translates with a model. Beam search keeps `width` beginnings; with one, each step takes the best symbol."""

    def __init__(self, model: Model, symbols: Symbols, team: Team, precision: str = "float32") -> None:
        self.model, self.symbols, self.team, self.precision = model, symbols, team, precision
        self._machines: dict[tuple[int, int, int], Machine] = {}

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint, threads: int) -> Translator:
        """Return the translator of a model file. Raises TaskError, or CheckpointError if it is damaged."""
        symbols = symbols_of(checkpoint)
        return cls(Model.from_torch(checkpoint.config, checkpoint.parameters), symbols, Team(threads))

    def changed(self) -> None:
        """Take note that the weights of the model are other ones than before."""
        for machine in self._machines.values():
            machine.packed = False

    def translate(
        self, sources: Sequence[str], count: int = 1, width: int = 1, attention: bool = False
    ) -> list[list[Answer]]:
        """Return the `count` best answers to each source, the best first, found with `width` beams or `count`.

        Answers are compared by their log probability divided by their length with the end. Raises UsageError if these
        are too many beams, CheckpointError if the outputs are not finite.
        """
        width = max(count, width)
        self.check_width(width)
        encoded = [self.symbols.encode_source(source)[-LONGEST:] for source in sources]
        order = sorted(range(len(encoded)), key=lambda k: len(encoded[k]))
        answers: list[list[Answer]] = [[] for _ in sources]
        at_once = ROWS // width
        for first in range(0, len(order), at_once):
            chosen = order[first : first + at_once]
            part = [encoded[k] for k in chosen]
            length = max(SHORTEST, 1 << (len(part[-1]) - 1).bit_length())
            rows = 1 << (len(part) - 1).bit_length()
            machine = self._machine(length, rows, width)
            for k, found in zip(chosen, machine.search(part, 2 * self.symbols.longest + 8, attention)):
                answers[k] = found[:count]
        return answers

    def follow(self, sources: Sequence[str], targets: Sequence[Sequence[int]]) -> list[Followed]:
        """Return what the decoder predicts at each symbol of given targets, and at their ends.

        Raises CheckpointError if the outputs are not finite.
        """
        encoded = [self.symbols.encode_source(source)[-LONGEST:] for source in sources]
        found: list[Followed] = []
        for first in range(0, len(encoded), FOLLOWED):
            part = encoded[first : first + FOLLOWED]
            length = max(SHORTEST, 1 << (max(map(len, part)) - 1).bit_length())
            machine = self._machine(length, FOLLOWED, 1)
            found += machine.follow(part, targets[first : first + FOLLOWED])
        return found

    def check_width(self, width: int) -> None:
        """Raise UsageError if the search cannot keep so many beginnings."""
        most = min(ROWS, len(self.symbols.outputs) ** 2 + 1)
        if width > most:
            raise UsageError(f"`beam` is at most {most:,} for this model, not {width:,}")

    def _machine(self, length: int, rows: int, width: int) -> Machine:
        key = (length, rows, width)
        if key not in self._machines:
            while len(self._machines) >= KEPT_MACHINES:
                del self._machines[next(iter(self._machines))]
            self._machines[key] = Machine(self.model, key, self.team, self.precision)
        return self._machines[key]


class Machine:
    """An encoder for some rows, and a decoder with `width` rows for each of them."""

    def __init__(self, model: Model, size: tuple[int, int, int], team: Team, precision: str) -> None:
        length, rows, self.width = size
        self.team, self.packed, self.rows = team, False, rows
        encoder, decoder = part_models(model)
        self.encoder = Window(encoder, length, rows, team, precision)
        self.decoder = DecoderWindow(decoder, 1, rows * self.width, team, precision)
        self.attention = attention_for(model, self.encoder, self.decoder)
        self.attention.columns[:] = np.repeat(np.arange(rows), self.width)
        halves = [Half(window.network, window.arrays) for window in (self.encoder, self.decoder)]
        self.pair = Pair(halves[0], halves[1], self.attention)

    def read(self, sources: Sequence[np.ndarray]) -> None:
        """Read the sources, and start the decoder."""
        if not self.packed:
            self.team.run(pack_pair, self.pair)
            self.packed = True
        lengths, encoder = self.attention.lengths, self.encoder
        lengths.fill(1)
        encoder.inputs.fill(0)
        for row, source in enumerate(sources):
            lengths[row] = len(source)
            encoder.inputs[: len(source), row] = source
        positions = np.arange(encoder.sizes.length)[:, None]
        encoder.starts[:] = (positions == 0) | (positions >= lengths)
        encoder.state.fill(0)
        encoder._follow_starts()
        self.team.run(read_sources, self.pair)
        self.decoder.starts.fill(0)
        self.team.run(start_answers, self.pair)

    def search(self, sources: Sequence[np.ndarray], most: int, attention: bool) -> list[list[Answer]]:
        """Return the answers to each source, the best first: beam search to `width` answers or `most` symbols."""
        self.read(sources)
        width, rows, outputs = self.width, self.rows, self.decoder.sizes.output_size
        scores = np.full((rows, width), -np.inf)
        scores[: len(sources), 0] = 0
        texts = np.zeros((rows, width, 0), np.int32)
        weights = np.zeros((rows * width, 0, self.attention.slots), np.float32)
        done: list[list[tuple[float, Answer]]] = [[] for _ in sources]
        symbols = np.zeros((rows, width), np.int32)
        for step in range(1, most + 2):
            self.decoder.inputs[0] = symbols.ravel()
            self.team.run(answer_step, self.pair)
            totals = scores[:, :, None] + self._log_probabilities().reshape(rows, width, outputs)
            if attention:
                now = self.attention.weights.reshape(-1, 1, self.attention.slots)
                weights = np.concatenate([weights, now], axis=1)
            flat = totals.reshape(rows, -1)
            best = np.argsort(-flat, axis=1, kind="stable")[:, : 2 * width] if width > 1 else flat.argmax(1)[:, None]
            parents, symbols_found = np.divmod(best, outputs)
            values = np.take_along_axis(flat, best, axis=1)
            ending = (symbols_found == 0) & (values > -np.inf)
            ending[:, width:] = False
            if step > most:  # too long: the beginnings count as they are
                ending = values[:, :width] > -np.inf
            for row, place in np.argwhere(ending[: len(sources)]).tolist():
                if len(done[row]) < width:
                    parent, value = int(parents[row, place]), float(values[row, place])
                    table = weights[row * width + parent, :, : len(sources[row])].copy() if attention else None
                    answer = Answer(tuple(texts[row, parent].tolist()), -value / math.log(2), table)
                    done[row].append((value / step**LENGTH_POWER, answer))
                    if len(done[row]) == width:
                        scores[row] = values[row] = -np.inf
            values[symbols_found == 0] = -np.inf
            finished = [row for row, found in enumerate(done) if len(found) == width]
            values[finished] = -np.inf
            if not (values > -np.inf).any():
                break
            kept = np.argsort(-values, axis=1, kind="stable")[:, :width]
            scores, symbols = (np.take_along_axis(array, kept, axis=1) for array in (values, symbols_found))
            parents = np.take_along_axis(parents, kept, axis=1)
            before = np.take_along_axis(texts, parents[:, :, None], axis=1)
            texts = np.concatenate([before, symbols[:, :, None]], axis=2)
            if width > 1:
                origin = (np.arange(rows)[:, None] * width + parents).ravel()
                self.decoder.state[:] = self.decoder.state[:, :, origin]
                weights = weights[origin]
        return [[answer for _, answer in sorted(found, key=lambda pair: -pair[0])] for found in done]

    def follow(self, sources: Sequence[np.ndarray], targets: Sequence[Sequence[int]]) -> list[Followed]:
        """Return what the decoder predicts if it writes the targets, whatever it would have written."""
        self.read(sources)
        inputs = np.zeros((1 + max(map(len, targets)), self.rows), np.int32)
        for row, target in enumerate(targets):
            inputs[1 : len(target) + 1, row] = target
        probabilities, attention = [], []
        for symbols in inputs:
            self.decoder.inputs[0] = symbols
            self.team.run(answer_step, self.pair)
            probabilities.append(np.exp(self._log_probabilities()))
            attention.append(self.attention.weights.reshape(self.rows, -1).copy())
        both = np.array(probabilities), np.array(attention)
        return [
            Followed(*(each[: len(target) + 1, row] for each in (both[0], both[1][..., : len(source)])))
            for row, (source, target) in enumerate(zip(sources, targets))
        ]

    def _log_probabilities(self) -> np.ndarray:
        """Return the log probabilities (rows, V) of the next symbols, float64. Raises CheckpointError."""
        logits = self.decoder.logits[0, :, : self.decoder.sizes.output_size].astype(np.float64)
        check_finite(logits)
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def object_of(symbols: Symbols, source: str, answers: Sequence[Answer]) -> dict[str, Any]:
    """Return the answers to a source, JSON-ready."""
    shown = source.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    targets = [{"target": symbols.decode(answer.symbols), "bits": answer.bits} for answer in answers]
    return {"source": shown, "targets": targets}
