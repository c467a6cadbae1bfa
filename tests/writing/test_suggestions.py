"""Suggestions continue the text before the cursor as sampling does, for every kind of model."""

import re

import numpy as np
import pytest
from random_models import SYMBOLS, make_checkpoint, random_text

from rnn_cli.errors import UsageError
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import sample_texts
from rnn_cli.text.codecs import ByteCodec, CharacterCodec, ParagraphCodec, TokenCodec, WordCodec
from rnn_cli.text.fingerprint import Fingerprint
from rnn_cli.writing.suggestions import LINE, NEXT, PREVIOUS, Request, Suggester

WORDS = ("cat", "cats", "dog", "on", "sat", "the")
CODECS = {
    "lines": CharacterCodec(SYMBOLS, True),
    "stream": CharacterCodec(SYMBOLS + " \n", False),
    "bytes": ByteCodec(False),
    "byte lines": ByteCodec(True),
    "tokens": TokenCodec(("a", "ab", "b", "c", "\n"), False),
    "graphemes": TokenCodec(("e", "e\u0301", "x", " "), True, "graphemes"),
    "words": WordCodec(WORDS, True),
    "word stream": WordCodec(WORDS, False),
    "paragraphs": ParagraphCodec("abc\n", True),
}
TEXTS = {"words": "the cat ", "word stream": "the cat\nsat on ", "graphemes": "xe\u0301", "paragraphs": "ab\n\nca\nb"}
TEXTS |= {"tokens": "abc\nab", "lines": "ab\nfe", "byte lines": "ab\nfe\u00e9", "bytes": "ab\nfe\u00e9"}


def config_of(**values):
    return SamplingConfig(**{"length": 9, "temperature": 1.0, "random_seed": 5, **values})


def text_of(answer):
    return answer.suggestion.text


@pytest.mark.parametrize("name", CODECS)
def test_suggestions_are_what_sampling_writes(name):
    checkpoint, text = make_checkpoint(None, codec=CODECS[name]), TEXTS.get(name, "abc")
    config = config_of(temperature=0)
    found = Suggester(checkpoint, config).answer(Request(text, config)).suggestion
    own = text.split("\n")[-1] if CODECS[name].ends_at_newline else text.split("\n\n")[-1]
    prompt = own.encode() if CODECS[name].reads_bytes else own
    (written,) = sample_texts(checkpoint, prompt, config=config)
    written = written.decode().removeprefix(" ") if "word" in name else written.decode()
    assert written.startswith(found.text)
    assert len(written) - len(found.text) < 9 if set(" \n") & set(written) else written == found.text


@pytest.mark.parametrize("name", ["lines", "stream", "bytes", "byte lines", "graphemes"])
def test_what_is_typed_of_a_suggestion_leaves_its_rest(name):
    config, text = config_of(length=30, top_p=0.9), TEXTS.get(name, "abc")
    suggester = Suggester(make_checkpoint(None, codec=CODECS[name], boundary_bias=-9.0), config)
    found = text_of(suggester.answer(Request(text, config, index=2)))
    assert found
    for size in range(1, len(found)):
        rest = text_of(suggester.answer(Request(text + found[:size], config, index=2)))
        assert rest.startswith(found[size:]) or "\u0301" in found, (found, rest)


def test_forbidden_characters_are_not_suggested():
    config = config_of(forbid="abcd", length=200)
    suggester = Suggester(make_checkpoint(False), config)
    assert not set(text_of(suggester.answer(Request("ef", config)))) & set("abcd")
    with pytest.raises(UsageError, match="`forbid` leaves no"):
        Suggester(make_checkpoint(False), config_of(forbid=SYMBOLS))


def test_a_word_that_is_begun_is_completed():
    config = config_of(length=4)
    suggester = Suggester(make_checkpoint(None, codec=CODECS["words"]), config)
    for index in range(9):
        completed = text_of(suggester.answer(Request("the ca", config, index)))
        assert completed.split(" ")[0] in ("t", "ts")
    assert suggester.answer(Request("the zeb", config)).suggestion is None
    assert text_of(suggester.answer(Request("the zebra ", config, 3))).split(" ")[0] in WORDS  # after <unk>
    barred = config_of(length=4, forbid="cat cats")
    assert (
        Suggester(make_checkpoint(None, codec=CODECS["words"]), barred).answer(Request("ca", barred)).suggestion is None
    )


def test_alternatives_differ_and_come_back():
    config = config_of(length=5)
    suggester = Suggester(make_checkpoint(False), config)
    found = [suggester.answer(Request("ab", config)).suggestion]
    for _ in range(4):
        last = found[-1]
        found.append(suggester.answer(Request("ab", config, last.index, NEXT, last.text)).suggestion)
        assert found[-1].text != last.text
        assert found[-1].index > last.index
    last = found.pop()
    before = suggester.answer(Request("ab", config, last.index, PREVIOUS, last.text)).suggestion
    assert before.text == found[-1].text
    first = found[0]
    assert suggester.answer(Request("ab", config, first.index, PREVIOUS, first.text)).suggestion is None
    cold = config_of(temperature=0)
    found = suggester.answer(Request("ab", cold)).suggestion
    assert suggester.answer(Request("ab", cold, 0, NEXT, found.text)).suggestion is None


def test_each_line_has_suggestions_of_its_own():
    config = config_of(length=12)
    suggester = Suggester(make_checkpoint(True, boundary_bias=-9.0), config)
    assert len({text_of(suggester.answer(Request("\n" * lines, config))) for lines in range(6)}) > 3


def test_a_line_goes_up_to_its_end():
    config = config_of(length=3)
    suggester = Suggester(make_checkpoint(None, codec=CODECS["stream"]), config)
    lines = [text_of(suggester.answer(Request("ab", config, index, LINE))) for index in range(8)]
    assert all(line.count("\n") == line.endswith("\n") for line in lines)
    assert sum(line.endswith("\n") for line in lines) > 4
    assert max(map(len, lines)) > 3
    ended = (
        Suggester(make_checkpoint(True, boundary_bias=3.0), config).answer(Request("ab", config, 0, LINE)).suggestion
    )
    assert (ended.ended, "\n" in ended.text) == (True, False)


def test_a_last_word_that_is_cut_off_is_left_out():
    config = config_of(length=30)
    suggester = Suggester(make_checkpoint(None, codec=CharacterCodec("abcdefgh ", False)), config)
    whole = config_of(length=200)
    for index in range(5):
        found, longer = (text_of(suggester.answer(Request("ab", each, index))) for each in (config, whole))
        assert longer.startswith(found)
        assert longer[len(found)] == " "


def test_novel_lines_are_suggested():
    checkpoint = make_checkpoint(True, boundary_bias=2.0)
    plain, novel = config_of(length=20), config_of(length=20, novel=True)
    suggester = Suggester(checkpoint, plain)
    lines = {text_of(suggester.answer(Request("", plain, index))) for index in range(40)}
    ids = checkpoint.codec.frame(checkpoint.codec.encode("\n".join(sorted(lines))))
    checkpoint.record["fingerprint"] = Fingerprint.of(ids, line_mode=True).to_dict()
    suggester = Suggester(checkpoint, novel)
    found = [suggester.answer(Request("", novel, index)).suggestion for index in range(0, 40, 8)]
    assert any(found)
    assert not {each.text for each in found if each and each.ended} & lines
    with pytest.raises(UsageError, match="`novel` is for a model of lines"):
        Suggester(make_checkpoint(False), novel)


def test_copies_of_the_corpus_are_limited():
    checkpoint, text = make_checkpoint(False), random_text(3000, False)
    checkpoint.record["fingerprint"] = Fingerprint.of(
        checkpoint.codec.frame(checkpoint.codec.encode(text)), line_mode=False
    ).to_dict()
    config = config_of(length=300, max_copy=5)
    found = text_of(Suggester(checkpoint, config).answer(Request(text[:40], config)))
    runs = [found[start : start + 6] in text for start in range(len(found) - 5)]
    assert not any(runs)


def test_bits_are_those_of_evaluation():
    checkpoint, text = make_checkpoint(False), random_text(300, False)
    config = config_of()
    suggester = Suggester(checkpoint, config)
    answer = suggester.answer(Request(text, config))
    losses = suggester.reader.losses[:300]
    assert answer.bits.text == pytest.approx(float(np.mean(losses)) / np.log(2))
    assert answer.bits.last == pytest.approx(float(losses[-1]) / np.log(2))
    empty = Suggester(make_checkpoint(True), config).answer(Request("", config)).bits
    assert (empty.last, empty.line, empty.text) == (None, None, None)


def test_a_long_stream_is_read_from_near_its_end():
    config = config_of()
    suggester = Suggester(make_checkpoint(False), config)
    contexts = [suggester.contexts.of("abcd" * size) for size in (4096, 8191, 8192, 30_000)]
    assert [len(context.ids) for context in contexts] == [16_384, 32_764, 16_384, 21_696]


def test_unknown_characters_are_left_out():
    config = config_of()
    suggester = Suggester(make_checkpoint(False), config)
    with_unknown, without = (text_of(suggester.answer(Request(text, config))) for text in ("aZb\u0928c", "abc"))
    assert with_unknown == without


def test_a_slow_suggestion_begins_early(monkeypatch):
    monkeypatch.setattr("rnn_cli.writing.suggestions.FRAME", -1.0)
    config, begun = config_of(length=60), []
    suggester = Suggester(make_checkpoint(None, codec=ByteCodec(False)), config)
    found = text_of(suggester.answer(Request("ab", config), early=begun.append))
    (answer,) = begun
    assert found.startswith(text_of(answer))
    assert len(text_of(answer)) < len(found)


def test_a_suggestion_is_given_up_when_cancelled():
    config = config_of(length=2000)
    suggester = Suggester(make_checkpoint(False), config)
    looks = iter([False] * 5 + [True])
    assert suggester.answer(Request("abc", config), lambda: next(looks)) is None
    assert suggester.answer(Request("abc", config)) is not None


@pytest.mark.parametrize("name", ["lines", "stream", "bytes", "byte lines", "tokens"])
def test_suggestions_match_a_pattern(name):
    config = config_of(length=200, pattern="([ab]c|ab)*c?")
    suggester = Suggester(make_checkpoint(None, codec=CODECS[name], boundary_bias=-2.0), config)
    matches = re.compile(config.pattern)
    ends = 0
    for index in range(8):
        for text in ("", "a", "abac", "x\nb"):
            found = suggester.answer(Request(text, config, index)).suggestion
            line = (text + found.text).split("\n")[-1]
            rest = next(end for end in ("", "c", "b") if matches.fullmatch(line + end))
            ends += found.ended
            assert not (found.ended and rest), line
    assert ends
    assert suggester.answer(Request("cc", config)).suggestion is None
    assert suggester.answer(Request("ac" * 501, config)).suggestion is None  # longer than a line that matches may be


def test_what_is_typed_of_a_match_leaves_its_rest():
    config = config_of(length=30, pattern="[a-d]{8,12}e")
    suggester = Suggester(make_checkpoint(True, boundary_bias=-9.0), config)
    found = text_of(suggester.answer(Request("ab", config, index=2)))
    for size in range(len(found)):
        assert text_of(suggester.answer(Request("ab" + found[:size], config, index=2))) == found[size:]


def test_a_pattern_that_cannot_match_is_refused():
    for pattern, codec in (("[0-9]", CODECS["lines"]), ("a{1100}", CODECS["lines"]), ("a", CODECS["words"])):
        with pytest.raises(UsageError, match="`pattern`"):
            Suggester(make_checkpoint(None, codec=codec), config_of(pattern=pattern))
