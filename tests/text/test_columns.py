"""Columns of tables as texts: CSV, TSV and JSON lines."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from rnn_cli.errors import UsageError
from rnn_cli.text.columns import column_values
from rnn_cli.text.corpus import load_corpus

CSV = 'id,name,note\n1,"Anna, the first",x\n2,"two\nlines",y\n3,,z\n4,Bela\n'


@pytest.mark.parametrize(
    "file, content, column, values",
    [
        ("a.csv", CSV, "name", ["Anna, the first", "two\nlines", "Bela"]),
        ("a.csv", CSV, "2", ["name", "Anna, the first", "two\nlines", "Bela"]),
        ("a.csv", CSV.replace("\n", "\r\n"), "note", ["x", "y", "z"]),
        ("a.csv", "\ufeffname;age\nAnna;3\n", "name", ["Anna"]),
        ("a.tsv", "name\tage\nAnna, B\t3\n", "name", ["Anna, B"]),
        ("a.jsonl", '{"name": "Anna", "n": 3}\n\n{"n": null, "name": ""}\n', "name", ["Anna"]),
        ("a.jsonl", '{"n": 3}\n{"n": null}\n{"n": ["\u00e9"]}\n', "n", ["3", '["\u00e9"]']),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_values_of_a_column(
    tmp_path: Path, file: str, content: str, column: str, values: list[str], packed: bool
) -> None:
    path = tmp_path / (file + ".gz" * packed)
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    assert [*column_values(str(path), column)] == values


@pytest.mark.parametrize(
    "file, content, words",
    [
        ("a.csv", CSV, "no column 'text'; it has id, name, note"),
        ("a.csv", "", "no column 'text'; it has none"),
        ("a.jsonl", '{"text": "a"}\n{"name": "b"}\n', "no field 'text' in line 2; it has name"),
        ("a.jsonl", '{"text": "a"}\n[1]\n', "no field 'text' in line 2; it has no fields"),
        ("a.jsonl", '{"text": "a"}\nabc\n', "not JSON at line 2"),
        ("a.csv", b"text\n\xff\xff\n", "not valid UTF-8"),
    ],
)
def test_what_is_not_such_a_table_is_explained(tmp_path: Path, file: str, content: str | bytes, words: str) -> None:
    path = tmp_path / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=words):
        list(column_values(str(path), "text"))


def test_a_column_is_a_list_to_train_on(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(CSV)
    corpus = load_corpus(
        [str(path)], as_bytes=False, line_mode=None, validation_fraction=0.0, random_seed=1, column="name"
    )
    assert corpus.codec.decode(corpus.training[1:]).decode() == "Anna, the first\ntwo lines\nBela\n"
