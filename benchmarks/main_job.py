"""How good are the models that the commands make of real texts?

Needs tinyshakespeare (karpathy/char-rnn, data/tinyshakespeare/input.txt) and names.txt (karpathy/makemore). Scored is
text that neither training nor the choice of the best model has seen: the last tenth of tinyshakespeare (111,540
characters), and every tenth line of names.txt.

The last tenth of tinyshakespeare goes on with the play that the text before it ends with. So that text is trained on to
its end, with no part of it held out (--validation-fraction 0), and the last model is the one that is scored.
"""

from __future__ import annotations

from common import options, report, table
from runs import Split, names, run, shakespeare, text_options, try_out

WHOLE = ("--validation-fraction", "0")


def measure(split: Split, minutes: float, seed: int, *given: str) -> list[str]:
    """Train and score, and return the row of the table."""
    length = ["--minutes", f"{minutes:g}"]
    facts, scores, _ = run(split, [*length, "--random-seed", str(seed), *given])
    return [
        split.name,
        " ".join(["rnn train train.txt", *length, *given]),
        f"{facts['cell']} {facts['layers']} x {facts['hidden_size']}",
        f"{facts['steps']:,}",
        f"{facts['seconds']:.0f}",
        f"{scores['nats_per_char']:.4f}",
        f"{scores['bits_per_char']:.3f}",
        f"{scores['top1_accuracy']:.1%}",
    ]


def main() -> None:
    """Measure what was asked for."""
    parser = options(__doc__, timed=False)
    text_options(parser)
    parser.add_argument("--random-seed", type=int, default=1)
    chosen = parser.parse_args()
    minutes = 0.05 if chosen.quick else 1.0
    try_out()
    rows = []
    if chosen.names:
        rows.append(measure(names(chosen.names), minutes, chosen.random_seed))
    if chosen.shakespeare:
        rows.append(measure(shakespeare(chosen.shakespeare), 3 * minutes, chosen.random_seed, *WHOLE))
    headers = ["text", "command", "model", "steps", "seconds", "nats/char", "bits/char", "right at first guess"]
    report("main-job", [table(headers, rows)], chosen.save)


if __name__ == "__main__":
    main()
