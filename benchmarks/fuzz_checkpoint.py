"""Fuzz the reader of model files, guided by coverage, until a file is neither read nor refused.

Needs atheris (pip install atheris). The arguments are those of libFuzzer. A directory keeps the inputs that it found:
`python benchmarks/fuzz_checkpoint.py -max_total_time=3600 -rss_limit_mb=1000 -timeout=2 corpus/`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("this needs atheris: pip install atheris")

with atheris.instrument_imports(include=["rnn_cli"]):
    from rnn_cli.checkpoint.checkpoint import load_checkpoint, to_bytes
    from rnn_cli.errors import CheckpointError

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "checkpoint"))
from test_checkpoint import make_checkpoint

PATH = Path(tempfile.mkdtemp()) / "model"
GOOD = to_bytes(make_checkpoint())
DATA = GOOD[8 + int.from_bytes(GOOD[:8], "little") :]


def load(data: bytes) -> None:
    """Load a file of these bytes, and a file whose header is these bytes and whose data are valid."""
    for content in (data, len(data).to_bytes(8, "little") + data + DATA):
        PATH.write_bytes(content)
        with suppress(CheckpointError):
            to_bytes(load_checkpoint(PATH))


def main() -> None:
    """Fuzz, starting from the header of a valid file."""
    seeds = tempfile.mkdtemp()
    (Path(seeds) / "header").write_bytes(GOOD[8 : len(GOOD) - len(DATA)])
    atheris.Setup([*sys.argv, *([] if any(map(os.path.isdir, sys.argv[1:])) else [tempfile.mkdtemp()]), seeds], load)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
