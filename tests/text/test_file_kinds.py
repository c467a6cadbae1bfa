"""Files that are not plain UTF-8: compressed ones are read, and for others a command is named."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from rnn_cli.errors import UsageError
from rnn_cli.text.corpus import load_corpus
from rnn_cli.text.documents import Document, decode_text, read_documents, read_pieces

NAMES = "".join(f"name{number}\n" for number in range(300)).encode()
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def load(*paths: Path, **options: object):
    """Return files as a corpus."""
    given = {"as_bytes": False, "line_mode": None, "validation_fraction": 0.0, "random_seed": 1, **options}
    return load_corpus([str(path) for path in paths], **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", COMPRESSORS)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_compressed_text_is_read_as_the_text(tmp_path: Path, ending: str, as_bytes: bool) -> None:
    path, plain = tmp_path / f"names.txt{ending}", tmp_path / "names.txt"
    path.write_bytes(COMPRESSORS[ending](NAMES))
    plain.write_bytes(NAMES)
    assert load(path, as_bytes=as_bytes).training.tolist() == load(plain, as_bytes=as_bytes).training.tolist()
    assert read_documents([str(path)]) == [Document(str(path), NAMES)]
    assert b"".join(piece for piece, _ in read_pieces(str(path))) == NAMES


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_a_name_alone_does_not_make_a_file_compressed(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"names{ending}"
    path.write_bytes(NAMES)
    assert read_documents([str(path)]) == [Document(str(path), NAMES)]


@pytest.mark.parametrize("ending", COMPRESSORS)
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_compressed_file_is_named(tmp_path: Path, ending: str, damage: str) -> None:
    path = tmp_path / f"names{ending}"
    data = bytearray(COMPRESSORS[ending](NAMES * 50))
    if damage == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"cannot read '.*names.*damaged"):
        read_documents([str(path)])
    with pytest.raises(UsageError, match=r"cannot read '.*names.*damaged"):
        load(path)


@pytest.mark.parametrize(
    "data, words",
    [
        (gzip.compress(NAMES), ["compressed by gzip", "gzip -dc FILE"]),
        (bz2.compress(NAMES), ["compressed by bzip2", "bzip2 -dc FILE"]),
        (lzma.compress(NAMES), ["compressed by xz", "xz -dc FILE"]),
        (b"\x28\xb5\x2f\xfd\x24\xc8\x01\xff", ["compressed by zstd", "zstd -dc FILE"]),
        (b"PK\x03\x04\x14\x00\xff\xfe", ["zip file", "unzip -p FILE"]),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", ["a PDF", "pdftotext FILE -"]),
        (b"%PDF-1.4\nall of it is ASCII", ["a PDF", "pdftotext FILE -"]),
        (b"{\\rtf1\\ansi text}", ["rich text", "pandoc -f rtf -t plain FILE"]),
        ("names\nof things\n".encode("utf-16-le") * 9, ["UTF-16LE", "iconv -f UTF-16LE -t UTF-8 FILE"]),
        ("names\nof things\n".encode("utf-16-be") * 9, ["UTF-16BE", "iconv -f UTF-16BE -t UTF-8 FILE"]),
        ("имена вещей\n".encode("utf-16-le") * 9, ["UTF-16LE", "iconv"]),
        ("ονόματα\n".encode("utf-16-be") * 9, ["UTF-16BE", "iconv"]),
        ("text".encode("utf-16"), ["UTF-16", "iconv -f UTF-16 "]),
        ("text".encode("utf-32"), ["UTF-32", "iconv -f UTF-32 "]),
    ],
)
def test_another_kind_of_file_is_named_with_a_command(data: bytes, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        decode_text(Document("file", data))
    for word in words:
        assert word in str(caught.value)
    assert "--bytes" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"\0" * 500, b"a\0" * 2, NAMES, b"\t\n" * 500, b"\r\n" * 99, "日本語のテキスト\n".encode() * 30, b"\x1b[0m" * 99],
)
def test_plain_text_with_odd_characters_is_read(data: bytes) -> None:
    assert decode_text(Document("file", data)) == data.decode()
