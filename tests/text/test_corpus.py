"""Corpora: reading, line detection, hold-out split, and the messages of what is refused."""

import gzip
import io
import os
import sys
import textwrap
import threading
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from rnn_cli.errors import UsageError
from rnn_cli.text.codecs import ByteCodec, CharacterCodec
from rnn_cli.text.corpus import load_corpus
from rnn_cli.text.documents import Document, decode_text, read_documents, text_for
from rnn_cli.text.line_detection import looks_like_lines

NAMES = "".join(f"name{number}\n" for number in range(200))
WRAPPED = (
    textwrap.fill("The words of a story that is told at length and without an end fill its lines. " * 60, 72) + "\n"
)
VERSE = "One short line,\nand another one;\n\nthen a third.\n" * 40


@pytest.fixture
def load(tmp_path):
    """Return a function that writes texts to files and loads them as a corpus."""

    def load_texts(*texts, validation=(), **options):
        def write(kind, contents):
            paths = []
            for index, text in enumerate(contents):
                path = tmp_path / f"{kind}{index}.txt"
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
                paths.append(str(path))
            return paths

        given = {"as_bytes": False, "line_mode": None, "validation_fraction": 0.1, "random_seed": 1, **options}
        return load_corpus(write("text", texts), validation_files=write("held", validation), **given)

    return load_texts


def decoded(corpus, ids):
    """Return symbols as text, with a bar for each boundary of a stream."""
    codec = corpus.codec
    if codec.line_mode:
        assert ids[0] == 0
        return codec.decode(ids[1:]).decode()
    return b"".join(codec.decode([symbol]) or b"|" for symbol in ids).decode()


# Reading


def test_a_byte_order_mark_is_dropped_and_crlf_kept(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\xef\xbb\xbf")
    assert read_documents([str(path)]) == [Document(str(path), b"a\r\nb\xef\xbb\xbf", 3)]


def test_a_dash_is_stdin_once(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"abc")))
    assert read_documents(["-"]) == [Document("stdin", b"abc")]
    with pytest.raises(UsageError, match="only once"):
        read_documents(["-", "-"])


def test_stdin_for_training_and_for_validation_is_refused():
    options = {"as_bytes": False, "line_mode": None, "validation_fraction": 0.1, "random_seed": 1}
    with pytest.raises(UsageError, match="only once"):
        load_corpus(["-"], validation_files=["-"], **options)


def test_a_closed_stdin_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="stdin is closed"):
        read_documents(["-"])


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read '.*nowhere' \(No such file.*check its name"):
        read_documents([str(tmp_path / "nowhere")])
    with pytest.raises(UsageError, match=r"cannot read .*directory\); give the files in it"):
        read_documents([str(tmp_path)])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_read_to_its_end(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    data = b"x" * 200_000  # more than a pipe holds
    writer = threading.Thread(target=path.write_bytes, args=(data,))
    writer.start()
    assert read_documents([str(path)])[0].data == data
    writer.join()


def test_invalid_utf8_is_refused_with_its_position():
    data = b"a\n" * 1000 + b"b\xffc"
    with pytest.raises(UsageError) as caught:
        decode_text(Document("corpus.txt", data))
    problem, advice = str(caught.value).split(": ")
    assert problem == "corpus.txt is not valid UTF-8 at byte 2,002 (line 1,001)"
    assert advice == "found 0xff; convert it to UTF-8 or use `as_bytes=True`"
    with pytest.raises(UsageError, match="byte 2,005 "):  # as the file counts them
        decode_text(Document("corpus.txt", data, 3))


@pytest.mark.parametrize("encoding, name", [("utf-16", "UTF-16"), ("utf-32", "UTF-32")])
def test_other_encodings_are_recognised_by_their_mark(encoding, name):
    with pytest.raises(UsageError, match=f"it begins as {name} does"):
        decode_text(Document("corpus.txt", "text".encode(encoding)))


def test_surrogates_are_not_utf8():
    with pytest.raises(UsageError, match="byte 1 "):
        decode_text(Document("corpus.txt", b"\xed\xa0\x80"))


def test_text_for_is_what_the_codec_encodes():
    assert text_for(ByteCodec(False), Document("seed", b"\xff")) == b"\xff"
    assert text_for(CharacterCodec.of_texts("a", False), Document("seed", b"\xc3\xa9")) == "\u00e9"
    with pytest.raises(UsageError, match=r"convert it to UTF-8$"):
        text_for(CharacterCodec.of_texts("a", False), Document("seed", b"\xff"))


# Detection


@pytest.mark.parametrize(
    "text, line_mode, reason",
    [
        (NAMES, True, "at most 7 characters"),
        (NAMES * 8 + "x" * 124 + "\n", True, "124 characters at most, 7 as a rule"),
        ("".join(f"name{n}\n" + "\n" * (n % 20 == 0) for n in range(1000)), True, "5% of them empty"),
        ("".join(f"name{n}\n" + "\n" * (n % 5 == 0) for n in range(1000)), False, "17% of its lines are empty"),
        ("Is this a headline of the day?\nThe mayor opens a new bridge\n" * 40, True, "0% of which end in a mark"),
        ("Acme Inc.\nBread Ltd.\nSmith & Sons\n" * 40, True, "0% of which"),
        ("".join(f"Firm {n} and Sons Inc.\n" for n in range(90)), True, "0% of which"),
        (WRAPPED, False, "wrapped at "),
        (WRAPPED.replace("\n", " "), False, "a line of 4,740"),
        (">one\nACGTACGTAA\nACGT\n>two\nGGGTTTACAC\nCC\n" * 9, False, "FASTA; awk '/^>/"),
        (">one\na line that is quoted\n" * 9, True, "at most 21"),
        ("def f(x):\n    y = x + 1\n    return y\n" * 30, False, "67% of its lines are indented"),
        ("CC(=O)Oc1ccccc1C(=O)O\n" * 200 + "C" * 300 + "\n", True, "300 characters at most, 21 as a rule"),
        (NAMES.replace("\n", "\r\n"), True, "at most 7 characters"),
        (NAMES.removesuffix("\n"), True, "at most 7 characters"),
        ("\u00e9t\u00e9\n" * 5, True, "at most 3 characters"),
        (VERSE, False, "25% of its lines are empty"),
        (VERSE.replace("\n\n", "\n"), False, "100% of its lines end in a punctuation mark"),
        ("雨がふる。\n" * 9, False, "100% of its lines end in a punctuation mark"),
        ("वह गया।\n" * 9, False, "100% of its lines end in a punctuation mark"),
        ('"I went home."\n' * 9, False, "100% of its lines end in a punctuation mark"),
        ("a\n" * 75 + "a b c.\n" * 25, False, "25% of its lines end in a punctuation mark"),
        ("a\n" * 76 + "a b c.\n" * 24, True, "24% of which end in a mark"),
        ("a\n" * 99 + "\n", True, "at most 1 characters"),
        ("a\n" * 90 + "\n" * 10, True, "10% of them empty"),
        ("a\n" * 89 + "\n" * 11, False, "11% of its lines are empty"),
        ("a\n" * 9 + "b" * 120, True, "at most 120 characters"),
        ("a\n" * 9 + "b" * 121, False, "a line of 121 characters"),
        ("namaskar", True, "one line of 8 characters"),
        ("Hello, world.\n", True, "one line of 13 characters"),
        ("b" * 121, False, "a line of 121 characters"),
        ("", False, "one line of 0 characters"),
        ("\n", False, "one line of 0 characters"),
        ("\n \n\n", False, "all its lines are empty"),
        ("b" * 3_000_000, False, "characters"),
    ],
)
def test_lines_and_streams_are_detected(text, line_mode, reason):
    for kind in (text, text.encode()) if text.isascii() else (text,):
        verdict, why = looks_like_lines(kind)
        assert verdict is line_mode
        assert reason in why


def test_only_the_first_part_of_a_long_text_is_examined():
    assert looks_like_lines("abc\n" * 300_000 + "x" * 1000)[0]
    assert looks_like_lines("x" * 1000 + "\n" + "abc\n" * 300_000)[0]  # one long line among many is no reason
    assert not looks_like_lines(("x" * 1000 + "\n" + "abc\n" * 9) * 30_000)[0]


def test_one_document_without_lines_makes_all_a_stream(load):
    corpus = load(NAMES, "", VERSE)
    assert not corpus.codec.line_mode
    assert "empty" in corpus.mode_reason


def test_a_file_that_is_named_twice_is_read_once_in_a_stream(load, tmp_path):
    text = "".join(map(chr, np.random.default_rng(1).integers(97, 123, 5000)))
    once, twice = load(text, line_mode=False), load(text, text, line_mode=False)
    assert np.array_equal(once.training, twice.training)
    assert np.array_equal(once.validation, twice.validation)
    assert twice.remarks == (f"{tmp_path}/text1.txt is a copy of {tmp_path}/text0.txt, and read once",)
    both = load(NAMES, NAMES, line_mode=True)
    assert both.characters + both.validation_characters == 2 * len(NAMES)
    assert not set(decoded(both, both.training).split()) & set(decoded(both, both.validation).split())
    assert "200 of 400 lines are repeats" in both.split_reason


def test_a_validation_file_that_was_trained_on_is_said(load):
    corpus = load(NAMES, validation=["new1\n" + NAMES[:40]], line_mode=True)
    assert corpus.split_reason == "held0.txt, but 6 of its 8 lines are in the training text too"
    text = "".join(map(chr, np.random.default_rng(1).integers(97, 123, 5000)))
    corpus = load(text, validation=[text[1000:3000]], line_mode=False)
    assert corpus.split_reason == "held0.txt, but 16 of 16 samples of it are in the training text word for word"


@pytest.mark.parametrize(
    "text, command",
    [
        ("one\rtwo\rthree\r" * 20, "tr '\\r' '\\n'"),
        ("one\r\ntwo\r\nthree\r\n" * 20, "tr -d '\\r'"),
        (NAMES + "\ufeff" + NAMES, "sed 's/\\xEF\\xBB\\xBF//g'"),
    ],
)
@pytest.mark.parametrize("line_mode", [True, False])
def test_odd_characters_are_named_with_the_command_that_helps(load, text, command, line_mode):
    (remark,) = load(text, line_mode=line_mode).remarks
    assert command in remark


def test_the_text_files_of_a_directory_are_read_in_order(tmp_path):
    poems = tmp_path / "poems"
    (poems / "old").mkdir(parents=True)
    (poems / ".git").mkdir()
    for name, data in {
        "b.txt": b"second",
        "a.txt": b"first ",
        "old/z.txt.gz": gzip.compress(b" third"),
        "model.safetensors": b"\x10\0\0\0{}",
        "image": b"\xff\xd8\xff",
        "empty": b"",
        ".hidden": b"hidden",
        ".git/config": b"hidden",
    }.items():
        (poems / name).write_bytes(data)
    options = {"as_bytes": False, "line_mode": False, "validation_fraction": 0.0, "random_seed": 1}
    corpus = load_corpus([str(poems)], **options)
    assert decoded(corpus, corpus.training) == "|first |second| third"
    assert corpus.name == "a.txt, b.txt, z.txt.gz"
    assert corpus.remarks == ("3 files that are not text are left out",)
    with pytest.raises(UsageError, match=r"no text file in the directory '.*\.git'"):
        load_corpus([str(make_empty(tmp_path))], **options)


def make_empty(tmp_path):
    """Return an empty directory, whose name is hidden."""
    (tmp_path / ".git").mkdir()
    return tmp_path / ".git"


# Symbols


def test_a_stream_has_a_boundary_before_each_document(load):
    corpus = load("ab\ncd\n", "ef", line_mode=False, validation_fraction=0.0)
    assert decoded(corpus, corpus.training) == "|ab\ncd\n|ef"
    assert corpus.characters == 8
    assert corpus.name == "text0.txt, text1.txt"
    assert (corpus.validation, corpus.validation_characters) == (None, 0)
    assert "as requested" in corpus.mode_reason
    assert "as requested" in corpus.split_reason


def test_lines_have_a_boundary_before_between_and_after(load):
    corpus = load("ab\n\n\nc", "\nd\n", line_mode=True)
    assert corpus.codec.symbols == "abcd"
    assert corpus.training.tolist() == [0, 1, 2, 0, 3, 0, 4, 0]
    assert corpus.dropped_lines == 3
    assert corpus.characters == 7
    assert "fewer than 20 lines" in corpus.split_reason


def test_ids_take_the_smallest_type(load):
    assert load("ab").training.dtype == np.uint8
    assert load("".join(map(chr, range(0x100, 0x1FF))), line_mode=False).training.dtype == np.uint8
    assert load("".join(map(chr, range(0x100, 0x200))), line_mode=False).training.dtype == np.uint16
    assert load(b"\xff\xfe", as_bytes=True).training.tolist() == [0, 256, 255, 0]


def test_many_names_are_cut_short(load):
    assert load(*["ab"] * 5).name == "text0.txt, text1.txt, text2.txt, 2 more"


# Hold-out split


def test_the_last_part_of_a_stream_is_held_out(load):
    text = "".join(chr(97 + index % 26) for index in range(2000))
    corpus = load(text, line_mode=False, validation_fraction=0.25)
    assert decoded(corpus, corpus.training) == "|" + text[:1500]
    assert decoded(corpus, corpus.validation) == "|" + text[1500:]
    assert (corpus.characters, corpus.validation_characters) == (1500, 500)
    assert corpus.split_reason.startswith("the last 500 of 2,000 characters")


@pytest.mark.parametrize("size, fraction, held_out", [(49_000, None, 0), (51_000, None, 5100), (49_000, 0.1, 4900)])
def test_nothing_of_a_short_stream_is_held_out_by_default(load, size, fraction, held_out):
    corpus = load("ab" * (size // 2), line_mode=False, validation_fraction=fraction)
    assert (corpus.characters, corpus.validation_characters) == (size - held_out, held_out)
    assert ("too short" in corpus.split_reason) == (held_out == 0)
    lines = "".join(f"{number}\n" for number in range(10, 100))
    assert load(lines, line_mode=True, validation_fraction=fraction).validation_characters == 27


def test_a_held_out_document_has_one_boundary(load):
    corpus = load("a" * 898, "b" * 100, line_mode=False, validation_fraction=0.101)
    assert decoded(corpus, corpus.training) == "|" + "a" * 898
    assert decoded(corpus, corpus.validation) == "|" + "b" * 100


def test_a_small_stream_is_not_split(load):
    assert load("ab" * 495, line_mode=False).validation is None
    assert load("ab" * 505, line_mode=False).validation_characters == 101


def test_a_random_tenth_of_the_lines_is_held_out_in_order(load):
    corpus = load(NAMES)
    training, validation = (decoded(corpus, part).splitlines() for part in (corpus.training, corpus.validation))
    names = NAMES.splitlines()
    assert len(validation) == 20
    assert Counter(training + validation) == Counter(names)
    assert training == sorted(training, key=names.index)
    assert validation == sorted(validation, key=names.index)
    assert validation != names[-20:]
    assert corpus.split_reason == "20 of 200 lines, at random"
    assert corpus.characters + corpus.validation_characters == len(NAMES)


def test_the_split_depends_on_the_seed_and_the_digest_does_not(load):
    first, again, other = load(NAMES), load(NAMES), load(NAMES, random_seed=2)
    assert first.validation.tolist() == again.validation.tolist() != other.validation.tolist()
    assert first.digest == other.digest


def test_19_lines_are_not_split_and_20_are(load):
    lines = [f"{letter}b\n" for letter in "abcdefghijklmnopqrst"]
    assert load("".join(lines[:19])).validation is None
    assert load("".join(lines)).validation_characters == 6
    assert load("".join(lines[:19] * 2)).validation is None


def test_validation_files_leave_the_whole_corpus(load):
    corpus = load("abc\n" * 30, validation=["ab\u00e9\nzz\nc\n"], random_seed=3)
    assert corpus.codec.symbols == "abc"
    assert corpus.characters == 120
    assert decoded(corpus, corpus.validation) == "ab\nc\n"
    assert corpus.validation_unknown == 3
    assert corpus.split_reason == "held0.txt"


def test_a_validation_file_of_unknown_characters_is_refused(load):
    with pytest.raises(UsageError, match=r"held0\.txt has no character that is in text0\.txt"):
        load("abc\n" * 30, validation=["xyz"])


@pytest.mark.parametrize("fraction", [-0.1, 0.95, float("nan")])
def test_a_fraction_out_of_range_is_refused(load, fraction):
    with pytest.raises(UsageError, match="`validation_fraction` must be"):
        load(NAMES, validation_fraction=fraction)


def test_the_digest_depends_on_ends_and_uses_of_documents(load):
    corpora = [load("abcd"), load("ab", "cd"), load("abc", "d"), load("abce"), load("ab", "ba")]
    corpora.append(load("ab", validation=["ba"]))
    assert len({corpus.digest for corpus in corpora}) == len(corpora)


# Texts with nothing to learn


@pytest.mark.parametrize(
    "texts, line_mode, message",
    [
        ([""], None, "is empty; give a text with at least two characters"),
        (["", "\ufeff"], None, "is empty"),
        (["\n\n"], True, "is empty"),
        (["a"], False, "has a single character, so there is nothing to predict"),
    ],
)
def test_nothing_to_predict_is_refused(load, texts, line_mode, message):
    with pytest.raises(UsageError, match=message):
        load(*texts, line_mode=line_mode)


def test_the_smallest_texts_are_accepted(load):
    assert load("a", line_mode=True).training.tolist() == [0, 1, 0]
    assert load("aa", line_mode=False).training.tolist() == [0, 1, 1]
    assert load("a").codec.line_mode


@pytest.mark.parametrize("as_bytes", [False, True], ids=["characters", "bytes"])
def test_a_byte_order_mark_is_not_learned(tmp_path, as_bytes):
    (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbfabc abd")
    corpus = load_corpus(
        [str(tmp_path / "marked.txt")],
        as_bytes=as_bytes, line_mode=False, validation_fraction=0.0, random_seed=1,
    )  # fmt: skip
    assert corpus.codec.decode(corpus.training) == b"abc abd"
