"""How small do texts become, with nothing shared, beside other compressors?

`rnn compress` without a model codes by contexts that learn from the text itself, with --learn beside a network that
does so, too. The others are those of Python's standard library, of the packages brotli, zstandard, bzip3 and pyppmd,
and the program zpaq, if they are installed, at their strongest settings. Each result is decompressed again and
compared.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from common import options, report, table

from rnn_cli.cpu_count import usable_cores
from rnn_cli.language.compression import compress, decompress

Pair = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]


def contenders() -> Iterator[tuple[str, Pair]]:
    """Yield the name of each compressor that is there, and its two functions."""
    yield "rnn compress", (compress, decompress)
    threads = usable_cores()
    learning = partial(compress, learn=True, threads=threads), partial(decompress, threads=threads)
    yield "rnn compress --learn", learning
    yield "gzip -9", (lambda data: gzip.compress(data, 9), gzip.decompress)
    yield "bzip2 -9", (lambda data: bz2.compress(data, 9), bz2.decompress)
    yield "xz -9e", (lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME), lzma.decompress)
    for package, name in (
        ("zstandard", "zstd -22"),
        ("brotli", "brotli -11"),
        ("bzip3", "bzip3"),
        ("pyppmd", "7z PPMd"),
    ):
        try:
            module = importlib.import_module(package)
        except ImportError:
            continue
        yield name, functions_of(package, module)
    if shutil.which("zpaq"):
        yield "zpaq -m5", (zpaq, unzpaq)


def functions_of(package: str, module: object) -> Pair:
    """Return the two functions of a package, at its strongest setting."""
    pairs: dict[str, Callable[[], Pair]] = {
        "zstandard": lambda: (
            module.ZstdCompressor(level=22).compress,  # type: ignore[attr-defined]
            module.ZstdDecompressor().decompress,  # type: ignore[attr-defined]
        ),
        "brotli": lambda: (lambda data: module.compress(data, quality=11, lgwin=24), module.decompress),  # type: ignore[attr-defined]
        "bzip3": lambda: (lambda data: module.compress(data, block_size=16 << 20), module.decompress),  # type: ignore[attr-defined]
        "pyppmd": lambda: ppmd(module),
    }
    return pairs[package]()


def ppmd(module: object) -> Pair:
    """Return PPMd, variant H as in 7z, with the best of some orders."""

    def pack(data: bytes) -> bytes:
        found = []
        for order in (4, 5, 6, 8):
            encoder = module.Ppmd7Encoder(order, 256 << 20)  # type: ignore[attr-defined]
            found.append(bytes([order]) + encoder.encode(data) + encoder.flush())
        return len(data).to_bytes(8, "little") + min(found, key=len)

    def unpack(data: bytes) -> bytes:
        size = int.from_bytes(data[:8], "little")
        return bytes(module.Ppmd7Decoder(data[8], 256 << 20).decode(data[9:], size))  # type: ignore[attr-defined]

    return pack, unpack


def zpaq(data: bytes) -> bytes:
    """Return the archive that zpaq makes of a file."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "text").write_bytes(data)
        subprocess.run(["zpaq", "a", "archive.zpaq", "text", "-m5"], cwd=folder, check=True, capture_output=True)
        return (Path(folder) / "archive.zpaq").read_bytes()


def unzpaq(archive: bytes) -> bytes:
    """Return the file in an archive of zpaq."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "archive.zpaq").write_bytes(archive)
        subprocess.run(["zpaq", "x", "archive.zpaq"], cwd=folder, check=True, capture_output=True)
        return (Path(folder) / "text").read_bytes()


def measure(name: str, functions: Pair, data: bytes) -> list[str]:
    """Return the row of one compressor on one text."""
    begun = time.perf_counter()
    packed = functions[0](data)
    between = time.perf_counter()
    assert functions[1](packed) == data, name
    end = time.perf_counter()
    speeds = [f"{len(data) / 1000 / max(seconds, 1e-9):,.0f}" for seconds in (between - begun, end - between)]
    return [name, f"{len(packed):,}", f"{8 * len(packed) / len(data):.3f}", *speeds]


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__, timed=False)
    parser.add_argument("texts", nargs="+", type=Path, help="the files to compress")
    args = parser.parse_args()
    for learn in (False, True):
        decompress(compress(b"compiles the kernels", learn=learn))
    parts = []
    for path in args.texts:
        data = path.read_bytes()
        rows = [measure(name, functions, data) for name, functions in contenders()]
        rows.sort(key=lambda row: int(row[1].replace(",", "")))
        heads = ["compressor", "bytes", "bits/byte", "KB/s in", "KB/s out"]
        parts.append(f"{path.name}, {len(data):,} bytes\n\n{table(heads, rows)}")
    report("compression", parts, args.save)


if __name__ == "__main__":
    main()
