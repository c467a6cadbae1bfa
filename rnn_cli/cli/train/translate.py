"""Start a run of `rnn train --task translate`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.cli.train.request import TrainRequest
from rnn_cli.cli.train.starting import say_network
from rnn_cli.display.progress import TrainingDisplay
from rnn_cli.errors import UsageError
from rnn_cli.network.config import EncoderDecoderConfig
from rnn_cli.tasks.tag.alphabet import Alphabet
from rnn_cli.tasks.translate.autoconfig import choose
from rnn_cli.tasks.translate.pairs import Pairs, read_pairs, split_pairs
from rnn_cli.tasks.translate.symbols import Symbols, symbols_in, symbols_of
from rnn_cli.tasks.translate.task import TranslateTask
from rnn_cli.training.throughput import units_per_second
from rnn_cli.training.trainer import Trainer

FIXED = ("cell", "activation", "hidden_size", "num_layers", "directions")  # by the model that a run starts from
TEXT_OPTIONS = (  # of texts that a model learns to write
    *("as_bytes", "line_mode", "paragraphs", "whole_files", "column", "min_count", "tokens", "vocabulary"),
    *("augment", "reset_chance", "matches", "fingerprint", "counts", "readout"),
)


def start(
    request: TrainRequest, base: Checkpoint | None, threads: int, display: TrainingDisplay
) -> tuple[Trainer, TrainRequest]:
    """Read the pairs, say what is chosen, and return the trainer and the request."""
    for name in TEXT_OPTIONS:
        if name in request.given():
            raise UsageError(f"`{name}` is not for learning to translate; leave it out")
    training, validation, reason = read(request)
    symbols = Symbols.of_pairs(training, request.target_words)
    if base:
        request, symbols = inherit(request, training, base, display)
    for line in describe(training, validation, symbols, reason):
        display.note(line)
    task = TranslateTask(training, validation, symbols)
    given: dict[str, Any] = {**request.values, "random_seed": request.random_seed}
    choice = choose(task, given, partial(units_per_second, threads=threads), fine_tuning=base is not None)
    for line in choice.reasons:
        display.note(line)
    assert isinstance(choice.model, EncoderDecoderConfig)
    task = TranslateTask(training, validation, symbols, choice.model)
    say_network(task, choice.training, threads, display)
    first = base.parameters if base else None
    return Trainer(task, choice.training, threads, start=first), request


def reread(request: TrainRequest, checkpoint: Checkpoint) -> TranslateTask:
    """Return the task of a run that is resumed."""
    symbols = symbols_of(checkpoint)
    training, validation, _ = read(request)
    return TranslateTask(training, validation, symbols)


def read(request: TrainRequest) -> tuple[Pairs, Pairs | None, str]:
    """Read the pairs of a request: those to train on, those to hold out, and what is held out."""
    data = read_pairs(request.files)
    if request.validation_files:
        held_out = read_pairs(request.validation_files)
        return data, held_out, f"{held_out.name}, {len(held_out):,} pairs"
    return split_pairs(data, request.validation_fraction, request.random_seed or 0)


def describe(training: Pairs, validation: Pairs | None, symbols: Symbols, reason: str) -> list[str]:
    """Return lines that say what the data are, and how they are read."""
    kind = "symbols between blanks" if symbols.words else "characters"
    form = "decomposed (NFD), which leaves far fewer of them" if symbols.form == "NFD" else "composed (NFC)"
    lines = [
        f"{training.name}: {len(training):,} pairs to train on; targets of {len(symbols.outputs):,} different {kind}",
        f"sources are read as {len(symbols.alphabet.codec) - 1:,} different characters, {form}",
        f"held out to validate: {reason}",
    ]
    if validation is not None:
        held = {symbol for target in validation.targets for symbol in symbols_in(target, symbols.words)}
        if new := sorted(held - set(symbols.outputs)):
            lines.append(f"{len(new):,} symbols of targets are held out only, as '{new[0]}'; they count as wrong")
    return lines


def inherit(
    request: TrainRequest, data: Pairs, base: Checkpoint, display: TrainingDisplay
) -> tuple[TrainRequest, Symbols]:
    """Take what a translator fixes: its network and its symbols. Raises UsageError for other values or symbols."""
    path, symbols = request.base or Path(), symbols_of(base)
    config = base.config.to_dict()
    fixed = {name: config[name] for name in FIXED}
    for name, value in fixed.items():
        if request.values.get(name) not in (None, value):
            raise UsageError(f"`{name}` contradicts the model {path}, which fixes it; leave it out")
    if request.target_words not in (None, symbols.words):
        raise UsageError(f"`target_words` contradicts the model {path}, which fixes it; leave it out")
    own = {symbol for target in data.targets for symbol in symbols_in(target, symbols.words)}
    if new := sorted(own - set(symbols.outputs)):
        raise UsageError(f"{path} cannot write '{new[0]}', which targets of {data.name} have; train a new model")
    unknown = len(set(Alphabet.of_texts(data.sources).codec.symbols) - set(symbols.alphabet.codec.symbols))
    display.note(f"starting from {path}; it knows all symbols of the targets, and lacks {unknown:,} of the sources")
    longest = max(symbols.longest, *(len(symbols_in(target, symbols.words)) for target in data.targets))
    return replace(request, values={**request.values, **fixed}), replace(symbols, longest=longest)
