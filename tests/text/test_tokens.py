import json

import numpy as np
import pytest

from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.text.codecs import BOUNDARY, UNKNOWN, CharacterCodec, TokenCodec, codec_from_dict
from rnn_cli.text.codecs.tokens import LONGEST, listed_tokens
from rnn_cli.text.corpus import load_corpus

MOLECULES = "CCBr\nClc1ccc[nH]1\nC%12CC[N+](C)%12\n"
ACCENT = "\u0301"


def codec_of(text, rule, line_mode=True, **given):
    return TokenCodec.of_texts([[text]], line_mode, rule, **given)


@pytest.mark.parametrize(
    "rule, listed, text, tokens",
    [
        ("smiles", (), "BrCCl[nH]%12C1", ["Br", "C", "Cl", "[nH]", "%12", "C", "1"]),
        ("smiles", (), "[C%1Bl[]", ["[", "C", "%", "1", "B", "l", "[", "]"]),
        ("graphemes", (), f"ae{ACCENT}\r\n", ["a", f"e{ACCENT}", "\r\n"]),
        ("list", ("ab", "abc", "bc", "(+"), "abcab(+bcx", ["abc", "ab", "(+", "bc", "x"]),
    ],
)
def test_a_text_is_cut_into_the_longest_tokens(rule, listed, text, tokens):
    codec = codec_of(text, rule, line_mode=False, listed=listed)
    assert codec.split(text) == tokens
    assert sorted(set(tokens)) == list(codec.tokens)
    assert codec.decode(codec.encode(text)).decode() == text


@pytest.mark.parametrize("rule, listed", [("smiles", ()), ("graphemes", ()), ("list", ("Cl", "Br", "CC", "CCB"))])
@pytest.mark.parametrize("size", [1, 2, 7, 60, 64, 65, 200])
def test_pieces_may_end_within_a_token(rule, listed, size):
    text = MOLECULES * 30 + f"e{ACCENT * 200}a{ACCENT}" + "[" + "x" * LONGEST + "]" + MOLECULES
    codec = codec_of(text, rule, listed=listed)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    encoded = np.concatenate(list(codec.encode_pieces(pieces)))
    np.testing.assert_array_equal(encoded, codec.encode(text))
    assert encoded.min() == BOUNDARY
    assert TokenCodec.of_texts([pieces], True, rule, listed) == codec


def test_what_is_unknown_and_what_is_rare():
    codec = codec_of(MOLECULES, "smiles")
    assert codec.encode("C[Se]\n").tolist() == [codec.tokens.index("C") + 1, UNKNOWN, BOUNDARY]
    assert codec.unknown_tokens("C[Se]C[Se]\n") == ["[Se]", "[Se]"]
    with pytest.raises(UsageError, match=r"never seen '\[Se\]', token 2 of the seed"):
        codec.encode_prompt("C[Se]")
    assert codec_of(MOLECULES, "smiles", min_count=3).tokens == ("C", "c")
    with pytest.raises(UsageError, match="no token occurs 99 times"):
        codec_of(MOLECULES, "smiles", min_count=99)


@pytest.mark.parametrize("rule", ["smiles", "graphemes", "list"])
def test_a_codec_of_tokens_survives_json(rule):
    codec = codec_of(MOLECULES, rule, listed=("Br", "nH"))
    assert codec_from_dict(json.loads(json.dumps(codec.to_dict()))) == codec
    more = codec.extended_with(codec_of("CCSi%99\n", rule))
    assert more.tokens[: len(codec.tokens)] == codec.tokens
    assert codec.ids_in(more).tolist() == list(range(len(codec)))
    with pytest.raises(ValueError, match="alike"):
        codec.ids_in(CharacterCodec("ab", True))


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": []},
        {"tokens": ["a", "a"]},
        {"tokens": ["a", ""]},
        {"tokens": ["a", 1]},
        {"tokens": ["a\n"]},
        {"tokens": ["\ud800"]},
        {"tokens": ["a" * (LONGEST + 1)]},
        {"tokens": "abc"},
        {"lines": 1},
        {"rule": "regex"},
        {"rule": ["list"]},
        {"more": 1},
    ],
    ids=str,
)
def test_damaged_tokens_are_refused(change):
    with pytest.raises(CheckpointError, match="damaged"):
        codec_from_dict(TokenCodec(("a", "bc"), True).to_dict() | change)


def test_the_list_of_tokens_is_read_from_a_file(tmp_path):
    (tmp_path / "list").write_text("Cl\r\nBr\n\nBr\n")
    (tmp_path / "text").write_text(MOLECULES * 20)
    given = {"as_bytes": False, "line_mode": True, "validation_fraction": 0.0, "random_seed": 1}
    corpus = load_corpus([str(tmp_path / "text")], tokens=str(tmp_path / "list"), **given)
    assert {"Cl", "Br", "[", "n"} < set(corpus.codec.tokens)
    assert corpus.codec.line_sizes(["CCBr", ""]).tolist() == [4, 1]
    for text, words in (("", "lists no tokens"), ("x" * 65, "64 characters")):
        with pytest.raises(UsageError, match=words):
            listed_tokens("list", text.split("\n"))
