"""What does each regulariser of `rnn train` gain?

Each set of options trains on the same text, for the same length, with the same seeds; the sets take turns within each
seed. For all sets, the model that is best on the held-out text is scored. The gain of a set is the loss of the first
set minus its own, averaged over seeds; the spread is that of its losses.

With --characters the texts are short passages instead. `rnn train` chooses the length, and the held-out text selects
nothing.

Without --recipes the first set is the default of `rnn train`, and each other set changes one option. A file of recipes
has a line `name: options` for each set. Needs tinyshakespeare or names.txt, of which the text of published figures is
not used, or other texts, of which the last tenth is held out, at most 200,000 characters.
"""

from __future__ import annotations

import itertools
import shlex
import statistics
import sys
from pathlib import Path

from common import options, report, table
from runs import Split, development_splits, passages, read_text, run, split_end, text_options, try_out

from rnn_cli.bits import BITS_PER_NAT

VALIDATED = ("--validation-file", "held-out.txt")
CHANGES = """
as chosen:
no dropout: --dropout 0
DropConnect: --recurrent-dropout 0.2
weight decay: --weight-decay 0.03
average: --average 0.2
resets: --reset-chance 0.01
"""
SHORT_CHANGES = """
as chosen:
no augmentation: --augment 0
"""


def read_recipes(text: str) -> dict[str, list[str]]:
    """Read a line `name: options` for each set; empty lines and lines that begin with # are skipped."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {name.strip(): shlex.split(given) for name, _, given in (line.partition(":") for line in lines)}


def measure(split: Split, recipes: dict[str, list[str]], given_to_all: list[str], seeds: int) -> list[list[str]]:
    """Return the rows of one text."""
    losses: dict[str, list[float]] = {name: [] for name in recipes}
    steps: dict[str, list[int]] = {name: [] for name in recipes}
    for seed, (name, given) in itertools.product(range(1, seeds + 1), recipes.items()):
        outcome = run(split, [*given_to_all, *given, "--random-seed", str(seed)])
        losses[name].append(outcome.scores["bits_per_char"] / BITS_PER_NAT)
        steps[name].append(outcome.facts["steps"])
        print(f"{split.name}, {name}, seed {seed}: {losses[name][-1]:.4f}", file=sys.stderr, flush=True)
    first = next(iter(losses.values()))
    rows = []
    for name, found in losses.items():
        gains = [before - after for before, after in zip(first, found)]
        spread = max(found) - min(found)
        values = [statistics.mean(found), spread, max(found), statistics.mean(gains), min(gains)]
        numbers = [f"{value:.4f}" for value in values]
        rows.append([split.name, name, f"{statistics.mean(steps[name]):,.0f}", *numbers])
    return rows


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__, timed=False)
    text_options(parser)
    parser.add_argument("--text", type=Path, nargs="+", default=[], help="further texts")
    parser.add_argument("--recipes", type=Path, help="a file with a line `name: options` for each set")
    parser.add_argument("--characters", type=int, help="cut the text to passages of this length")
    parser.add_argument("--minutes", type=float, help="the length of each run (default: 3, for short texts as chosen)")
    parser.add_argument("--steps", type=int, help="the length in steps instead; repeats exactly")
    parser.add_argument("--epochs", type=int, help="the length in passes over the text instead")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each set (default: 3)")
    parser.add_argument("--with", dest="more", default="", help="more options of `rnn train`, for all sets")
    chosen = parser.parse_args()
    changes = SHORT_CHANGES if chosen.characters else CHANGES
    recipes = read_recipes(chosen.recipes.read_text("utf-8") if chosen.recipes else changes)
    length = [] if chosen.characters and not chosen.minutes else ["--minutes", f"{chosen.minutes or 3:g}"]
    if chosen.epochs:
        length = ["--epochs", str(chosen.epochs)]
    if chosen.steps or chosen.quick:
        length = ["--steps", "2" if chosen.quick else str(chosen.steps)]
    given_to_all = [*([] if chosen.characters else VALIDATED), *length, *shlex.split(chosen.more)]
    for given in recipes.values():
        try_out(*given)
    others = [split_end(path.stem, read_text(path)) for path in chosen.text]
    splits, title = [*development_splits(chosen), *others], ["recipes"]
    title += [split.name for split in splits]
    if chosen.characters:
        title.append(f"{chosen.characters}")
        splits = [passage for split in splits for passage in passages(split, chosen.characters)]
    rows = [row for split in splits for row in measure(split, recipes, given_to_all, chosen.seeds)]
    headers = ["text", "options", "steps", "mean nats/char", "spread", "worst", "mean gain", "least gain"]
    listing = "\n".join(f"- {name}: `{shlex.join(given)}`" for name, given in recipes.items())
    note = f"Each run: `{shlex.join(['rnn', 'train', 'train.txt', *given_to_all])}` and:"
    report("-".join(title), [table(headers, rows), note, listing], chosen.save)


if __name__ == "__main__":
    main()
