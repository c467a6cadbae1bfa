"""How many tags of unseen sentences are right, beside the most frequent tag of each token, and a CRF of features?

Each data set is a folder with train.tsv, dev.tsv (or valid.tsv) and test.tsv in columns, given with its minutes:
`python benchmarks/tasks_tag.py pos-te=2 snips-slots=5`. `rnn train --task tag` gets the training part, the dev part to
choose the best model, and the time, and nothing else but a seed. `rnn evaluate` scores test.tsv, which neither has
seen. The worst of the seeds counts. Figures are the accuracy of all tokens; for BIO tags, the F1 of spans.

If python-crfsuite is installed, a linear-chain CRF learns from the same training part: words, affixes, shapes and two
neighbours on either side, L-BFGS, with the penalty that is best on the dev part.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common import options, report, table, version
from runs import rnn

from rnn_cli.tasks.tag.bio import is_bio
from rnn_cli.tasks.tag.scores import accuracy_of, span_scores
from rnn_cli.tasks.tag.sentences import Sentence, read_tagged

PENALTIES = (0.01, 0.1, 1.0)  # c2 of the CRF; c1 is 0.05
LONGEST_AFFIX = 4


class DataSet(NamedTuple):
    """A folder of tagged sentences, and the minutes that are trained on them."""

    folder: Path
    minutes: float

    @property
    def dev(self) -> Path:
        """The part that chooses the best model."""
        return next(path for name in ("dev", "valid") if (path := self.folder / f"{name}.tsv").exists())


def data_set(text: str) -> DataSet:
    """Return a data set of FOLDER=MINUTES."""
    folder, _, minutes = text.rpartition("=")
    return DataSet(Path(folder), float(minutes))


def shape(token: str) -> str:
    """Return what kinds of characters a token has, runs of one kind as one."""
    kinds = ["X" if c.isupper() else "x" if c.isalpha() else "9" if c.isdigit() else c for c in token]
    return "".join(kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind)


def features(tokens: Sequence[str]) -> list[list[str]]:
    """Return the features of each token for the CRF."""
    rows = []
    for index, token in enumerate(tokens):
        row = ["bias", f"w={token}", f"lower={token.lower()}", f"shape={shape(token)}"]
        for size in range(1, LONGEST_AFFIX + 1):
            row += [f"p{size}={token[:size]}", f"s{size}={token[-size:]}"]
        for distance in (-2, -1, 1, 2):
            other = tokens[index + distance].lower() if 0 <= index + distance < len(tokens) else "--"
            row.append(f"{distance}={other}")
            if abs(distance) == 1:
                row.append(f"{distance}s={other[-3:]}")
        rows.append(row)
    return rows


def figure(actual: list[Sentence], found: Sequence[Sequence[str]]) -> float:
    """Return the F1 of spans for BIO tags, else the accuracy."""
    tags = [sentence.tags for sentence in actual]
    bio = is_bio(sorted({tag for row in tags for tag in row}))
    return span_scores(tags, found).f1 if bio else accuracy_of(tags, found)


def crf_figure(data: DataSet, folder: Path) -> float | None:
    """Return the figure of the CRF on the test part, None if python-crfsuite is not installed."""
    try:
        import pycrfsuite
    except ImportError:
        return None
    paths = (data.folder / "train.tsv", data.dev, data.folder / "test.tsv")
    train, dev, test = (read_tagged([str(path)]) for path in paths)
    taggers: list[tuple[float, Any]] = []
    for penalty in PENALTIES:
        trainer = pycrfsuite.Trainer(verbose=False)
        for sentence in train.sentences:
            trainer.append(features(sentence.tokens), sentence.tags)
        trainer.set_params({"c1": 0.05, "c2": penalty, "max_iterations": 100, "feature.possible_transitions": True})
        path = str(folder / f"{penalty}.crf")
        trainer.train(path)
        tagger = pycrfsuite.Tagger()
        tagger.open(path)
        found = [tagger.tag(features(sentence.tokens)) for sentence in dev.sentences]
        taggers.append((figure(dev.sentences, found), tagger))
    _, best = max(taggers, key=lambda pair: pair[0])
    return figure(test.sentences, [best.tag(features(sentence.tokens)) for sentence in test.sentences])


def measure(data: DataSet, given: list[str], seeds: int, rival: bool) -> list[str]:
    """Return the row of one data set."""
    print(f"{data.folder.name}, {data.minutes:g} minutes ...", file=sys.stderr, flush=True)
    outcomes, unknown, baseline = [], [], 0.0
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        for name, path in (("train", data.folder / "train.tsv"), ("dev", data.dev), ("test", data.folder / "test.tsv")):
            shutil.copy(path, folder / f"{name}.tsv")
        for seed in range(1, seeds + 1):
            length = given or ["--minutes", f"{data.minutes:g}"]
            command = ["train", "--task", "tag", "train.tsv", "--validation-file", "dev.tsv", "--overwrite"]
            rnn(folder, *command, "--random-seed", str(seed), *length)
            scores = json.loads(rnn(folder, "evaluate", "test.tsv", "--json"))
            spans = "spans" in scores
            outcomes.append(scores["spans"]["f1"] if spans else scores["accuracy"])
            unknown.append(scores["unknown"]["accuracy"])
            compared = scores["baseline"]
            baseline = compared["spans"]["f1"] if spans else compared["accuracy"]
        facts = json.loads(rnn(folder, "info", "--json"))
        of_crf = crf_figure(data, folder) if rival else None
    network = f"{facts['cell']} {facts['layers']} x {facts['hidden_size']}, {facts['steps']:,} steps"
    return [
        f"{data.folder.name}{' (F1)' if spans else ''}",
        f"{data.minutes:g}",
        network,
        f"{min(outcomes):.2%}",
        f"{statistics.mean(outcomes):.2%}",
        f"{statistics.mean(unknown):.2%}",
        f"{baseline:.2%}",
        "" if of_crf is None else f"{of_crf:.2%}",
    ]


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__, timed=False)
    parser.add_argument("data", nargs="+", type=data_set, metavar="FOLDER=MINUTES", help="a data set and its time")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each data set (default: 3)")
    parser.add_argument("--no-rival", action="store_true", help="leave python-crfsuite out")
    chosen = parser.parse_args()
    given = ["--steps", "2"] if chosen.quick else []
    rows = [measure(data, given, chosen.seeds, not chosen.no_rival) for data in chosen.data]
    headers = ["data", "minutes", "network", "rnn, worst seed", "mean", "unknown tokens", "most frequent tag", "CRF"]
    note = f"python-crfsuite {version('python-crfsuite')}; {chosen.seeds} seeds"
    report("tasks-tag", [table(headers, rows), note], chosen.save)


if __name__ == "__main__":
    main()
