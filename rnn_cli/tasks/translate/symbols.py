"""The symbols of sources and targets. Symbol 0 is the end of a source; in a target its start and its end."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rnn_cli.checkpoint.checkpoint import TRANSLATE, Checkpoint
from rnn_cli.errors import CheckpointError
from rnn_cli.network.config import EncoderDecoderConfig
from rnn_cli.tasks.tag.alphabet import Alphabet
from rnn_cli.tasks.translate.pairs import Pairs, looks_like_phones
from rnn_cli.text.codecs import CharacterCodec, codec_from_dict

Form = Literal["NFC", "NFD"]
FEWER = 0.6  # share of the characters of NFC that NFD may have at most, to be chosen
MOST_SYMBOLS = 100_000


@dataclass(frozen=True)
class Symbols:
    """How sources are read and targets written.

    alphabet  characters of sources in the Unicode normal `form`, and one symbol for all others
    outputs   the symbols of targets, from symbol 1 on
    words     whether blanks separate the symbols of a target
    longest   symbols of the longest target in the training part
    """

    alphabet: Alphabet
    form: Form
    outputs: tuple[str, ...]
    words: bool
    longest: int

    @classmethod
    def of_pairs(cls, data: Pairs, words: bool | None = None) -> Symbols:
        """Return the symbols of some pairs; `words` None: as the targets look."""
        words = looks_like_phones(data.targets) if words is None else words
        form = form_of(data.sources)
        alphabet = Alphabet.of_texts(unicodedata.normalize(form, source) for source in data.sources)
        split = [symbols_in(target, words) for target in data.targets]
        outputs = sorted({symbol for target in split for symbol in target})
        return cls(alphabet, form, tuple(outputs), words, max(map(len, split)))

    def normal(self, text: str) -> str:
        """Return a source in the normal form in which it is read."""
        return unicodedata.normalize(self.form, text)

    def encode_source(self, text: str) -> np.ndarray:
        """Return the symbols (int32) of a source and its end."""
        return np.append(self.alphabet.encode(self.normal(text)), np.int32(0))

    def encode_target(self, text: str) -> np.ndarray:
        """Return the symbols (int32) of a target; -1 for one that the training part lacks."""
        known = self._index
        return np.array([known.get(symbol, -1) for symbol in symbols_in(text, self.words)], np.int32)

    def decode(self, symbols: Sequence[int]) -> str:
        """Return the text of a target."""
        return (" " if self.words else "").join(self.outputs[symbol - 1] for symbol in symbols)

    @property
    def _index(self) -> dict[str, int]:
        if "index" not in self.__dict__:
            self.__dict__["index"] = {symbol: number for number, symbol in enumerate(self.outputs, 1)}
        index: dict[str, int] = self.__dict__["index"]
        return index

    @property
    def sizes(self) -> dict[str, Any]:
        """The sizes of the network."""
        return {"input_size": len(self.alphabet), "output_size": 1 + len(self.outputs)}

    def describe(self) -> dict[str, Any]:
        """Return what the file says of the task, JSON-ready."""
        return {
            "name": TRANSLATE,
            "codec": self.alphabet.codec.to_dict(),
            "form": self.form,
            "outputs": list(self.outputs),
            "words": self.words,
            "longest": self.longest,
        }


def symbols_in(target: str, words: bool) -> list[str]:
    """Return the symbols of a target."""
    return target.split() if words else list(target)


def form_of(sources: Sequence[str]) -> Form:
    """Return NFD if it leaves far fewer different characters than NFC, as of Korean and Vietnamese, else NFC."""
    together = "\n".join(sources)
    composed, decomposed = (len(set(unicodedata.normalize(form, together))) for form in ("NFC", "NFD"))
    return "NFD" if decomposed <= FEWER * composed else "NFC"


def symbols_of(checkpoint: Checkpoint) -> Symbols:
    """Return the symbols of a model.

    Raises TaskError for a model of another task, CheckpointError if its description is damaged.
    """
    checkpoint.expect(TRANSLATE)
    match checkpoint.task:
        case {
            "codec": dict(codec),
            "form": "NFC" | "NFD" as form,
            "outputs": [_, *_] as outputs,
            "words": bool(words),
            "longest": int(longest),
            **others,
        } if (
            others.keys() == {"name"}
            and 0 < longest <= MOST_SYMBOLS
            and all(isinstance(symbol, str) and symbol and not set(symbol) & set("\t\n") for symbol in outputs)
            and len(set(outputs)) == len(outputs)
        ):
            characters = codec_from_dict(codec)
            if isinstance(characters, CharacterCodec):
                symbols = Symbols(Alphabet(characters), form, tuple(outputs), words, longest)
                config = checkpoint.config
                if isinstance(config, EncoderDecoderConfig) and symbols.sizes == {
                    "input_size": config.input_size,
                    "output_size": config.output_size,
                }:
                    return symbols
    raise CheckpointError("the description of its symbols is damaged, or its network does not fit them")
