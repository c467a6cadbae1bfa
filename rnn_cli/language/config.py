"""The configuration of sampling."""

from __future__ import annotations

from dataclasses import dataclass

from rnn_cli.config import Config, limited
from rnn_cli.errors import UsageError


@dataclass(frozen=True)
class SamplingConfig(Config):
    """How symbols are drawn, and which texts are taken.

    The distribution is softmax(logits / temperature) over the symbols that may come, cut down in this order: to the
    `top_k` most probable (0: all), to the fewest of these that have at least the share `top_p`, and to those that are
    at least `min_p` times as probable as the first. Temperature 0 takes the most probable symbol.

    A text has at most `length` new symbols; with its seed at least `min_length`, before which no end and no stop text
    ends it, and at most `max_length`, where it is cut off. No character of `forbid` is drawn. More than `max_copy`
    symbols in a row are not copied from the corpus; a text that could not go on otherwise ends. In a model of bytes,
    `valid_utf8` draws no byte that cannot go on, and leaves out a character that the length would cut in two.

    `unique` takes no text twice, `novel` none that is a line of the corpus; further texts take their places. Of
    `best_of` texts the one with the fewest bits per character is taken.

    `precision` is that of the operands of the products, as in training. In bfloat16 a seed gives other texts.
    """

    temperature: float = limited(0.0, 100.0, 1.0)
    top_k: int = limited(0, 1_114_113, 0)
    length: int = limited(0, 10**9, 500)
    random_seed: int = limited(0, 2**63 - 1, 0)
    top_p: float = limited(0.0, 1.0, 1.0)
    min_p: float = limited(0.0, 1.0, 0.0)
    forbid: str = ""
    min_length: int = limited(0, 10**9, 0)
    max_length: int | None = limited(1, 10**9)
    max_copy: int | None = limited(5, 10**9)
    valid_utf8: bool = True
    unique: bool = False
    novel: bool = False
    best_of: int = limited(1, 10**6, 1)
    precision: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_length is not None and self.min_length > self.max_length:
            raise UsageError(f"--min-length {self.min_length} is more than --max-length {self.max_length}")
