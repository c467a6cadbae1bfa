"""Does `--precision bfloat16` cost anything in validation loss?

Both precisions train in pairs: the same text, cell, seed and number of steps, scored on the same held-out text. The
difference of a pair is divided by the noise: the standard deviation of the float32 losses over seeds, pooled over the
cells of a text. The verdict is "within noise" if the mean of these ratios plus twice its standard error is below 1:
bfloat16 then costs less than another seed might. Few pairs, or scattered pairs, do not pass.

Three texts, three cells and three seeds make 27 pairs. The third text is corpora/dinosaurs.txt.
"""

from __future__ import annotations

import math
import shlex
import statistics
import sys
from collections.abc import Sequence
from typing import NamedTuple

from common import ROOT, options, report, table
from runs import PARTS, Split, development_splits, read_text, run, split_lines, text_options

CELLS = ["lstm", "gru", "rnn"]
PRECISIONS = ["float32", "bfloat16"]
DINOSAURS = ROOT / "corpora" / "dinosaurs.txt"


class Group(NamedTuple):
    """The losses of one text and cell, by seed."""

    text: str
    cell: str
    float32: list[float]
    bfloat16: list[float]

    @property
    def differences(self) -> list[float]:
        """The loss in bfloat16 minus that in float32, for each seed."""
        return [after - before for before, after in zip(self.float32, self.bfloat16)]


def measure(split: Split, cell: str, length: Sequence[str], seeds: int) -> Group:
    """Train and score both precisions for each seed."""
    group = Group(split.name, cell, [], [])
    for seed in range(1, seeds + 1):
        for precision in PRECISIONS:
            given = ["--cell", cell, "--precision", precision, "--random-seed", str(seed), *length]
            outcome = run(split, ["--validation-file", "held-out.txt", *given])
            loss = outcome.scores["nats_per_char"]
            getattr(group, precision).append(loss)
            print(f"{split.name}, {cell}, seed {seed}, {precision}: {loss:.4f}", file=sys.stderr, flush=True)
    return group


def noise_of(groups: Sequence[Group]) -> float:
    """Return the standard deviation of the float32 losses over seeds, pooled over groups."""
    return math.sqrt(statistics.mean(statistics.variance(group.float32) for group in groups))


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))


def verdict(groups: Sequence[Group]) -> str:
    """Return the verdict by the rule at the top of this file, as a sentence."""
    relative: list[float] = []
    for text in dict.fromkeys(group.text for group in groups):
        same = [group for group in groups if group.text == text]
        noise = noise_of(same)
        relative += [difference / noise for group in same for difference in group.differences]
    mean, error = mean_and_error(relative)
    most = mean + 2 * error
    return (
        f"{'Within noise' if most < 1 else 'Not within noise'}: over {len(relative)} pairs bfloat16 costs {mean:+.2f} "
        f"(standard error {error:.2f}) times the standard deviation over seeds, at most {most:+.2f}; the limit is 1."
    )


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__, timed=False)
    text_options(parser)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    parser.add_argument("--steps", type=int, default=1000, help="the length of each run (default: 1000)")
    parser.add_argument("--with", dest="more", default="", help="more options of `rnn train`, for all runs")
    parser.add_argument("--seeds", type=int, default=3, help="pairs of each text and cell, at least 2 (default: 3)")
    chosen = parser.parse_args()
    if chosen.seeds < 2:
        parser.error("one seed does not show the noise; give --seeds 2 or more")
    length = ["--steps", "2" if chosen.quick else str(chosen.steps), *shlex.split(chosen.more)]
    dinosaurs = split_lines("dinosaurs", read_text(DINOSAURS).splitlines(keepends=True), PARTS)
    splits = [*development_splits(chosen), dinosaurs]
    groups = [measure(split, cell, length, chosen.seeds) for split in splits for cell in chosen.cells]
    rows = []
    for group in groups:
        mean, error = mean_and_error(group.differences)
        losses = [statistics.mean(group.float32), statistics.mean(group.bfloat16)]
        values = [f"{value:.4f}" for value in [*losses, statistics.stdev(group.float32)]]
        rows.append([f"{group.text}, {group.cell}", *values, f"{mean:+.4f}", f"{error:.4f}"])
    headers = ["text and cell", *PRECISIONS, "deviation over seeds", "mean difference", "standard error"]
    rule = " ".join((__doc__ or "").split("\n\n")[1].split())
    report("precision", [verdict(groups), table(headers, rows), rule], chosen.save)


if __name__ == "__main__":
    main()
