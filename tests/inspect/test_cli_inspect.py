"""rnn inspect, rnn gradients and rnn gradcheck, as users meet them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import Result, run, run_on_terminal
from random_models import make_checkpoint, random_text

from rnn_cli.checkpoint.checkpoint import save_checkpoint
from rnn_cli.inspect import gradcheck
from rnn_cli.text.codecs import ByteCodec, CharacterCodec, WordCodec

TEXT = "abcaehbed"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models of characters, bytes, words and quotations."""
    path = tmp_path_factory.mktemp("inside")
    quotes = CharacterCodec.of_texts('he said "it is so". 12\n', False)
    codecs = {"chars": None, "bytes": ByteCodec(True), "words": WordCodec(("a", "bc", "d"), True), "quotes": quotes}
    for name, codec in codecs.items():
        save_checkpoint(path / f"{name}.safetensors", make_checkpoint(name != "quotes", codec=codec))
    (path / "long.txt").write_text('he said "it is so". 12\nhe is so\n' * 20, "utf-8")
    return path


def ask(place: Path, command: str, *arguments: object, model: str = "chars", **others: object) -> Result:
    """Run a command in the folder."""
    return run(command, *arguments, "-m", f"{model}.safetensors", cwd=place, **others)


def test_each_step_is_a_line(place: Path) -> None:
    done = ask(place, "inspect", TEXT)
    lines = done.text.splitlines()
    assert (done.code, done.stderr) == (0, "")
    assert lines[0].split()[:6] == ["read", "came", "bits", "input", "forget", "output"]
    assert [line.split()[0] for line in lines[1 : len(TEXT) + 2]] == ["start", *TEXT]
    assert max(map(len, lines[: len(TEXT) + 2])) <= 80


def test_json_has_what_the_file_of_arrays_has(place: Path) -> None:
    facts = json.loads(ask(place, "inspect", TEXT, "--json", "--npz", "a.npz").text)
    with np.load(place / "a.npz") as arrays:
        assert arrays["state_c"].shape == arrays["gate_f"].shape == (2, len(TEXT) + 1, 16)
        assert facts[3]["gates"]["forget"] == pytest.approx(arrays["gate_f"][:, 3].mean(axis=1))
        layer, unit = map(int, facts[3]["units"][0]["unit"].split(":"))
        assert facts[3]["units"][0]["value"] == pytest.approx(arrays["state_h"][layer - 1, 3, unit - 1])
        assert facts[3]["bits"] == pytest.approx(-arrays["log_probs"][3, arrays["targets"][3]] / np.log(2))


@pytest.mark.parametrize("model, text", [("bytes", "\u00e9a"), ("words", "a bc d"), ("quotes", "he")])
@pytest.mark.parametrize("command", [["inspect"], ["inspect", "--unit", "1:2"], ["gradients"], ["gradcheck"]])
def test_each_kind_of_model(place: Path, model: str, text: str, command: list[str]) -> None:
    done = ask(place, *command, text, model=model)
    assert (done.code, done.stderr) == (0, "")


def test_unit_without_colours_has_marks(place: Path) -> None:
    lines = ask(place, "inspect", TEXT, "--unit", "2:3").text.splitlines()
    assert lines[1] == TEXT
    assert set(lines[2]) <= set(" .:+#")
    assert "\x1b" not in "".join(lines)


def test_unit_on_a_terminal_has_shades_and_no_harm(place: Path) -> None:
    path = place / "quotes.safetensors"
    shown = run_on_terminal("inspect", "he said so", "--unit", "2:3:c", "-m", path).text
    assert "\x1b[48;5;" in shown
    assert ask(place, "inspect", "a\x1b[2J", "--unit", "1:1", model="bytes").text.count("\x1b") == 0


def test_unit_as_json(place: Path) -> None:
    facts = json.loads(ask(place, "inspect", TEXT, "--unit", "2:3", "--json").text)
    values = [each["value"] for each in facts["values"]]
    assert sum(facts["histogram"]["counts"]) == len(values) == len(TEXT) + 1
    assert facts["contexts"][0]["value"] == max(values)
    assert len(facts["effect"]) == 12


def test_units_are_found_in_a_file(place: Path) -> None:
    done = ask(place, "inspect", "long.txt", "--find-units", "--json", model="quotes")
    found = json.loads(done.text)
    assert done.stderr == "reads the file long.txt\n"
    assert {each["label"] for each in found} >= {"inside quotes", "digit", "position in the line"}
    assert all(0 <= each["score"] <= 1 and 0 <= each["chance"] <= 1 for each in found)
    table = ask(place, "inspect", "-", "--find-units", "-q", model="quotes", stdin=(place / "long.txt").read_bytes())
    assert table.text.splitlines()[0].split() == ["property", "unit", "measure", "score", "chance", "unit", "is"]


def test_gradients_of_all_cells(place: Path) -> None:
    facts = json.loads(ask(place, "gradients", TEXT, "--compare", "--train-steps", 2, "--json").text)
    assert list(facts["over_lag"]) == ["this model", "rnn tanh", "rnn relu", "rnn sigmoid", "gru", "lstm"]
    assert [each["symbol"] for each in facts["connectivity"]["inputs"]] == ["start", *TEXT[:-1]]
    assert facts["connectivity"]["predicted"] == TEXT[-1]
    assert set(facts["spectral_radius"][1]) == set("ifgo")
    lines = ask(place, "gradients", TEXT, "--compare").text.splitlines()
    assert max(map(len, lines)) <= 80


def test_gain_makes_gradients_larger(place: Path) -> None:
    text = random_text(30, False)
    small, large = (
        json.loads(ask(place, "gradients", text, "--compare", "--gain", gain, "--json").text)["over_lag"]["rnn relu"]
        for gain in (1, 6)
    )
    assert small[-1] < small[0]
    assert large[-1] > 10 * large[0]


def test_wrong_gradient_exits_with_1(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradcheck, "TOLERANCE", 1e-20)
    monkeypatch.setattr(gradcheck, "NOISE", 1e-30)
    done = ask(place, "gradcheck", TEXT)
    assert done.code == 1
    assert "weight_hh, layer 2" in done.stderr
    assert "WRONG" in done.text


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["inspect", TEXT, "--unit", "3:1"], "--unit is L:K"),
        (["inspect", TEXT, "--unit", "1:1", "--find-units"], "contradict"),
        (["inspect", "ab", "--find-units"], "too short"),
        (["inspect", "aX"], "'X'"),
        (["gradients", "a"], "too short"),
        (["gradients", TEXT, "--gain", "2"], "--compare"),
        (["gradients", TEXT, "--compare", "--gain", "nan"], "--gain"),
        (["gradients", TEXT, "--compare", "--train-steps", "-1"], "--train-steps"),
        (["gradcheck", "a"], "too short"),
        (["gradcheck", TEXT, "--label", "x"], "--label"),
        (["inspect", TEXT, "--label", "x"], "--label"),
    ],
)
def test_bad_input_is_one_sentence(place: Path, arguments: list[str], message: str) -> None:
    done = ask(place, *arguments)
    assert done.code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_surprisal_shades_the_text(place: Path) -> None:
    done = ask(place, "evaluate", "--colour", "-", stdin="abX\u202e\nha\n".encode())
    lines = done.text.splitlines()
    assert (done.code, lines[0]) == (0, "marked . : + # from 1, 2, 4, 6 bits on")
    assert lines[2] == "ab\ufffd\ufffd" + lines[2][4:]
    scored = ask(place, "evaluate", "--per-char", "-", stdin=b"ab").text.splitlines()
    expected = [" .:+#"[sum(float(row.split("\t")[0]) >= level for level in (1, 2, 4, 6))] for row in scored[:2]]
    assert lines[3][:2].ljust(2) == "".join(expected)
    assert ask(place, "evaluate", "--colour", "--json", "-").code == 2
    (place / "text").write_text("abcah\n", "utf-8")
    shown = run_on_terminal("evaluate", "--colour", place / "text", "-m", place / "chars.safetensors").text
    assert "\x1b[48;5;" in shown
