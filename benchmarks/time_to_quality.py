"""How good is a model of tinyshakespeare after the same time, here and in PyTorch, compared with an n-gram?

All learn from the same part and are scored on the same held-out text, every character once, with the state carried from
its start to its end. That text is the last tenth of tinyshakespeare, or with --development the last ninth of the rest,
on which to tune settings. `rnn train` gets the time as --minutes, which includes validation, and no other option.
PyTorch gets the time for set-up and training; its validation is not counted. Both keep the model that is best on the
held-out text. The n-gram has no time limit.

PyTorch runs torch.nn.LSTM as described in benchmarks/torch_model.py, once for each setting after --torch. A setting is
`name=value,...`; values that it does not name keep their defaults. Without PyTorch only the others run.

The curves show the first seed. Their points are losses over a batch of streams that start from the zero state, so the
end of a curve is slightly above the loss in the table.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from charts import line_chart, save_chart
from common import options, report, table
from runs import BASELINES, Split, development, run, shakespeare, try_out

from rnn_cli.text.codecs import CharacterCodec

if TYPE_CHECKING:
    from torch_model import Setting

VALIDATIONS = 20  # in a run of PyTorch
HIGHEST = 2.4  # nats per character, upper end of the chart


class Result(NamedTuple):
    """A run: its curve, the losses of its best model and of the baselines (nats), and the characters that it read."""

    curve: list[tuple[float, float]]
    nats: float
    characters: float
    baselines: dict[str, float]


def run_product(split: Split, seconds: float, scoring: Sequence[str], seed: int) -> Result:
    """Run `rnn train`, then `rnn evaluate` with the options `scoring`."""
    given = ["--validation-file", "held-out.txt", "--minutes", str(seconds / 60), "--random-seed", str(seed)]
    outcome = run(split, given, scoring)
    curve = [(line["seconds"], line["validation_loss"]) for line in outcome.reports if line["validation_loss"]]
    read = outcome.reports[-1]["epoch"] * len(split.train)
    bits = outcome.scores.get("baselines", {})
    baselines = {name: value * math.log(2) for name, value in bits.items()}
    return Result(curve, outcome.scores["nats_per_char"], read, baselines)


def run_torch(split: Split, setting: Setting, seconds: float, seed: int) -> Result:
    """Train and score the PyTorch model with a setting."""
    from torch_model import Run

    codec = CharacterCodec.of_texts(split.train, line_mode=False)
    ids, held_out = (codec.frame(codec.encode(text)) for text in (split.train, split.held_out))
    trainer = Run(ids, len(codec), setting, seconds, seed)
    curve, nats = trainer.train(held_out, VALIDATIONS)
    return Result(curve, nats, trainer.steps * setting.batch * setting.window, {})


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__, timed=False)
    parser.add_argument("--shakespeare", type=Path, required=True, help="tinyshakespeare")
    parser.add_argument("--seconds", type=float, default=114, help="for each run (default: 114)")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each contender (default: 1)")
    parser.add_argument("--torch", nargs="*", default=[""], metavar="SETTING", help="settings of PyTorch")
    parser.add_argument("--development", action="store_true", help="score the development text, not the published one")
    parser.add_argument("--baselines", action=argparse.BooleanOptionalAction, default=True, help="score baselines too")
    chosen = parser.parse_args()
    seconds = chosen.seconds
    split = shakespeare(chosen.shakespeare)
    split = development(split) if chosen.development else split
    if chosen.quick:
        seconds, split = 3, split._replace(held_out=split.held_out[:5000])
    scoring = BASELINES if chosen.baselines else ()
    contenders: dict[str, Callable[[int], Result]] = {"rnn train": partial(run_product, split, seconds, scoring)}
    if importlib.util.find_spec("torch"):
        from torch_model import Setting

        for setting in chosen.torch:
            contenders[f"PyTorch {setting}".strip()] = partial(run_torch, split, Setting.parse(setting), seconds)

    try_out(scoring=scoring)
    results: dict[str, list[Result]] = {name: [] for name in contenders}
    for seed, (name, contender) in itertools.product(range(1, chosen.seeds + 1), contenders.items()):
        result = contender(seed)
        results[name].append(result)
        print(f"{name}, seed {seed}: {result.nats:.4f}", file=sys.stderr, flush=True)

    rows = []
    for name, found in results.items():
        losses = [result.nats for result in found]
        read = statistics.mean(result.characters for result in found)
        rows.append([name, f"{read / 1e6:.1f}", f"{statistics.mean(losses):.4f}", f"{max(losses):.4f}"])
    baselines = results["rnn train"][0].baselines
    rows += [[name, "", f"{loss:.4f}", ""] for name, loss in baselines.items()]
    parts = [table(["contender", "million characters read", "mean nats/char", "worst"], rows)]
    if chosen.save:
        curves = {name: found[0].curve for name, found in results.items()}
        labels = "seconds of training", "validation loss, nats per character"
        parts.append(save_chart("time-to-quality", line_chart(curves, baselines, *labels, HIGHEST), labels[1]))
    report("time-to-quality", parts, chosen.save)


if __name__ == "__main__":
    main()
