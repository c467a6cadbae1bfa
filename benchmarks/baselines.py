"""Is `rnn train` without options better than an n-gram, gzip and xz, on small and large texts?

Each text is cut to several sizes. The last tenth is held out (every tenth line if the lines are names), at most 200,000
characters. `rnn train` reads the rest, with no option but a seed, and --minutes if they are given. `rnn evaluate
--baselines` scores the held-out part under the model and under the baselines, which learn from the same rest. The model
has to beat the best of them. With --adapt-counts its counts go on over the held-out part.

The texts are those of corpora/, tinyshakespeare and names.txt if they are given, and the sources of Python's standard
library as the large text. Texts given with --whole are not cut.
"""

from __future__ import annotations

import statistics
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from common import ROOT, options, report, table
from runs import BASELINES, PARTS, Split, read_text, run, split_end, split_lines, text_options, try_out

SIZES = [1_000, 3_000, 10_000, 30_000, 100_000]
LARGE = 10_000_000


def python_sources(size: int) -> str:
    """Return the first `size` characters of the standard library's sources, in the order of their paths."""
    parts: list[str] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" not in path.parts and "test" not in path.parts:  # tests contain files that are not UTF-8
            parts.append(read_text(path))
            if sum(map(len, parts)) >= size:
                break
    return "".join(parts)[:size]


def texts(shakespeare: Path | None, names: Path | None) -> Iterator[tuple[str, str, bool]]:
    """Yield the name of each text, the text, and whether each line is a text."""
    for path in sorted((ROOT / "corpora").glob("*.txt")):
        yield path.stem, read_text(path), True
    if names:
        yield "names", read_text(names), True
    if shakespeare:
        yield "tinyshakespeare", read_text(shakespeare), False


def splits(text: str, name: str, lines: bool, sizes: list[int]) -> Iterator[Split]:
    """Yield a split of the text cut to each of the sizes, as far as it is long enough."""
    for size in sizes:
        part = text[:size]
        if len(part) == size and lines:
            yield split_lines(name, part.splitlines(keepends=True), PARTS)
        elif len(part) == size:
            yield split_end(name, part)


def measure(split: Split, given: list[str], seeds: int) -> list[str]:
    """Return the row of one split: mean bits per character over seeds."""
    characters = len(split.train) + len(split.held_out)
    print(f"{split.name}, {characters:,} characters ...", file=sys.stderr, flush=True)
    outcomes = [
        run(split, [*given, "--random-seed", str(seed)], BASELINES, {"adapted": ("--adapt-counts",)})
        for seed in range(1, seeds + 1)
    ]
    losses = [outcome.scores["bits_per_char"] for outcome in outcomes]
    baselines: dict[str, float] = outcomes[0].scores["baselines"]
    best = min(baselines, key=lambda name: baselines[name])
    facts = outcomes[0].facts
    networks = f"{facts['networks']} of " if facts.get("networks", 1) > 1 else ""
    model = f"{networks}{facts['cell']} {facts['layers']} x {facts['hidden_size']}, {facts['steps']:,} steps"
    ours = f"{statistics.mean(losses):.3f}"
    adapted = f"{statistics.mean(outcome.more_scores['adapted']['bits_per_char'] for outcome in outcomes):.3f}"
    verdict = "yes" if max(losses) < baselines[best] else "no"
    return [split.name, f"{characters:,}", model, ours, adapted, f"{baselines[best]:.3f} ({best})", verdict]


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__, timed=False)
    text_options(parser)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="characters of the small texts")
    parser.add_argument("--large", type=int, default=LARGE, help="characters of the large text, 0 for none")
    parser.add_argument("--whole", type=Path, nargs="+", default=[], help="further texts, not cut")
    parser.add_argument("--minutes", type=float, help="of each run, in which several networks may be trained")
    parser.add_argument("--only", nargs="+", help="names of texts (default: all)")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each text; all must be better (default: 1)")
    chosen = parser.parse_args()
    given, sizes, large = ["--minutes", f"{chosen.minutes:g}"] if chosen.minutes else [], chosen.sizes, chosen.large
    if chosen.quick:
        given, sizes, large = ["--steps", "2"], [3_000], 20_000
    all_splits = [
        split
        for name, text, lines in texts(chosen.shakespeare, chosen.names)
        if chosen.only is None or name in chosen.only
        for split in splits(text, name, lines, sizes)
    ]
    if large:
        all_splits += splits(python_sources(large), "Python's sources", False, [large])
    for path in chosen.whole:
        text = read_text(path)
        all_splits += splits(text, path.stem, False, [len(text)])
    try_out(scoring=BASELINES)
    rows = [measure(split, given, chosen.seeds) for split in all_splits]
    headers = [
        "text",
        "characters",
        "model",
        "rnn bits/char",
        "--adapt-counts",
        "best baseline",
        "better with every seed",
    ]
    report("baselines", [table(headers, rows)], chosen.save)


if __name__ == "__main__":
    main()
