"""How good are the models that `rnn train` makes of real texts in three minutes, with nothing chosen by hand?

Needs tinyshakespeare (karpathy/char-rnn, data/tinyshakespeare/input.txt) and names.txt (karpathy/makemore). Scored is
text that is never trained on: the last tenth of tinyshakespeare (111,540 characters), every tenth line of names.txt.

The last tenth of tinyshakespeare goes on with the play that the text before it ends with, so it is named as the text to
validate on, and which of the models of a run is the best is read from it. It is scored twice more: with a past of 256
characters at most, and by a model that goes on learning from what it has scored. Of the names, `rnn train` holds out
lines of its own, and nothing at all has seen those that are scored.
"""

from __future__ import annotations

from common import options, report, table
from runs import Outcome, Split, names, run, shakespeare, text_options, try_out

CONTEXT = 256  # characters of the past that models of a fixed context have
STREAM_SCORES = {  # the last columns, for a stream
    f"{CONTEXT} of context": ("--reset-every", str(CONTEXT)),
    "learning on": ("--adapt",),
}


def measure(split: Split, minutes: float, seeds: int, *given: str) -> list[list[str]]:
    """Train and score for each seed, and return their rows, the worst one marked."""
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
    """Measure what was asked for."""
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
