"""One column of a table as a text: CSV, TSV and JSON lines, each value a line, by Python's own readers."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from rnn_cli.errors import UsageError
from rnn_cli.text.documents import name_of, reading
from rnn_cli.text.file_kinds import COMPRESSED

JSON_ENDINGS = (".jsonl", ".ndjson", ".jsonlines")
DELIMITERS = ",;\t|"


def column_values(path: str, column: str) -> Iterator[str]:
    """Yield the values of a column, or of a field of JSON lines, without those that are empty.

    A column has a name or, from 1, a number. Raises UsageError, with the line or the columns that there are, for a file
    that has no such column or is not a table.
    """
    root, ending = os.path.splitext(path.lower())
    if ending in COMPRESSED:
        ending = os.path.splitext(root)[1]
    with reading(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        try:
            values = json_values if ending in JSON_ENDINGS else table_values
            yield from values(name_of(path), text, column, ending)
        except UnicodeDecodeError as error:
            raise UsageError(f"{name_of(path)} is not valid UTF-8 ({error.reason}); convert it to UTF-8") from error
        finally:
            text.detach()


def table_values(name: str, file: TextIO, column: str, ending: str) -> Iterator[str]:
    """Yield the values of a column of CSV or TSV."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    head = file.readline()
    delimiter = "\t" if ending == ".tsv" else max(DELIMITERS, key=head.count)
    (header,) = csv.reader([head], delimiter=delimiter) if head else [[]]
    if column in header:
        index = header.index(column)
    elif column.isascii() and column.isdigit() and 1 <= int(column) <= len(header):
        index = int(column) - 1
        if header[index]:
            yield header[index]  # a table without a header
    else:
        raise UsageError(f"{name} has no column '{column}'; it has {', '.join(header) or 'none'}")
    reader = csv.reader(file, delimiter=delimiter)
    try:
        for row in reader:
            if len(row) > index and row[index]:
                yield row[index]
    except csv.Error as error:
        raise UsageError(f"{name} is not a table at line {reader.line_num + 1:,} ({error}); mend that line") from error


def json_values(name: str, file: TextIO, column: str, ending: str) -> Iterator[str]:
    """Yield the values of a field of JSON lines."""
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{name} is not JSON at line {number:,}; write an object on each line") from error
        if not isinstance(row, dict) or column not in row:
            fields = ", ".join(map(str, row)) if isinstance(row, dict) else "no fields"
            raise UsageError(f"{name} has no field '{column}' in line {number:,}; it has {fields or 'none'}")
        value = row[column]
        if value is not None and value != "":
            yield value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
