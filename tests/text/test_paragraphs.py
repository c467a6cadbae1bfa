"""Texts of several lines, each with a learned end: separated by blank lines, or a file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.text.codecs import BOUNDARY, SEPARATORS, CharacterCodec, ParagraphCodec, codec_from_dict
from rnn_cli.text.corpus import Corpus, load_corpus

CODEC = ParagraphCodec("\nabc ", True)
POEMS = "".join(f"a title {number}\nand a line\nand one more\n\n" for number in range(60))


def load(path: Path, *texts: str, **options: Any) -> Corpus:
    """Return texts as a corpus."""
    paths = [path / f"{number}.txt" for number in range(len(texts))]
    for file, text in zip(paths, texts):
        file.write_bytes(text.encode())
    given = {"as_bytes": False, "line_mode": None, "validation_fraction": 0.0, "random_seed": 1, **options}
    return load_corpus([str(file) for file in paths], **given)


def symbols_of(text: str, size: int) -> list[int]:
    """Return the symbols of a text that comes in pieces of a size, with its boundaries."""
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    return np.concatenate([*CODEC.frame_pieces([CODEC.encode_pieces(pieces)])]).tolist()


@given(st.text("ab \n", max_size=30), st.integers(1, 9))
def test_paragraphs_do_not_depend_on_the_pieces(text: str, size: int) -> None:
    paragraphs = [[]]
    for line in text.split("\n"):
        if line.strip():
            paragraphs[-1].append(line)
        elif paragraphs[-1]:
            paragraphs.append([])
    expected = [BOUNDARY]
    for lines in paragraphs:
        if lines:
            expected += [1 + "\nabc ".index(character) for character in "\n".join(lines)] + [BOUNDARY]
    assert symbols_of(text, size) == expected


def test_a_prompt_keeps_its_last_newline() -> None:
    assert CODEC.encode("a\n").tolist() == [2, 1]
    assert CODEC.encode("a\n\n\n\nb\nc").tolist() == [2, BOUNDARY, 3, 1, 4]
    assert CODEC.decode([2, BOUNDARY, 3, 1, 4]) == b"a\n\nb\nc"
    assert CODEC.decode([2, BOUNDARY]) == b"a\n\n"


@pytest.mark.parametrize("separator", SEPARATORS)
def test_the_codec_is_kept_in_a_checkpoint(separator: str) -> None:
    codec = ParagraphCodec("\nab", True, separator)
    assert codec_from_dict(codec.to_dict()) == codec
    assert codec_from_dict(CharacterCodec("ab", True).to_dict()) == CharacterCodec("ab", True)
    for change in ({"separator": "comma"}, {"lines": False}, {"symbols": None}):
        with pytest.raises(CheckpointError):
            codec_from_dict(codec.to_dict() | change)
    with pytest.raises(ValueError, match="alike"):
        codec.ids_in(CharacterCodec("ab", True))
    with pytest.raises(ValueError, match="alike"):
        CharacterCodec("ab", True).ids_in(codec)
    assert codec.ids_in(ParagraphCodec("b\n", True, separator)).tolist() == [0, 2, -1, 1]


def test_texts_between_blank_lines_are_held_out_whole(tmp_path: Path) -> None:
    corpus = load(tmp_path, POEMS, separator="blank line", validation_fraction=0.1)
    assert corpus.codec.line_mode
    assert corpus.split_reason == "6 of 60 texts, at random"
    assert corpus.validation is not None
    texts = [*corpus.codec.decode(corpus.training[1:-1]).decode().split("\n\n")]
    held = [*corpus.codec.decode(corpus.validation[1:-1]).decode().split("\n\n")]
    assert sorted(texts + held) == sorted(POEMS.strip().split("\n\n"))


def test_each_file_is_one_text(tmp_path: Path) -> None:
    texts = [f"letter {number}\n\nwith a blank line\n" for number in range(30)]
    corpus = load(tmp_path, *texts, separator="file", validation_fraction=0.1)
    assert corpus.validation is not None
    assert np.count_nonzero(corpus.training == BOUNDARY) == 28
    assert np.count_nonzero(corpus.validation == BOUNDARY) == 4
    assert corpus.characters + corpus.validation_characters == sum(len(text) + 1 for text in texts)


def test_rare_characters_are_unknown(tmp_path: Path) -> None:
    corpus = load(tmp_path, "aaaa\nbbbb\nab\nxy\n" * 3 + "zab\n", line_mode=True, min_count=4)
    assert corpus.codec.alphabet == "ab"
    assert corpus.remarks[0].startswith("3 characters that occur less than 4 times are left out (7 in all)")
    with pytest.raises(UsageError, match="no character occurs 1,000 times"):
        load(tmp_path, "abc", min_count=1000)


def test_of_many_characters_the_rarest_are_left_out(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("rnn_cli.text.corpus.RARE", 10)
    text = "aaaa\nbbbb\nab\nxy\n" * 3 + "zab\n"
    assert load(tmp_path, text, line_mode=True).remarks == ()
    monkeypatch.setattr("rnn_cli.text.corpus.MANY_CHARACTERS", 5)
    corpus = load(tmp_path, text, line_mode=True)
    assert corpus.codec.alphabet == "ab"
    assert corpus.remarks[0].endswith("(7 in all); to the model they are unknown; `min_count=1` keeps them")
    assert load(tmp_path, text, line_mode=True, min_count=1).codec.alphabet == "abxyz"


def test_contradictions_are_refused(tmp_path: Path) -> None:
    for options in ({"separator": "file"}, {"min_count": 2}):
        with pytest.raises(UsageError, match="bytes have neither"):
            load(tmp_path, "abc", as_bytes=True, **options)
    with pytest.raises(UsageError, match="separator must be one of"):
        load(tmp_path, "abc", separator="comma")


def test_a_model_of_paragraphs_is_trained_sampled_and_scored(tmp_path: Path) -> None:
    from rnn_cli import NetworkConfig, Trainer, TrainingConfig, evaluate_texts, sample_texts
    from rnn_cli.language.classification import Classifier

    corpus = load(tmp_path, POEMS, separator="blank line")
    config = NetworkConfig.for_symbols(len(corpus.codec), hidden_size=64)
    training = TrainingConfig(steps=300, batch_size=8, sequence_length=32, learning_rate=0.01, fingerprint=False)
    trainer = make_trainer(Trainer, corpus, config, training)
    for _ in trainer:
        pass
    checkpoint = trainer.checkpoint()
    assert isinstance(checkpoint, Checkpoint)
    texts = [text.decode() for text in sample_texts(checkpoint, count=8)]
    assert sum(text.count("\n") == 2 for text in texts) > 4, texts
    scores = evaluate_texts(checkpoint, [POEMS])
    assert scores.bits_per_char < 0.5
    assert scores.characters == len(POEMS.strip()) - 59 + 1
    with pytest.raises(UsageError, match="texts of several lines"):
        Classifier([checkpoint]).bits([b"a"])


def make_trainer(trainer: Any, corpus: Corpus, config: Any, training: Any) -> Any:
    """Return a trainer of a language model."""
    try:
        from rnn_cli.language.task import LanguageTask
    except ImportError:
        return trainer(corpus, config, training, 1)
    return trainer(LanguageTask(corpus, config), training, 1)
