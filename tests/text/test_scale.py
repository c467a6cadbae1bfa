"""Corpora larger than memory: the same symbols as in memory, bounded memory, and files that change."""

import io
import mmap
import os
import random
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rnn_cli.errors import RnnError, UsageError
from rnn_cli.text import corpus as corpus_module
from rnn_cli.text import holdout as splitting
from rnn_cli.text import sources, spool
from rnn_cli.text.batches import StreamBatches
from rnn_cli.text.corpus import load_corpus
from rnn_cli.text.documents import decode_chunks
from rnn_cli.text.file_kinds import other_kind
from rnn_cli.text.sources import open_source
from rnn_cli.text.spool import Spool, pieces, release

OPTIONS = {"as_bytes": False, "line_mode": None, "validation_fraction": 0.1, "random_seed": 1}


def text_of(alphabet, size):
    """Return random characters of an alphabet, the same in each call."""
    return "".join(random.Random(size).choices(alphabet, k=size)).encode()


TEXTS = {
    "lines": text_of("abcdefg\n", 5000),
    "empty lines": text_of("ab\n\r", 3000),
    "stream": text_of("abcdefgh .,\n", 5000),
    "wide": text_of("a\u00e9\u4e2d\U0001f600\n", 3000),
    "many symbols": text_of("".join(map(chr, range(0x100, 0x300))) + "\n" * 50, 4000),
    "byte order mark": b"\xef\xbb\xbf" + text_of("ab c", 1000),
    "empty": b"",
}


def base_of(ids):
    """Return the object that owns the memory of an array."""
    while isinstance(ids, np.ndarray):
        ids = ids.base
    return ids.obj if isinstance(ids, memoryview) else ids


def make_small(monkeypatch, directory=None):
    """Keep nearly everything in files, and read it in the smallest pieces."""
    monkeypatch.setattr(spool, "IN_MEMORY", 64)
    monkeypatch.setattr(spool, "PIECE", 7)
    monkeypatch.setattr(sources, "CHUNK", 5)
    if directory is not None:
        monkeypatch.setattr(tempfile, "tempdir", str(directory))


@pytest.fixture
def files(tmp_path):
    """Write the texts to files; return their paths by name."""
    for name, data in TEXTS.items():
        (tmp_path / name).write_bytes(data)
    return {name: str(tmp_path / name) for name in TEXTS}


CASES = {
    "lines": (["lines"], [], {"line_mode": True}),
    "lines of several files": (["lines", "empty", "empty lines"], [], {"line_mode": True}),
    "lines of bytes": (["lines", "wide"], [], {"line_mode": True, "as_bytes": True}),
    "a stream": (["stream"], [], {"validation_fraction": 0.3}),
    "streams": (["stream", "wide", "empty", "byte order mark"], [], {"line_mode": False}),
    "bytes": (["byte order mark", "many symbols"], [], {"as_bytes": True, "line_mode": False}),
    "many symbols": (["many symbols"], [], {"line_mode": True, "validation_fraction": 0.5}),
    "nothing held out": (["lines"], [], {"line_mode": True, "validation_fraction": 0.0}),
    "validation files": (["stream"], ["wide", "lines"], {}),
    "lines to validate": (["lines"], ["wide", "empty lines"], {"line_mode": True}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_corpus_in_files_is_the_same_as_in_memory(case, files, tmp_path, monkeypatch):
    texts, held_out, options = CASES[case]
    paths = [files[name] for name in texts]
    options = {**OPTIONS, "validation_files": [files[name] for name in held_out], **options}
    usual = load_corpus(paths, **options)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    make_small(monkeypatch, temporary)
    small = load_corpus(paths, **options)
    assert not isinstance(base_of(usual.training), mmap.mmap)
    assert isinstance(base_of(small.training), mmap.mmap)
    assert list(temporary.iterdir()) == []  # its files have no names
    for ids, expected in ((small.training, usual.training), (small.validation, usual.validation)):
        assert (ids is None) == (expected is None)
        if ids is not None:
            assert ids.dtype == expected.dtype
            np.testing.assert_array_equal(ids, expected)
    assert (small.characters, small.validation_characters) == (usual.characters, usual.validation_characters)
    nothing = {"training": np.zeros(0), "validation": None}
    assert repr(replace(small, **nothing)) == repr(replace(usual, **nothing))


@pytest.mark.parametrize("line_mode", [True, False])
def test_windows_of_mapped_symbols_are_the_same(line_mode, files, monkeypatch):
    options = {**OPTIONS, "line_mode": line_mode}
    usual = load_corpus([files["lines"]], **options)
    make_small(monkeypatch)
    small = load_corpus([files["lines"]], **options)
    streams = [StreamBatches(corpus.training, line_mode, 5, 9, 1) for corpus in (small, usual)]
    for step in range(2 * streams[1].steps_per_epoch):
        for ours, expected in zip(*(stream.window(step) for stream in streams)):
            np.testing.assert_array_equal(ours, expected)


def test_many_lines_are_held_out_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr(splitting, "PIECE", 50)
    monkeypatch.setattr(spool, "PIECE", 50)
    path = tmp_path / "names"
    path.write_text("".join(f"{index}\n" for index in range(1000)))
    corpus = load_corpus([str(path)], **OPTIONS)
    held = [int(line) for line in corpus.codec.decode(corpus.validation[1:]).split()]
    kept = [int(line) for line in corpus.codec.decode(corpus.training[1:]).split()]
    assert corpus.split_reason == "100 of 1,000 lines, at random"
    assert np.bincount(np.array(held) // 50).tolist() == [5] * 20
    assert sorted(held + kept) == list(range(1000))
    assert (held, kept) == (sorted(held), sorted(kept))
    assert len({line % 50 for line in held}) > 20


# Memory

CHILD = """
import sys
from rnn_cli.text import spool
spool.IN_MEMORY = 1 << 20
from rnn_cli.text.corpus import load_corpus
from rnn_cli.text.batches import StreamBatches

def highest():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) << 10

path, lines = sys.argv[1], sys.argv[2] == "lines"
before = highest()
corpus = load_corpus([path], as_bytes=False, line_mode=lines, validation_fraction=0.5, random_seed=1)
for ids in corpus.training, corpus.validation:
    streams = StreamBatches(ids, lines, 64, 64, 1, in_memory=1 << 20)
    for step in range(0, streams.steps_per_epoch, 4):
        streams.window(step)
print(corpus.characters, corpus.validation_characters, highest() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["lines", "stream"])
def test_memory_does_not_grow_with_the_corpus(kind, tmp_path):
    path = tmp_path / "text"
    size = 48 << 20
    path.write_bytes(b"".join(b"some words in line %d\n" % number for number in range(size // 29)))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), kind], capture_output=True, text=True, check=True, env=os.environ
    )
    training, validation, grown = map(int, done.stdout.split())
    assert training + validation == path.stat().st_size
    assert grown < size // 2


def test_release_leaves_the_symbols_as_they_are(monkeypatch):
    monkeypatch.setattr(spool, "IN_MEMORY", 100)
    with Spool() as kept:
        kept.write(np.arange(10_000, dtype=np.uint16))
        ids = kept.array(np.dtype(np.uint16))
    assert isinstance(base_of(ids), mmap.mmap)
    assert not ids.flags.writeable
    release(ids[5:])
    np.testing.assert_array_equal(ids, np.arange(10_000))
    np.testing.assert_array_equal(np.concatenate(list(pieces(ids))), np.arange(10_000))


def test_a_full_disk_is_reported(tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    make_small(monkeypatch, tmp_path)
    path = tmp_path / "text"
    path.write_bytes(b"ab" * 5000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(RnnError) as caught:
            load_corpus([str(path)], **OPTIONS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    message = f"cannot keep a text of this size in {tmp_path} (File too large); free some space, or set TMPDIR"
    assert message in str(caught.value)
    assert caught.value.exit_code == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["text"]


# Reading


@given(st.one_of(st.binary(max_size=40), st.text(max_size=20).map(str.encode)), st.integers(1, 9))
def test_chunks_decode_as_the_whole(data, size):
    assume(other_kind(data[:size]) is None)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    try:
        expected = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        with pytest.raises(UsageError, match=rf"at byte {error.start + 4} \(line {line}\): ."):
            list(decode_chunks("text", chunks, 3, "do this"))
    else:
        assert "".join(decode_chunks("text", chunks)) == expected


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("name", ["byte order mark", "lines", "wide"])
def test_a_pipe_and_stdin_are_read_as_a_file_is(name, files, tmp_path, monkeypatch):
    expected = load_corpus([files[name]], **OPTIONS)
    make_small(monkeypatch)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(TEXTS[name],))
    writer.start()
    piped = load_corpus([str(pipe)], **OPTIONS)
    writer.join()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(TEXTS[name])))
    for corpus in (piped, load_corpus(["-"], **OPTIONS)):
        assert corpus.digest == expected.digest
        np.testing.assert_array_equal(corpus.training, expected.training)


def test_only_the_first_part_of_a_growing_file_is_read(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"abc")
    source = open_source(str(path))
    path.write_bytes(b"abcd")
    assert b"".join(source.chunks()) == b"abc"


def test_a_file_that_becomes_shorter_is_refused(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"abc")
    source = open_source(str(path))
    path.write_bytes(b"ab")
    with pytest.raises(UsageError, match="text was changed while it was read; train on a copy"):
        list(source.chunks())


def test_a_file_with_other_characters_later_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "text"
    path.write_bytes(b"abcabc")
    survey = corpus_module.read_codec

    def change(*arguments):
        codec = survey(*arguments)
        path.write_bytes(b"abcxyz")
        return codec

    monkeypatch.setattr(corpus_module, "read_codec", change)
    with pytest.raises(UsageError, match="text was changed while it was read"):
        load_corpus([str(path)], **OPTIONS)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system has no /proc")
def test_a_file_without_a_known_size_is_read():
    assert b"Pid:" in b"".join(open_source("/proc/self/status").chunks())
