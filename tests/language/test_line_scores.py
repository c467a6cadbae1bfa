"""Lines as they come: each is scored once, in bounded memory, and the selection among them."""

import io
import math
import os
import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_models import make_checkpoint, random_text

from rnn_cli.language.evaluation import evaluate_texts, score_texts
from rnn_cli.language.line_scores import Selection, score_lines
from rnn_cli.language.scorer import Scorer, unknown_nats
from rnn_cli.text.codecs import ByteCodec, CharacterCodec
from rnn_cli.text.documents import read_pieces

MODES = pytest.mark.parametrize("line_mode", [False, True], ids=["stream", "lines"])
BOM = b"\xef\xbb\xbf"


class Trickle(io.RawIOBase):
    """A stream that returns the given parts, one in each read."""

    def __init__(self, parts):
        self.parts = iter(parts)

    def read1(self, size):
        return next(self.parts, b"")


@pytest.fixture
def stdin(monkeypatch):
    """Return a function that gives parts to stdin."""
    return lambda parts: monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Trickle(parts)))


@given(st.lists(st.sampled_from([b"a", b"\n", b"bc\n", b"\n\n", b"defghijkl", "\u20ac".encode(), BOM]), max_size=20))
def test_pieces_are_the_file(parts):
    data = b"".join(parts)
    for size in (9, 1000):
        stdin, sys.stdin = sys.stdin, SimpleNamespace(buffer=Trickle(parts))
        try:
            pieces = list(read_pieces("-", size))
        finally:
            sys.stdin = stdin
        assert b"".join(piece for piece, _ in pieces) == data.removeprefix(BOM)
        assert all(piece for piece, _ in pieces)
        assert all(not ended for _, ended in pieces[:-1])
        if pieces:
            assert pieces[-1][1] == (not data.endswith(b"\n"))
        for piece, ended in pieces:
            if size == 1000 and not ended:
                assert piece.endswith(b"\n")
            assert max(map(len, piece.split(b"\n"))) <= 2 * size
            piece.decode()  # no character is cut in two


def test_lines_come_before_more_is_read(stdin):
    asked = []

    def parts():
        for part in (b"ab\nc", b"d\n", b"e"):
            asked.append(part)
            yield part

    stdin(parts())
    pieces = read_pieces("-", 1000)
    assert next(pieces) == (b"ab\n", False)
    assert len(asked) == 1
    assert next(pieces) == (b"cd\n", False)
    assert len(asked) == 2
    assert list(pieces) == [(b"e", True)]


@pytest.mark.parametrize("size", [8, 1 << 20])
@MODES
def test_the_bits_of_lines_add_up_to_those_of_the_text(tmp_path, line_mode, size):
    checkpoint = make_checkpoint(line_mode)
    if not line_mode:
        checkpoint = make_checkpoint(line_mode, codec=CharacterCodec("\nabcdefgh\u00e9\u20ac\U0001f600", False))
    text = random_text(900, True) + "Xa\n\nYZ"
    (tmp_path / "text").write_text(text, encoding="utf-8")
    found = list(score_lines(Scorer(checkpoint, 2), read_pieces(str(tmp_path / "text"), size)))
    scores = evaluate_texts(checkpoint, [text])
    assert sum(int(part.characters.sum()) for part in found) == scores.characters
    assert sum(int(part.unknown.sum()) for part in found) == scores.unknown == 3
    total = math.fsum(bits for part in found for bits in part.bits)
    assert total == pytest.approx(scores.bits_per_char * scores.characters)
    assert total == pytest.approx(math.fsum(bits for part in found for bits in part.symbol_bits))
    assert found[-1].line_number == text.count("\n") + 1
    if size > len(text):
        assert [line for part in found for line in part.lines] == text.split("\n")
    if line_mode and size > len(text):
        for line, bits in zip(text.split("\n"), np.concatenate([part.bits for part in found])):
            alone = evaluate_texts(checkpoint, [line + "\n"])
            assert bits == pytest.approx(alone.bits_per_char * alone.characters)


def test_a_byte_that_is_not_utf8_is_unknown(stdin):
    checkpoint = make_checkpoint(True)
    stdin([b"ab\xffc\n"])
    (part,) = score_lines(Scorer(checkpoint, 1), read_pieces("-"))
    assert (part.unknown.tolist(), part.characters.tolist()) == ([1], [5])
    assert part.symbol_bits[2] == pytest.approx(unknown_nats(checkpoint) / math.log(2))
    of_bytes = make_checkpoint(True, codec=ByteCodec(True))
    stdin([b"ab\xffc\n"])
    (part,) = score_lines(Scorer(of_bytes, 1), read_pieces("-"))
    assert (part.unknown.tolist(), part.lines) == ([0], [b"ab\xffc"])


def held(stdin, parts, size):
    """Return the peak memory of scoring, in bytes, and the number of lines."""
    scorer, count = Scorer(make_checkpoint(True), 1), 0
    stdin(parts)
    tracemalloc.start()
    for part in score_lines(scorer, read_pieces("-", size)):
        count += len(part.lines)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most, count


@pytest.mark.parametrize("line", [b"abcdefgh\n" * 1000, b"abcdefgh" * 1000], ids=["lines", "one line"])
def test_memory_does_not_grow_with_the_text(stdin, line):
    few, _ = held(stdin, (line for _ in range(10)), 20_000)
    many, count = held(stdin, (line for _ in range(200)), 20_000)
    assert many < 1.5 * few  # 20 times the text; what Python frees later differs from run to run
    assert count == (200_000 if line.endswith(b"\n") else 200 * 8000 // 20_000)


NUMBERS = st.lists(st.integers(0, 9), max_size=40)


@given(NUMBERS, st.integers(1, 50), st.booleans(), st.sampled_from([None, 3, 7]), st.sampled_from([None, 1, 5, 100]))
def test_a_selection_equals_sorting_everything(numbers, size, below, threshold, top):
    for in_order in (False, True) if top is None else (True,):
        selection = Selection(threshold, below, in_order, top)
        shown = []
        for start in range(0, len(numbers), size):
            taken = selection.take(np.array(numbers[start : start + size], float)).tolist()
            assert all(start <= position < start + size for position in taken)
            shown += taken
        if in_order:
            assert top is None or len(selection.ranked()) <= top
            assert set(selection.ranked().tolist()) <= set(shown)
            shown = selection.ranked().tolist()
        expected = list(enumerate(numbers))
        if threshold is not None:
            expected = [(p, n) for p, n in expected if (n <= threshold if below else n >= threshold)]
        if in_order:
            expected.sort(key=lambda item: item[1] if below else -item[1])
        assert shown == [position for position, _ in expected][:top]


def test_a_pipe_is_read_as_soon_as_it_has_lines(monkeypatch):
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "wb", buffering=0) as sink:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=source))
        pieces = read_pieces("-", 1 << 20)
        sink.write(b"ab\ncd\ne")
        assert next(pieces) == (b"ab\ncd\n", False)
        sink.write(b"f\n")
        assert next(pieces) == (b"ef\n", False)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 12])
def test_the_end_of_a_text_of_whole_blocks_is_scored(tmp_path, size):
    """A last block that is full is the last one all the same."""
    (tmp_path / "text").write_bytes(b"abcabcabcabc")
    assert [ended for _, ended in read_pieces(str(tmp_path / "text"), size)][-1]
    scorer = Scorer(make_checkpoint(True), 1)
    parts = list(score_lines(scorer, read_pieces(str(tmp_path / "text"), size)))
    assert sum(len(part.symbol_bits) for part in parts) == 13
    assert score_texts(scorer, ["abcabcabcabc"], piece_size=size).characters == 13


def test_positions_are_counted_over_all_pieces():
    selection = Selection(threshold=5, below=False, in_order=False, top=None)
    found = [selection.take(np.array(values)).tolist() for values in ([1.0, 9.0, 2.0], [3.0], [5.0, 1.0, 8.0])]
    assert found == [[1], [], [4, 6]]
