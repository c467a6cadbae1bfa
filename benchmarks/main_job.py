"""How good are the models that `rnn train` makes of real texts in three minutes, with default settings?

Needs tinyshakespeare (karpathy/char-rnn, data/tinyshakespeare/input.txt) and names.txt (karpathy/makemore). The scored
text is never trained on: the last tenth of tinyshakespeare (111,540 characters), every tenth line of names.txt.

The last tenth of tinyshakespeare is also the validation text, which selects the best model of a run, as it does for
published figures. It is scored twice more: with at most 256 characters of context, and with dynamic evaluation. From
the names, `rnn train` holds out lines itself, so the scored lines select nothing.
"""

from __future__ import annotations

from common import options, report, table
from runs import Outcome, Split, names, run, shakespeare, text_options, try_out

CONTEXT = 256  # characters, for comparison with models of a fixed context
STREAM_SCORES = {  # the last columns, for a stream
    f"{CONTEXT} of context": ("--reset-every", str(CONTEXT)),
    "learning on": ("--adapt",),
}


def measure(split: Split, minutes: float, seeds: int, *given: str) -> list[list[str]]:
    """Train and score for each seed; return a row for each, the worst one marked."""
    length = ["--minutes", f"{minutes:g}"]
    more = STREAM_SCORES if split.name == "tinyshakespeare" else {}
    outcomes = [run(split, [*length, "--random-seed", str(seed), *given], more=more) for seed in range(1, seeds + 1)]
    worst = max(outcome.scores["nats_per_char"] for outcome in outcomes)
    command = " ".join(["rnn train train.txt", *length, *given])
    return [row(split.name, command, seed, outcome, worst) for seed, outcome in enumerate(outcomes, 1)]


def row(text: str, command: str, seed: int, outcome: Outcome, worst: float) -> list[str]:
    """Return a row of the table."""
    facts, scores = outcome.facts, outcome.scores
    nats = scores["nats_per_char"]
    return [
        text,
        command,
        f"{facts['cell']} {facts['layers']} x {facts['hidden_size']}",
        f"{seed}{', the worst' if nats == worst else ''}",
        f"{facts['steps']:,}",
        f"{facts['seconds']:.0f}",
        f"{nats:.4f}",
        f"{scores['bits_per_char']:.3f}",
        f"{scores['top1_accuracy']:.1%}",
        *(f"{outcome.more_scores[name]['nats_per_char']:.4f}" if outcome.more_scores else "" for name in STREAM_SCORES),
    ]


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__, timed=False)
    text_options(parser)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    minutes, seeds = (0.05, 1) if chosen.quick else (3, chosen.seeds)
    try_out()
    rows = []
    if chosen.names:
        rows += measure(names(chosen.names), minutes, seeds)
    if chosen.shakespeare:
        rows += measure(shakespeare(chosen.shakespeare), minutes, seeds, "--validation-file", "held-out.txt")
    headers = ["text", "command", "model", "seed", "steps", "seconds", "nats/char", "bits/char", "right at first guess"]
    report("main-job", [table([*headers, *(f"nats/char, {name}" for name in STREAM_SCORES)], rows)], chosen.save)


if __name__ == "__main__":
    main()
