"""A reader of safetensors files for files that may come from a stranger.

The safetensors library accepts a name twice. Here each size is compared with the size of the file before anything of
that size is allocated, and the JSON is limited in depth, in parts and in the length of its numbers.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
from typing import Any

import numpy as np

from rnn_cli.errors import CheckpointError

FLOAT32 = np.dtype("<f4")
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": FLOAT32,
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
}

FILE_LIMIT = 4 << 30  # bytes
HEADER_LIMIT = 32 << 20  # bytes; a vocabulary of all characters takes half of that
PARTS_LIMIT = 1 << 17  # names and elements in a piece of JSON
DEPTH_LIMIT = 32  # lists and objects of JSON inside each other
DIGITS_LIMIT = 40  # of an integer in JSON; one of 128 bits has 39
DIMENSIONS_LIMIT = 8  # of a tensor

Span = tuple[str, int, int, np.dtype[Any], tuple[int, ...]]
"""Where a tensor lies in the data: its name, first byte, end, type and shape."""


def read_header(file: io.BufferedReader) -> tuple[dict[str, Any], int]:
    """Return the header of an open file and the size of the data that follow, in bytes.

    The file holds the size of the header (8 bytes), the header (JSON) and the data of the tensors. Raises
    CheckpointError if it is not a regular file, too large, cut off within the header, or another kind of file.
    """
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError("it is not a regular file; give the file that rnn train has written")
    if status.st_size > FILE_LIMIT:
        raise CheckpointError(f"it has {status.st_size:,} bytes, and the limit is {FILE_LIMIT:,}")
    header_size = int.from_bytes(file.read(8), "little")
    data_size = status.st_size - 8 - header_size
    if status.st_size < 8 or header_size > HEADER_LIMIT:
        raise CheckpointError("it is not a safetensors file; give the file that rnn train has written")
    if data_size < 0:
        raise CheckpointError("it ends within its header; it was cut off: copy it or train it again")
    return parse_json(file.read(header_size)), data_size


def read_tensors(file: io.BufferedReader, entries: dict[str, Any], data_size: int) -> dict[str, np.ndarray]:
    """Return the tensors that the entries of a header describe; `file` stands at the end of its header.

    Raises CheckpointError unless they fill the data without a gap.
    """
    spans = find_spans(entries, data_size)
    data = np.empty(data_size, np.uint8)
    if file.readinto(data.data) != data_size:
        raise CheckpointError("it became shorter while it was read; try again")
    return {name: data[start:end].view(dtype).reshape(shape) for name, start, end, dtype, shape in spans}


def find_spans(entries: dict[str, Any], data_size: int) -> list[Span]:
    """Return where each tensor lies, in order. Raises CheckpointError unless they fill the data without a gap."""
    spans: list[Span] = []
    for name, entry in entries.items():
        match entry:
            case {"dtype": str(code), "shape": [*sizes], "data_offsets": [int(start), int(end)]} if (
                len(entry) == 3
                and code in DTYPES
                and len(sizes) <= DIMENSIONS_LIMIT
                and all(type(size) is int and size > 0 for size in sizes)
                and end - start == math.prod(sizes) * DTYPES[code].itemsize
            ):
                spans.append((name, start, end, DTYPES[code], tuple(sizes)))
            case _:
                raise CheckpointError(f"invalid header entry for tensor '{name}': {entry}")
    spans.sort(key=lambda span: span[1])
    position = 0
    for name, start, end, _, _ in spans:
        if start != position:
            raise CheckpointError(f"its tensor '{name}' does not begin where the one before ends")
        position = end
    if position != data_size:
        raise CheckpointError(
            f"its tensors have {position:,} bytes and the file holds {data_size:,}: "
            "it was cut off or altered; copy it or train it again"
        )
    return spans


def parse_json(text: str | bytes) -> dict[str, Any]:
    """Return an object of JSON with unique names and finite, short numbers; the depth and number of parts are limited.

    The number of parts is limited before parsing: each takes time, and many times its size in memory.
    """
    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        if text.count(",") + text.count(":") > PARTS_LIMIT:
            raise CheckpointError("its description has too many parts")
        parsed = json.loads(
            text,
            object_pairs_hook=unique,
            parse_int=bounded,
            parse_float=finite,
            parse_constant=finite,
        )
    except RecursionError as problem:
        raise CheckpointError("its description is nested too deeply") from problem
    except ValueError as problem:
        raise CheckpointError(f"its description is damaged ({problem})") from problem
    if not isinstance(parsed, dict):
        raise CheckpointError("its description is damaged (it is not a JSON object)")
    level: list[Any] = [parsed]
    for _ in range(DEPTH_LIMIT):
        children = (value.values() if isinstance(value, dict) else value for value in level)
        level = [child for values in children for child in values if isinstance(child, dict | list)]
    if level:
        raise CheckpointError("its description is nested too deeply")
    return parsed


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dictionary. Raises ValueError for a duplicate name."""
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name comes twice")
    return values


def bounded(digits: str) -> int:
    """Return an integer. Raises ValueError if it has more than DIGITS_LIMIT digits."""
    if len(digits) > DIGITS_LIMIT:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def finite(digits: str) -> float:
    """Return a float. Raises ValueError if it is not finite."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"a number is {value}")
    return value
