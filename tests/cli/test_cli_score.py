"""rnn evaluate by lines and characters, with baselines and adaptation, and rnn classify, as users meet them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from commands import ENVIRONMENT, LINES_TEXT, PROGRAM, SMALL, STREAM_TEXT, run, run_on_terminal

ODD = "qqzz9"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with texts and models of a stream, lines and other lines."""
    directory = tmp_path_factory.mktemp("models")
    other = "".join(f"{first}{last}\n" for first in ("xu", "zo", "qui") for last in "0123456789bcdfg")
    for name, text, model in (
        ("stream.txt", STREAM_TEXT, "stream"),
        ("lines.txt", LINES_TEXT, "lines"),
        ("other.txt", other, "other"),
    ):
        (directory / name).write_bytes(text.encode())
        done = run("train", name, "-m", model, *SMALL, "--steps", 300, "--learning-rate", 0.03, cwd=directory)
        assert done.code == 0, done.stderr
    return directory


def evaluate(place: Path, *arguments: object, stdin: str = "", model: str = "lines") -> list[str]:
    """Return the lines that `rnn evaluate` prints."""
    done = run("evaluate", "-m", model, *arguments, cwd=place, stdin=stdin.encode())
    assert done.code == 0, done.stderr
    return done.text.split("\n")[:-1]


def objects(place: Path, *arguments: object, stdin: str = "", model: str = "lines") -> list[dict[str, Any]]:
    """Return the JSON objects that `rnn evaluate --jsonl` prints."""
    return [json.loads(line) for line in evaluate(place, *arguments, "--jsonl", stdin=stdin, model=model)]


def total(place: Path, *arguments: object, model: str = "lines", stdin: str = "") -> tuple[int, float]:
    """Return the characters and the bits that plain `rnn evaluate` finds."""
    scores = json.loads(evaluate(place, *arguments, "--json", model=model, stdin=stdin)[0])
    return scores["characters"], scores["bits_per_char"] * scores["characters"]


@pytest.mark.parametrize("model, text", [("lines", "lines.txt"), ("stream", "stream.txt")])
def test_lines_and_characters_sum_to_the_whole(place: Path, model: str, text: str) -> None:
    characters, bits = total(place, text, model=model)
    lines = (place / text).read_text().splitlines()
    rows = [row.split("\t", 2) for row in evaluate(place, text, "--per-line", model=model)]
    assert [line for _, _, line in rows] == lines
    assert sum(float(row[0]) for row in rows) == pytest.approx(bits, rel=1e-4)
    assert all(float(own) == pytest.approx(float(rate) * (len(line) + 1), abs=0.01) for own, rate, line in rows)
    found = objects(place, text, model=model)
    assert " ".join(found[0]) == "line text characters unknown bits bits_per_char"
    assert [values["line"] for values in found] == list(range(1, len(lines) + 1))
    assert sum(values["characters"] for values in found) == characters
    assert sum(values["bits"] for values in found) == pytest.approx(bits)
    letters = [row.split("\t") for row in evaluate(place, text, "--per-char", model=model)]
    assert "".join(letter for _, letter in letters).replace("\\n", "\n") == (place / text).read_text()
    assert sum(float(own) for own, _ in letters) == pytest.approx(bits, rel=1e-4)
    single = objects(place, text, "--per-char", model=model)
    assert " ".join(single[0]) == "line column character unknown bits"
    assert sum(values["bits"] for values in single) == pytest.approx(bits)
    assert (single[-1]["line"], single[-1]["column"]) == (len(lines), len(lines[-1]) + 1)


def test_unknown_characters_have_a_cost_and_are_reported(place: Path) -> None:
    text = "ana\nan\u20aca\n"
    done = run("evaluate", "-m", "lines", "--per-line", cwd=place, stdin=text.encode())
    price = re.fullmatch(r"unknown characters: 1, at (\d+\.\d\d) bits each: '\u20ac' 1\n", done.stderr)
    assert price
    assert [values["unknown"] for values in objects(place, stdin=text)] == [0, 1]
    (letter,) = [values for values in objects(place, "--per-char", stdin=text) if values["unknown"]]
    assert (letter["line"], letter["column"], letter["character"]) == (2, 3, "\u20ac")
    assert f"{letter['bits']:.2f}" == price[1]
    assert run("evaluate", "-m", "lines", "--per-line", "-q", cwd=place, stdin=text.encode()).stderr == ""


def test_order_and_top(place: Path) -> None:
    text = LINES_TEXT + ODD + "\n"
    plain = objects(place, stdin=text)
    key = [values["bits_per_char"] for values in plain]
    down = objects(place, "--sort", stdin=text)
    assert [values["bits_per_char"] for values in down] == sorted(key, reverse=True)
    assert down[0]["text"] == ODD
    assert objects(place, "--top", 3, stdin=text) == down[:3]
    up = objects(place, "--sort", "--below", stdin=text)
    assert [values["bits_per_char"] for values in up] == sorted(key)
    assert objects(place, "--top", 1, "--below", stdin=text) == up[:1]
    by_total = [values["bits"] for values in objects(place, "--sort", "--total", stdin=text)]
    assert by_total == sorted((values["bits"] for values in plain), reverse=True)
    letters = objects(place, "--per-char", "--top", 2, stdin=text)
    assert all(letter["line"] == len(plain) for letter in letters)


def test_thresholds(place: Path) -> None:
    text = LINES_TEXT + ODD + "\n"
    plain = objects(place, stdin=text)
    above = objects(place, "--threshold", 5, stdin=text)
    assert above == [values for values in plain if values["bits_per_char"] >= 5]
    assert ODD in [values["text"] for values in above]
    assert objects(place, "--threshold", 5, "--above", stdin=text) == above
    assert objects(place, "--threshold", 5, "--below", stdin=text) == [
        values for values in plain if values not in above
    ]
    assert evaluate(place, "--threshold", 1e9, stdin=text) == []
    heavy = objects(place, "--threshold", 40, "--total", stdin=text)
    assert heavy == [values for values in plain if values["bits"] >= 40]


def test_lines_come_out_while_the_input_is_open(place: Path) -> None:
    command = [*PROGRAM, "evaluate", "-m", "lines", "--threshold", "5", "-q"]
    process = subprocess.Popen(
        command, cwd=place, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"ana\n{ODD}\nunfini".encode())
    process.stdin.flush()
    os.set_blocking(process.stdout.fileno(), False)
    seen, end = b"", time.monotonic() + 100
    while not seen.endswith(b"\n") and time.monotonic() < end:
        seen += process.stdout.read() or b""
        time.sleep(0.01)
    assert seen.endswith(f"\t{ODD}\n".encode())
    assert process.poll() is None
    process.stdin.close()
    os.set_blocking(process.stdout.fileno(), True)
    process.stdout.read()
    assert process.wait(100) == 0
    process.stdout.close()
    assert process.stderr
    process.stderr.close()


def test_odd_characters_stay_on_their_line(place: Path) -> None:
    text = b"a\\\tb\r\n\x1b[2J\xff"
    done = run("evaluate", "-m", "lines", "--per-char", "-q", cwd=place, stdin=text)
    names = [row.split("\t", 1)[1] for row in done.text.split("\n")[:-1]]
    assert names == ["a", r"\\", r"\t", "b", r"\r", r"\n", r"\x1b", "[", "2", "J", r"\xff", r"\n"]
    rows = run("evaluate", "-m", "lines", "--per-line", "-q", cwd=place, stdin=text).stdout
    assert [row.split(b"\t", 2)[2] for row in rows.split(b"\n")[:2]] == [b"a\\\tb\r", b"\x1b[2J\xff"]
    (place / "odd.txt").write_bytes(text)
    shown = run_on_terminal("evaluate", place / "odd.txt", "-m", place / "lines", "--per-line", "-q").stdout
    assert b"\x1b" not in shown


def test_empty_input_gives_empty_output(place: Path) -> None:
    assert evaluate(place, "--per-line") == []
    assert evaluate(place, "--per-char", "--top", 3) == []


def test_resets(place: Path) -> None:
    carried, reset = (
        total(place, "stream.txt", model="stream"),
        total(place, "stream.txt", "--reset-every", 4, model="stream"),
    )
    assert reset[0] == carried[0]
    assert reset[1] > carried[1]
    whole = total(place, "stream.txt", "--reset-every", 10**6, model="stream")
    assert whole == carried
    rows = objects(place, "stream.txt", "--reset-every", 4, model="stream")
    assert sum(values["bits"] for values in rows) == pytest.approx(reset[1])


def test_adapting_helps_on_another_text(place: Path) -> None:
    text = STREAM_TEXT.replace("cat", "dot").replace("and", "don") * 5
    before = (place / "stream").read_bytes()
    plain = total(place, stdin=text, model="stream")
    adapted = total(place, "--adapt", stdin=text, model="stream")
    assert adapted[1] < plain[1]
    assert total(place, "--adapt-rate", 0.0007, stdin=text, model="stream") == adapted
    assert total(place, "--adapt-rate", 0.002, stdin=text, model="stream") != adapted
    assert total(place, "--adapt", "--threads", 1, stdin=text, model="stream") == adapted
    assert (place / "stream").read_bytes() == before
    rows = objects(place, "--adapt", stdin=text, model="stream")
    assert sum(values["bits"] for values in rows) == pytest.approx(adapted[1])


def test_baselines(place: Path) -> None:
    scores = json.loads(evaluate(place, "lines.txt", "--baselines", "--json")[0])
    assert list(scores["baselines"]) == ["uniform", "unigram", "5-gram", "gzip", "xz"]
    primed = json.loads(evaluate(place, "lines.txt", "--baselines", "--corpus", "lines.txt", "--json")[0])
    assert primed["baselines"]["5-gram"] < scores["baselines"]["5-gram"]
    assert primed["bits_per_char"] == scores["bits_per_char"]
    shown = evaluate(place, "lines.txt", "--baselines")
    for name, bits in scores["baselines"].items():
        assert any(re.fullmatch(rf"bits of {name} +{bits:.4f}", row) for row in shown)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("--per-line --per-char", "one of them"),
        ("--per-line --json", "--jsonl"),
        ("--top 3 --baselines", "--baselines"),
        ("--below", "--threshold"),
        ("--per-line --total", "--sort"),
        ("--per-char --sort --total", "--per-char"),
        ("--corpus lines.txt", "--baselines"),
        ("--top 0", "top"),
        ("--threshold nan", "threshold"),
        ("--reset-every 3", "line"),
        ("--reset-every 0", "reset-every"),
        ("--adapt-rate 2", "adapt-rate"),
        ("--baselines --corpus missing.txt", "missing.txt"),
        ("--per-line missing.txt", "missing.txt"),
        ("--per-line - -", "once"),
    ],
)
def test_contradicting_options_are_refused(place: Path, arguments: str, words: str) -> None:
    done = run("evaluate", "-m", "lines", *arguments.split(), cwd=place)
    assert (done.code, done.stdout) == (2, b"")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_resets_and_adapting_contradict_each_other(place: Path) -> None:
    done = run("evaluate", "-m", "stream", "stream.txt", "--reset-every", 3, "--adapt", cwd=place)
    assert (done.code, "contradict" in done.stderr) == (2, True)


# rnn classify


def classify(place: Path, *arguments: object, stdin: bytes = b"") -> bytes:
    """Return what `rnn classify` prints with two models."""
    done = run("classify", "-m", "lines", "-m", "other", "-q", *arguments, cwd=place, stdin=stdin)
    assert (done.code, done.stderr) == (0, "")
    return done.stdout


def test_classify_prints_label_margin_and_line(place: Path) -> None:
    text = b"ana\nxu7\nbely\nzo3"
    rows = [row.split(b"\t") for row in classify(place, stdin=text).split(b"\n")[:-1]]
    assert [row[0] for row in rows] == [b"lines", b"other", b"lines", b"other"]
    assert b"\n".join(row[2] for row in rows) == text
    found = [json.loads(row) for row in classify(place, "--jsonl", stdin=text).splitlines()]
    assert " ".join(found[0]) == "line text label margin_bits bits probabilities"
    assert [values["line"] for values in found] == [1, 2, 3, 4]
    for values, row in zip(found, rows):
        low, high = sorted(values["bits"].values())
        assert float(row[1]) == pytest.approx(high - low, abs=1e-4)
        assert values["margin_bits"] == pytest.approx(high - low)
        assert values["bits"][values["label"]] == low
    (place / "text.txt").write_bytes(text)
    assert classify(place, "text.txt") == classify(place, "-", "--threads", "1", stdin=text)


def test_classify_counts_labelled_lines(place: Path) -> None:
    text = b"lines\tana\nlines\tbely\nother\txu7\nother\tana\n"
    values = json.loads(classify(place, "--labels", "--json", stdin=text))
    assert values == {
        "lines": 4, "right": 3, "accuracy": 0.75, "labels": ["lines", "other"], "confusion": [[2, 0], [1, 1]]
    }  # fmt: skip
    shown = classify(place, "--labels", stdin=text).decode().splitlines()
    assert shown == ["3 of 4 lines are right: 75.0%", "actual \\ predicted  lines  other",
                     "lines                   2      0", "other                   1      1"]  # fmt: skip


@pytest.mark.parametrize(
    "arguments, stdin, words",
    [
        ("-m lines", b"", "two models"),
        ("", b"", "two models"),
        ("-m lines -m ./lines", b"", "same label"),
        ("-m lines -m other --json", b"", "--labels"),
        ("-m lines -m other --labels --jsonl", b"", "one of them"),
        ("-m lines -m other --labels", b"", "no labelled line"),
        ("-m lines -m other --labels", b"lines\tana\nana\n", "line 2 has no label"),
        ("-m lines -m other --labels", b"fr\tana\n", "line 1 has the label 'fr'"),
    ],
)
def test_classify_refuses(place: Path, arguments: str, stdin: bytes, words: str) -> None:
    done = run("classify", *arguments.split(), cwd=place, stdin=stdin)
    assert (done.code, done.stdout) == (2, b"")
    assert words in done.stderr


def test_classify_needs_sound_models(place: Path) -> None:
    assert run("classify", "-m", "lines", "-m", "missing", cwd=place).code == 3


def test_classify_gives_the_margin_over_the_second_model(place: Path) -> None:
    arguments = ["-m", "lines", "-m", "other", "-m", "stream", "--jsonl"]
    done = run("classify", *arguments, cwd=place, stdin=b"ana\nxu7\nthe cat\n")
    assert done.code == 0, done.stderr
    for values in map(json.loads, done.stdout.splitlines()):
        first, second, third = sorted(values["bits"].values())
        assert second < third
        assert values["margin_bits"] == pytest.approx(second - first)


def test_classify_keeps_its_rows_whole_for_odd_labels(place: Path) -> None:
    for name in ("li\nne\ts", "ot\nher"):
        (place / name).write_bytes((place / name.replace("\n", "").replace("\t", "")).read_bytes())
    arguments = ["classify", "-m", "li\nne\ts", "-m", "ot\nher"]
    done = run(*arguments, cwd=place, stdin=b"ana\nxu7\n")
    assert [row.split(b"\t")[0] for row in done.stdout.splitlines()] == [b"li\\nne\\ts", b"ot\\nher"]
    assert [len(row.split(b"\t")) for row in done.stdout.splitlines()] == [3, 3]
    found = [json.loads(row) for row in run(*arguments, "--jsonl", cwd=place, stdin=b"ana\n").stdout.splitlines()]
    assert [values["label"] for values in found] == ["li\nne\ts"]


def test_guess_numbers_are_a_column_and_keys(place: Path) -> None:
    first = (place / "lines.txt").read_text().splitlines()[0]
    stdin = f"{first}\n{ODD}\n{first}\u00e9\n"
    rows = [row.split("\t") for row in evaluate(place, "--guess-number", stdin=stdin)]
    assert [row[3] for row in rows] == stdin.splitlines()
    assert 1 <= int(rows[0][2]) < 5000
    assert rows[1][2].startswith(">")
    assert rows[2][2] == rows[1][2]
    found = objects(place, "--per-line", "--guess-number", stdin=stdin)
    assert [row["guess_number_is_bound"] for row in found] == [False, True, True]
    assert found[0]["guess_number"] == pytest.approx(int(rows[0][2]), rel=0.01)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("-m stream --guess-number", "--guess-number is for a model that reads lines"),
        ("-m lines --guess-number --per-char", "--guess-number is about lines"),
        ("-m lines --guess-number --adapt", "a model that does not change"),
        ("-m lines --guess-number --json", "--json is about the whole text"),
    ],
)
def test_guess_numbers_are_refused_where_they_mean_nothing(place: Path, arguments: str, words: str) -> None:
    done = run("evaluate", "stream.txt", *arguments.split(), cwd=place)
    assert (done.code, done.stdout) == (2, b"")
    assert words in done.stderr


def test_a_last_line_without_newline_has_the_bits_of_its_end(place: Path) -> None:
    text = "\n".join(STREAM_TEXT.split("\n")[:3]).removesuffix("\n")
    for model in ("stream", "lines"):
        with_newline = objects(place, "--per-line", stdin=f"{text}\n", model=model)
        assert objects(place, "--per-line", stdin=text, model=model) == with_newline
    assert len(evaluate(place, "--per-char", stdin=text, model="stream")) == len(text)


def test_tokens_are_counted_as_characters(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("CCBr\nClCC[nH]C\nC%12CCl%12\n" * 40)
    trained = run("train", "m.txt", "-m", "m", "--tokens", "smiles", "--lines", *SMALL, "--steps", 200, cwd=tmp_path)
    assert trained.code == 0, trained.stderr
    assert "tokens to train on, 5 different tokens" in trained.stderr
    (row,) = objects(tmp_path, "--per-line", stdin="ClCC[nH]C\n", model="m")
    assert (row["characters"], row["unknown"]) == (6, 0)
    rows = evaluate(tmp_path, "--per-char", stdin="C[nH]\n", model="m")
    assert [line.split("\t")[1] for line in rows] == ["C", "[nH]", "\\n"]
    done = run("evaluate", "-m", "m", "--json", cwd=tmp_path, stdin=b"C[Se]C\n")
    assert json.loads(done.stdout)["unknown"] == 1
    assert "'[Se]' 1" in done.stderr
    sampled = run("sample", "-m", "m", "-n", 5, "--random-seed", 1, "--seed", "Cl", cwd=tmp_path)
    assert all(line.startswith("Cl") for line in sampled.text.splitlines())
    again = run("train", "m.txt", "--from", "m", "-m", "n", "--steps", 5, cwd=tmp_path)
    assert again.code == 0, again.stderr
    assert "[nH]" in json.loads(run("info", "n", "--json", cwd=tmp_path).stdout)["vocabulary"]
    refused = run("train", "m.txt", "--tokens", "smiles", "--bytes", "-m", "o", cwd=tmp_path)
    assert "--tokens are for lines or a stream" in refused.stderr
