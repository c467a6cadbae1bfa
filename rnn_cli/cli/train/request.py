"""The request of `rnn train`: the texts, how they are read, and the values of the network and its training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from rnn_cli.config import check_range
from rnn_cli.errors import UsageError
from rnn_cli.network.config import NetworkConfig
from rnn_cli.training.config import LENGTHS, TrainingConfig

MOST_WORDS = 1_000_000  # as in text/codecs/words.py, which loads NumPy

Value = int | float | str
# Fields of the source of a run that older files lack, and their types.
LATER: dict[str, type] = {
    "paragraphs": bool,
    "whole_files": bool,
    "column": str,
    "min_count": int,
    "words": bool,
    "vocabulary": int,
    "tokens": str,
    "task": str,
    "target_words": bool,
    "horizon": int,
    "season": int,
    "quantiles": str,
}
# The tasks that are named; without one, a model learns to write.
TaskName = Literal["classify", "tag", "translate", "forecast"]
TOKEN_RULES = ("smiles", "graphemes")  # what `tokens` may be, besides a file
NETWORK = {item.name for item in fields(NetworkConfig)}


@dataclass(frozen=True)
class TrainRequest:
    """What a run is made of. A value of None, or one that is not in `values`, is left to rnn.

    files        texts to train on, "-" for stdin
    line_mode    whether each line is a text of its own
    as_bytes     whether symbols are bytes, not characters
    paragraphs   whether a text ends at a blank line
    whole_files  whether each file is one text
    column       the column of tables that is read
    min_count    how often a character or word must occur to be a symbol
    words        whether symbols are words
    vocabulary   how many of the commonest words are symbols
    tokens       a rule for symbols of several characters, or a file that lists them
    horizon      how many values of a series are forecast
    season       steps of a season of a series
    quantiles    the quantiles that are forecast, as 0.1,0.5,0.9
    base         the model whose weights the run starts from
    target_words  whether blanks separate the symbols of a target
    task         what the model learns, one of cli/train/start.py; None: to write the text
    values       fields of NetworkConfig and TrainingConfig
    """

    files: tuple[str, ...] = ()
    validation_files: tuple[str, ...] = ()
    validation_fraction: float | None = None
    line_mode: bool | None = None
    as_bytes: bool | None = None
    paragraphs: bool | None = None
    whole_files: bool | None = None
    column: str | None = None
    min_count: int | None = None
    words: bool | None = None
    vocabulary: int | None = None
    tokens: str | None = None
    horizon: int | None = None
    season: int | None = None
    quantiles: str | None = None
    base: Path | None = None
    random_seed: int | None = None
    task: str | None = None
    target_words: bool | None = None
    values: Mapping[str, Value] = field(default_factory=dict)

    def check(self) -> None:
        """Raise UsageError for values that are out of range or contradict each other. Reads no file."""
        lengths = [f"`{name}`" for name in self.values if name in LENGTHS]
        if len(lengths) > 1:
            raise UsageError(f"{' and '.join(lengths)} contradict each other; give one of them")
        values: dict[str, Any] = {**self.values, "random_seed": self.random_seed or 0}
        network = NetworkConfig(**{name: value for name, value in values.items() if name in NETWORK})
        training = TrainingConfig(**{name: value for name, value in values.items() if name not in NETWORK})
        if "momentum" in self.values and training.optimizer != "sgd":
            raise UsageError('`momentum` is for `optimizer="sgd"`; give both or leave it out')
        if network.activation != NetworkConfig.activation and network.cell != "rnn":
            raise UsageError('`activation` is for `cell="rnn"`; give both or leave it out')
        modes = [name for name in ("line_mode", "paragraphs", "whole_files") if getattr(self, name) is not None]
        if len(modes) > 1:
            shown = [f"`{name}={getattr(self, name)}`" for name in modes]
            raise UsageError(f"{' and '.join(shown)} contradict each other, as each says what a text is")
        if self.as_bytes and (self.separator or self.min_count is not None):
            raise UsageError("`as_bytes=True` has neither paragraphs nor rare characters; leave one of the two out")
        if self.words and self.task:
            raise UsageError("`words=True` is for a model that writes text; leave it out, or leave out `task`")
        if self.target_words is not None and self.task != "translate":
            raise UsageError('`target_words` is for `task="translate"`; give both or leave it out')
        if self.words and (self.as_bytes or self.separator):
            raise UsageError("`words=True` has neither bytes nor paragraphs; leave one of the two out")
        for name in ("horizon", "season", "quantiles"):
            if getattr(self, name) is not None and self.task != "forecast":
                raise UsageError(f"`{name}` is for `task=forecast`; give both or leave it out")
        if self.vocabulary is not None:
            check_range("vocabulary", self.vocabulary, 1, MOST_WORDS)
            if not self.words and not self.base:
                raise UsageError("`vocabulary` is for `words=True`; give both or leave it out")
        if self.tokens is not None and (self.as_bytes or self.separator or self.words):
            raise UsageError("`tokens` are for lines or a stream of characters; leave the other option out")
        if self.min_count is not None:
            check_range("min_count", self.min_count, 1, 10**9)
        if self.validation_fraction is not None:
            check_range("validation_fraction", self.validation_fraction, 0.0, 0.9)
            if self.validation_files:
                raise UsageError("`validation_fraction` and `validation_files` contradict each other; give one of them")

    @property
    def separator(self) -> str | None:
        """Where a text of several lines ends, as `load_corpus` takes it."""
        return "blank line" if self.paragraphs else "file" if self.whole_files else None

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that are read."""
        return self.files + self.validation_files

    def given(self) -> dict[str, Any]:
        """Return what was given beside the files to train on, by the name of the parameter."""
        own = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in ("files", "values")}
        return {name: value for name, value in own.items() if value not in (None, ())} | dict(self.values)

    def check_resumed(self) -> None:
        """Raise UsageError if anything but files is given, as a resumed run has all values already."""
        given = [
            f"`{name}={value}`" if isinstance(value, bool) else f"`{name}`" for name, value in self.given().items()
        ]
        if given:
            raise UsageError(f"--resume continues exactly as before; leave out {', '.join(given)}")

    def to_source(self) -> dict[str, Any]:
        """Return what resuming needs, JSON-ready. Paths are absolute, so that any directory will do."""
        return {
            "paths": absolute_paths(self.files),
            "lines": self.line_mode,
            "as_bytes": self.as_bytes,
            "validation_fraction": self.validation_fraction,
            "validation_files": absolute_paths(self.validation_files) or None,
            "random_seed": self.random_seed,
            **{name: getattr(self, name) for name in LATER if getattr(self, name) is not None},
            **({"tokens": absolute_paths((self.tokens,))[0]} if self.tokens not in (None, *TOKEN_RULES) else {}),
        }

    @classmethod
    def from_source(cls, source: object) -> TrainRequest | None:
        """Return the request of `to_source`, or None for anything else, as the file is untrusted."""
        match source:
            case {
                "paths": [_, *_] as files,
                "lines": bool() | None as line_mode,
                "as_bytes": bool() | None as as_bytes,
                "validation_fraction": float() | int() | None as fraction,
                "validation_files": list() | None as held_out,
                "random_seed": int(random_seed),
            } if 0 <= random_seed < 1 << 63 and all(map(is_path, [*files, *(held_out or [])])):
                assert isinstance(source, Mapping)  # as it matches
                later: dict[str, Any] = {name: source.get(name) for name in LATER}
                if not all(isinstance(later[name], kind | None) for name, kind in LATER.items()):
                    return None
                return cls(
                    **later,
                    files=tuple(files),
                    validation_files=tuple(held_out or ()),
                    validation_fraction=fraction,
                    line_mode=line_mode,
                    as_bytes=as_bytes,
                    random_seed=random_seed,
                )
        return None


def is_path(value: object) -> bool:
    """Say whether a value can be the name of a file."""
    try:
        return isinstance(value, str) and b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def absolute_paths(paths: tuple[str, ...]) -> list[str]:
    """Return paths that hold in any directory; "-" stays."""
    return [path if path == "-" else str(Path(path).resolve()) for path in paths]
