"""The configuration of sampling."""

from __future__ import annotations

from dataclasses import dataclass

from rnn_cli.config import Config, limited, one_of, setting
from rnn_cli.errors import UsageError

# Dinosaurs that contain rr and end in ops, the mean length and nats of 200: of 1 candidate 71.5 and 183, of 4 20.0 and
# 48, of 16 10.5 and 25, of 64 12.2 and 26; of all texts those that match 15.8 and 23.
CANDIDATES = 16
LENGTH, PROBABILITIES, TEXTS = "How much", "Probabilities", "Which texts"


@dataclass(frozen=True)
class SamplingConfig(Config):
    """How symbols are sampled, and which texts are kept.

    The distribution is softmax(logits / temperature) over the symbols that are allowed, truncated in this order: to
    the `top_k` most probable (0: all), to the fewest of these whose probabilities add up to `top_p`, and to those at
    least `min_p` times as probable as the most probable one. Temperature 0 takes the most probable symbol.

    A text has at most `length` new symbols; with its prompt at least `min_length`, before which neither an end nor a
    stop text ends it, and at most `max_length`, at which it is cut off. A grapheme cluster (a letter with its combining
    marks, an emoji of several code points: text/graphemes.py) that does not fit into `length` or `max_length` is left
    out, unless the text were then shorter than `min_length`. No character of `forbid` is sampled. At most `max_copy`
    symbols in a row are copied from the corpus; a text that could not continue otherwise ends. In a model of bytes,
    `valid_utf8` samples no byte that makes the text invalid, and drops a last character that is incomplete.

    `unique` keeps no text twice, `novel` none that is a line of the corpus; further texts are sampled instead. Of
    `best_of` texts the one with the fewest bits per character is kept.

    The whole text, its prompt included, matches the regular expression `pattern`, ends with `suffix` and contains each
    text of `must_contain`. In line mode it ends where the model ends it. A stream has no end that is learned: with
    `suffix` its text ends as soon as it matches, without it where the model continues with a symbol that may not come.
    For each text `candidates` that match are sampled, and one of them is kept, so that it is about as probable as among
    all texts that match.

    `precision` is that of the operands of the products, as in training. In bfloat16 a random seed gives other texts.
    """

    temperature: float = limited(
        0.0, 100.0, 1.0, short="t", group=PROBABILITIES, help="Lower is safer, higher more random, 0 greedy."
    )
    top_k: int = limited(
        0, 1_114_113, 0, group=PROBABILITIES, help="Sample from the K most probable symbols; 0: from all."
    )
    length: int = limited(
        0, 10**9, 500, short="l", group=LENGTH, help="New characters (or words) of each text; a line may end earlier."
    )
    random_seed: int = limited(0, 2**63 - 1, 0)
    top_p: float = limited(
        0.0, 1.0, 1.0, group=PROBABILITIES, help="Then from the fewest that add up to this probability."
    )
    min_p: float = limited(
        0.0, 1.0, 0.0, group=PROBABILITIES, help="Then from those this many times as probable as the first."
    )
    forbid: str = setting("", group=TEXTS, help="Characters, or words, that are never sampled.")
    min_length: int = limited(
        0, 10**9, 0, group=LENGTH, help="Minimum length, prompt included; a stop text does not end a text earlier."
    )
    max_length: int | None = limited(
        1, 10**9, group=LENGTH, help="Maximum length, prompt included, at which a text is cut off."
    )
    max_copy: int | None = limited(
        5, 10**9, group=TEXTS, help="Most characters in a row copied from the training text, at least 5."
    )
    valid_utf8: bool = True
    unique: bool = setting(False, group=TEXTS, help="No text twice.")
    novel: bool = setting(False, group=TEXTS, help="No line of the training text.")
    best_of: int = limited(
        1, 10**6, 1, group=TEXTS, help="Of this many texts, keep the most probable one per character."
    )
    pattern: str | None = setting(None, group=TEXTS, help="Regular expression that each whole text matches.")
    suffix: str = setting("", group=TEXTS, help="Each text ends with this.")
    must_contain: tuple[str, ...] = setting((), group=TEXTS, help="Each text contains this; may be given repeatedly.")
    counts: float | None = limited(
        0.0, 1.0, group=PROBABILITIES, help="Weight of the n-gram counts in the mixture; 0: the network alone."
    )
    precision: str = one_of("float32", "bfloat16")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.must_contain, tuple):
            object.__setattr__(self, "must_contain", tuple(self.must_contain))
        texts = {"pattern": [self.pattern or ""], "suffix": [self.suffix], "must_contain": self.must_contain}
        for name, values in texts.items():
            if not all(isinstance(value, str) for value in values):
                raise UsageError(f"`{name}` must be a text")
        if self.max_length is not None and self.min_length > self.max_length:
            raise UsageError(f"`min_length={self.min_length}` is more than `max_length={self.max_length}`")

    @property
    def guided(self) -> tuple[str, ...]:
        """The names of the parameters that say which texts match."""
        given = {"pattern": self.pattern is not None, "suffix": self.suffix, "must_contain": any(self.must_contain)}
        return tuple(name for name, value in given.items() if value)

    @property
    def candidates(self) -> int:
        """How many texts that match are sampled for each that is kept; at temperature 0 all would be the same."""
        return CANDIDATES if self.guided and self.temperature > 0 else 1
