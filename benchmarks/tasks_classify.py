"""How many labels of held-out texts are right, after a run of `rnn train` with no option but the task and a time?

The data are a folder with `train.tsv` and `test.tsv`, lines of label TAB text; with a `val.tsv`, that is what the run
validates on, otherwise a part of `train.tsv` is held out. The test file is scored once for each seed, by `rnn evaluate
--json`; neither training nor choosing has seen it. The worst of the seeds counts.

`--from-language-model` first trains a language model on the training texts, for as long, and starts from it. With
`--labelled` the same data train a model of texts given their labels, which classifies by Bayes' rule.

If fastText is installed, it trains on the same file, with the n-grams of words or of characters that `--fasttext`
gives it.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import options, report, table

PROGRAM = [sys.executable, "-m", "rnn_cli"]


def run(*arguments: str, folder: Path) -> str:
    """Run a command of rnn in a folder; return what it prints. Raises CalledProcessError if it fails."""
    done = subprocess.run([*PROGRAM, *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        done.check_returncode()
    return done.stdout


def train_options(data: Path) -> list[str]:
    """Return the files of a run."""
    held_out = data / "val.tsv"
    return [str(data / "train.tsv"), *(["--validation-file", str(held_out)] if held_out.exists() else [])]


def measure(data: Path, seed: int, length: list[str], start: bool, folder: Path) -> dict[str, Any]:
    """Train a classifier and return its scores on the test file."""
    first = []
    if start:
        texts = folder / "texts.txt"
        lines = (data / "train.tsv").read_text("utf-8").splitlines()
        texts.write_text("".join(line.partition("\t")[2] + "\n" for line in lines), "utf-8")
        run("train", "texts.txt", "-m", "language", "--lines", *length, "--random-seed", str(seed), folder=folder)
        first = ["--from", "language"]
    common = ["--random-seed", str(seed), "-m", "model", "--overwrite"]
    run("train", *train_options(data), "--task", "classify", *first, *length, *common, folder=folder)
    scores: dict[str, Any] = json.loads(run("evaluate", str(data / "test.tsv"), "-m", "model", "--json", folder=folder))
    return scores


def measure_labelled(data: Path, seed: int, length: list[str], folder: Path) -> tuple[float, float]:
    """Train a model of texts given labels; return its accuracy by Bayes' rule and its bits per character."""
    common = ["--random-seed", str(seed), "-m", "model", "--overwrite"]
    run("train", *train_options(data), "--labelled", *length, *common, folder=folder)
    test = str(data / "test.tsv")
    found = json.loads(run("classify", test, "-m", "model", "--labels", "--json", folder=folder))
    scores = json.loads(run("evaluate", test, "-m", "model", "--json", folder=folder))
    return found["accuracy"], scores["bits_per_char"]


def fasttext(data: Path, given: list[str], folder: Path) -> str | None:
    """Return the accuracy of fastText on the same files, or None if it is not installed."""
    program = shutil.which("fasttext")
    if not program:
        return None
    for name in ("train", "test"):
        lines = (line.partition("\t") for line in (data / f"{name}.tsv").read_text("utf-8").splitlines())
        text = "".join(f"__label__{label.replace(' ', '_')} {line}\n" for label, _, line in lines)
        (folder / f"{name}.txt").write_text(text, "utf-8")
    training = [program, "supervised", "-input", "train.txt", "-output", "fast", "-thread", "2", *given]
    subprocess.run(training, cwd=folder, check=True, capture_output=True)
    done = subprocess.run([program, "test", "fast.bin", "test.txt"], cwd=folder, check=True, capture_output=True)
    precision = next(line.split()[1] for line in done.stdout.decode().splitlines() if line.startswith("P@1"))
    return f"{float(precision):.1%}"


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__, timed=False)
    parser.add_argument("data", type=Path, help="a folder with train.tsv, test.tsv and perhaps val.tsv")
    parser.add_argument("--minutes", type=float, default=1, help="the length of each run (default: 1)")
    parser.add_argument("--seeds", type=int, default=3, help="runs (default: 3)")
    parser.add_argument("--from-language-model", action="store_true", help="start from a language model of the texts")
    parser.add_argument(
        "--labelled", action="store_true", help="also learn texts given labels; classify by Bayes' rule"
    )
    parser.add_argument("--fasttext", default="-wordNgrams 2 -epoch 25 -lr 0.5", help="options of fastText")
    chosen = parser.parse_args()
    length = ["--steps", "2"] if chosen.quick else ["--minutes", f"{chosen.minutes:g}"]
    data, rows = chosen.data.resolve(), []
    right, texts, always = [], 0, 0.0
    for seed in range(1, chosen.seeds + 1):
        with tempfile.TemporaryDirectory() as directory:
            scores = measure(data, seed, length, chosen.from_language_model, Path(directory))
            right.append(scores["accuracy"])
            texts, always = scores["texts"], scores["baseline"]["accuracy"]
            macro, bits = scores["macro_f1"], scores["bits_per_text"]
            rows.append([f"rnn, seed {seed}", f"{scores['accuracy']:.1%}", f"{macro:.3f}", f"{bits:.3f}"])
            if chosen.labelled:
                accuracy, per_char = measure_labelled(data, seed, length, Path(directory))
                rows.append([f"rnn --labelled, seed {seed}", f"{accuracy:.1%}", "", f"{per_char:.3f} per character"])
    with tempfile.TemporaryDirectory() as directory:
        rival = fasttext(data, shlex.split(chosen.fasttext), Path(directory))
    rows.append([f"fastText {chosen.fasttext}" if rival else "fastText (not installed)", rival or "", "", ""])
    rows.append(["always the commonest label", f"{always:.1%}", "", ""])
    note = f"{texts:,} test texts. The worst of {chosen.seeds} seeds: {min(right):.1%}."
    report(f"tasks-{data.name}", [table(["", "right", "macro F1", "bits per text"], rows), note], chosen.save)


if __name__ == "__main__":
    main()
