"""Is a model of words better than an interpolated 5-gram of the same vocabulary?

Of each text the last tenth of the lines is held out. `rnn train --words` reads the rest, with no option but a time and
a seed. `rnn evaluate --baselines` scores the held-out lines under the model and under a 5-gram with Kneser-Ney
smoothing that has counted the rest. To both, a word that the vocabulary lacks is `<unk>`.

Texts are given as they are to be read: words between blanks, a sentence on each line. The King James Bible is Debian's
package bible-kjv-text: `bible -f -l10000 'Genesis1:1-Revelation22:21'`, without the names of the verses.
"""

from __future__ import annotations

import sys
from pathlib import Path

from common import options, report, table
from runs import BASELINES, PARTS, Outcome, Split, read_text, run, try_out


def last_tenth(path: Path) -> Split:
    """Hold out the last tenth of the lines of a text."""
    lines = read_text(path).splitlines(keepends=True)
    cut = len(lines) - len(lines) // PARTS
    return Split(path.stem, "".join(lines[:cut]), "".join(lines[cut:]))


def row_of(split: Split, outcomes: list[Outcome]) -> list[str]:
    """Return the row of one text: the worst perplexity of several seeds beside that of the 5-gram."""
    worst = max(outcomes, key=lambda outcome: outcome.scores["perplexity"])
    facts, scores = worst.facts, worst.scores
    ours, ngram = scores["perplexity"], 2 ** scores["baselines"]["5-gram"]
    return [
        split.name,
        f"{len(split.train.split()):,}",
        f"{facts['symbols']:,}",
        f"{facts['cell']} {facts['layers']} x {facts['hidden_size']}",
        f"{facts['steps']:,}",
        f"{scores['unknown'] / scores['words']:.1%}",
        f"{ours:.1f}",
        f"{scores['perplexity_without_unknown']:.1f}",
        f"{ngram:.1f}",
        f"{1 - ours / ngram:+.1%}",
    ]


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__, timed=False)
    parser.add_argument("texts", nargs="*", type=Path, metavar="FILE", help="texts, a sentence on each line")
    parser.add_argument("--minutes", type=float, default=5, help="of training for each text and seed (default: 5)")
    parser.add_argument(
        "--seeds", type=int, default=1, help="runs of each text, of which the worst counts (default: 1)"
    )
    parser.add_argument("--train", nargs=1, default=[""], help="further options of rnn train, as one argument")
    chosen = parser.parse_args()
    given = ["--words", *chosen.train[0].split()]
    given += ["--steps", "2"] if chosen.quick else ["--minutes", str(chosen.minutes)]
    if not chosen.texts:
        parser.error("name a text")
    splits = [last_tenth(path) for path in chosen.texts]
    try_out("--words", scoring=BASELINES)
    rows = []
    for split in splits:
        print(f"{split.name} ...", file=sys.stderr, flush=True)
        seeds = range(1, chosen.seeds + 1)
        rows.append(row_of(split, [run(split, [*given, "--random-seed", str(seed)], BASELINES) for seed in seeds]))
    headers = [
        *("text", "words trained", "vocabulary", "model", "steps", "unknown"),
        *("perplexity", "without unknown", "5-gram", "lower by"),
    ]
    report("tasks-words", [table(headers, rows)], chosen.save)


if __name__ == "__main__":
    main()
