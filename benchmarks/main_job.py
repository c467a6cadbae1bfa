"""How good are the models that the commands make of real texts?

Needs tinyshakespeare (karpathy/char-rnn, data/tinyshakespeare/input.txt) and names.txt (karpathy/makemore). Scored is
text that neither training nor the choice of the best model has seen: the last tenth of tinyshakespeare (111,540
characters), and every tenth line of names.txt.

The last tenth of tinyshakespeare goes on with the play that the text before it ends with. So that text is trained on to
its end, with no part of it held out (--validation-fraction 0), and the last model is the one that is scored.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import options, report, table

TRAINED_CHARACTERS = 1_003_854
WHOLE = ("--validation-fraction", "0")


def rnn(folder: Path, *arguments: str) -> str:
    """Run a command in a folder and return what it prints."""
    command = [sys.executable, "-m", "rnn_cli", *arguments]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def measure(name: str, train: str, held_out: str, minutes: float, seed: int, *given: str) -> list[str]:
    """Train on one text, score the other, and return the row of the table."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "train.txt").write_text(train, "utf-8")
        (folder / "held-out.txt").write_text(held_out, "utf-8")
        started = time.monotonic()
        rnn(folder, "train", "train.txt", "--minutes", f"{minutes:g}", "--random-seed", str(seed), *given)
        seconds = time.monotonic() - started
        scores = json.loads(rnn(folder, "evaluate", "held-out.txt", "--json"))
        facts = json.loads(rnn(folder, "info", "--json"))
    model = f"{facts['cell']} {facts['layers']} x {facts['hidden_size']}"
    score = [f"{scores['nats_per_char']:.4f}", f"{scores['bits_per_char']:.3f}", f"{scores['top1_accuracy']:.1%}"]
    return [
        name,
        " ".join(["rnn train train.txt --minutes", f"{minutes:g}", *given]),
        model,
        f"{facts['steps']:,}",
        f"{seconds:.0f}",
        *score,
    ]


def main() -> None:
    """Measure what was asked for."""
    parser = options(__doc__ or "")
    parser.add_argument("--shakespeare", type=Path, help="tinyshakespeare")
    parser.add_argument("--names", type=Path, help="names.txt")
    parser.add_argument("--random-seed", type=int, default=1)
    chosen = parser.parse_args()
    minutes = 0.05 if chosen.quick else 1.0
    rows = []
    if chosen.names:
        lines = chosen.names.read_text("utf-8").splitlines(keepends=True)
        scored = "".join(lines[::10])
        trained = "".join(line for number, line in enumerate(lines) if number % 10)
        rows.append(measure("names", trained, scored, minutes, chosen.random_seed))
    if chosen.shakespeare:
        text = chosen.shakespeare.read_text("utf-8")
        trained, scored = text[:TRAINED_CHARACTERS], text[TRAINED_CHARACTERS:]
        rows.append(measure("tinyshakespeare", trained, scored, 3 * minutes, chosen.random_seed, *WHOLE))
    headers = ["text", "command", "model", "steps", "seconds", "nats/char", "bits/char", "right at first guess"]
    report("main-job", [table(headers, rows)], chosen.save)


if __name__ == "__main__":
    main()
