"""rnn sample, as users meet it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import ENVIRONMENT, LINES_TEXT, PROGRAM, SMALL, STREAM_TEXT, Result, run, run_on_terminal, run_process

HIDDEN_TEXT = "a\x1b[2J\u202eb\u200b\n" * 60


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with models of a stream (the default one), lines, bytes and hidden characters."""
    directory = tmp_path_factory.mktemp("models")
    for name, text, *options in (
        ("model.safetensors", STREAM_TEXT, "--stream"),
        ("lines", LINES_TEXT, "--lines"),
        ("bytes", STREAM_TEXT, "--stream", "--bytes"),
        ("hidden", HIDDEN_TEXT, "--stream"),
    ):
        options += [*SMALL, "--steps", "300", "--learning-rate", "0.03"]
        done = run("train", "-", "-m", name, *options, cwd=directory, stdin=text.encode())
        assert done.code == 0, done.stderr
    return directory


def sample(place: Path, *arguments: object, stdin: bytes = b"") -> str:
    """Return what is written with a fixed seed; it must succeed."""
    done = run("sample", "--random-seed", 1, *arguments, cwd=place, stdin=stdin)
    assert (done.code, done.stderr) == (0, "")
    return done.text


def lines_of(place: Path, *arguments: object, stdin: bytes = b"") -> list[str]:
    """Return the lines of the texts that a line model writes: the one named "lines", or another that is given."""
    model = [] if "-m" in arguments else ["-m", "lines"]
    return sample(place, *model, *arguments, stdin=stdin).removesuffix("\n").split("\n")


# The seed


def test_prompt_and_continuation(place: Path) -> None:
    text = sample(place, "--seed", "the cat", "-l", 30)
    assert text.startswith("the cat")
    assert len(text) == len("the cat") + 30 + 1
    assert text.endswith("\n")
    assert set(text) <= set(STREAM_TEXT)
    assert sample(place, "--prompt", "the cat", "-l", 30) == text
    assert sample(place, "--seed", "the cat", "-l", 30, "--no-echo") == text.removeprefix("the cat")
    assert sample(place, "--seed", "the cat", "-l", 30, "--raw") + "\n" == text


def test_prompt_may_come_from_a_file_or_stdin(place: Path, tmp_path: Path) -> None:
    (tmp_path / "seed.txt").write_bytes(b"the cat")
    text = sample(place, "--seed", "the cat", "-l", 30)
    assert sample(place, "--seed-file", tmp_path / "seed.txt", "-l", 30) == text
    assert sample(place, "--seed-file", "-", "-l", 30, stdin=b"the cat") == text
    assert sample(place, "--seed", "-", "-l", 30, stdin=b"the cat") == text
    assert sample(place, "--seed", "the cat", "-l", 30, stdin=b"the dog") == text


def test_prompt_is_read(place: Path) -> None:
    greedy = [sample(place, "--seed", seed, "-t", 0, "-l", 5, "--no-echo") for seed in ("th", "sat, and s", "mat")]
    assert len(set(greedy)) > 1


def test_without_a_prompt_a_text_begins(place: Path) -> None:
    assert len(sample(place, "-l", 30)) == 31
    assert len(sample(place, "-l", 30, "--seed", "")) == 31


def test_lines_of_stdin_are_prompts_of_a_model_of_lines(place: Path) -> None:
    for option in ("--seed", "--seed-file"):
        written = lines_of(place, option, "-", "-l", 3, stdin=b"car\nbel\n")
        assert [line[:3] for line in written] == ["car", "bel"]
    assert sample(place, "--seed", "-", "-l", 3, stdin=b"the\ncat\n").startswith("the\ncat\n")


@pytest.mark.parametrize("kind", ["pipe with text", "open pipe", "file", "nothing"])
def test_stdin_is_not_read_without_being_asked_for(place: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "text").write_bytes(b"Br\nDr\n")
    reader, writer = os.pipe()
    if kind == "pipe with text":
        os.write(writer, b"Br\nDr\n")
    stdin = {"file": os.open(tmp_path / "text", os.O_RDONLY), "nothing": subprocess.DEVNULL}.get(kind, reader)
    command = ("sample", "-m", place / "lines", "-l", 3, "--random-seed", 1)
    done = run_process(*command, stdin=stdin)  # the pipe is still open: to read it would not end
    assert (done.code, done.stdout) == (0, run(*command).stdout)
    said = "stdin is not read without being asked for; --seed - reads a seed from it\n"
    assert done.stderr == (said if kind in ("pipe with text", "file") else "")
    if kind in ("pipe with text", "file"):
        assert os.read(stdin, 100) == b"Br\nDr\n"  # it is left to the loop that it belongs to


def test_line_of_stdin_is_the_prompt(place: Path) -> None:
    """As `echo car | rnn sample --seed -` gives it; its newline is not the end of what is to be gone on with."""
    written = sample(place, "-m", "lines", "-l", 3, "--seed", "-", stdin=b"car\n")
    assert written == sample(place, "-m", "lines", "-l", 3, "--seed", "car")


def test_unknown_characters_of_the_prompt_may_be_skipped(place: Path) -> None:
    done = run("sample", "--seed", "th?X", cwd=place)
    assert (done.code, done.stdout) == (2, b"")
    assert run("sample", "--seed", "th?X", "--unknown", "error", cwd=place) == done
    assert sample(place, "--seed", "th?X", "--unknown", "skip", "-q") == sample(place, "--seed", "th")


# How many, how long, where they end


def test_count_and_length(place: Path) -> None:
    assert len(sample(place, "-l", 7)) == 8
    assert len(sample(place, "--length", 7)) == 8
    assert sample(place, "-l", 0, "--seed", "the") == "the\n"
    assert len(sample(place)) == 501
    assert len(lines_of(place, "-n", 70)) == 70
    assert len(lines_of(place, "--count", 3)) == 3


def test_text_does_not_depend_on_count(place: Path) -> None:
    ten = lines_of(place, "-n", 10)
    assert len(set(ten)) > 1
    assert lines_of(place, "-n", 3) == ten[:3]
    assert lines_of(place, "-n", 1) == ten[:1]
    assert lines_of(place, "-n", 70)[:10] == ten
    one = sample(place, "--seed", "the", "-l", 200)
    assert sample(place, "--seed", "the", "-l", 200, "--no-echo", "-n", 2).startswith(one.removeprefix("the"))
    assert one.startswith(sample(place, "--seed", "the", "-l", 77).removesuffix("\n"))


def test_a_line_ends(place: Path) -> None:
    for line in lines_of(place, "-n", 20, "-l", 500):
        assert len(line) < 500


def test_stop(place: Path) -> None:
    whole = sample(place, "--seed", "the ", "-l", 200, "--no-echo").removesuffix("\n")
    for stop in (whole[20], whole[20:22], whole[100:103]):
        expected = whole[: whole.index(stop)]
        assert sample(place, "--seed", "the ", "-l", 200, "--no-echo", "--stop", stop) == expected + "\n"
    assert sample(place, "--seed", "the ", "-l", 20, "--stop", "tttttttttt", "--no-echo") == whole[:20] + "\n"


# The distribution


def test_greedy_does_not_depend_on_the_random_seed(place: Path) -> None:
    first = run("sample", "-t", 0, "--seed", "the", "-l", 50, cwd=place)
    assert (first.code, first.stderr) == (0, "")
    assert run("sample", "-t", 0, "--seed", "the", "-l", 50, "--random-seed", 9, cwd=place) == first
    assert sample(place, "--top-k", 1, "--seed", "the", "-l", 50) == first.text


def test_temperature_and_top_k_change_the_text(place: Path) -> None:
    plain = sample(place, "-l", 100)
    texts = {plain, sample(place, "-l", 100, "-t", 0.3), sample(place, "-l", 100, "--temperature", 5)}
    assert len({*texts, sample(place, "-l", 100, "--top-k", 3)}) == 4
    assert sample(place, "-l", 100, "--top-k", 1000) == plain == sample(place, "-l", 100, "--top-k", 0)


def test_a_lower_temperature_surprises_the_model_less(place: Path) -> None:
    bits = [
        json.loads(sample(place, "--jsonl", "-l", 400, "-t", temperature))["bits_per_char"]
        for temperature in (0.3, 1, 5)
    ]
    assert bits == sorted(bits)
    assert bits[0] < bits[-1]


def test_the_same_bytes_for_any_threads(place: Path) -> None:
    for options in (["-n", 9], ["-n", 1, "-m", "bytes"], ["-n", 70, "-m", "lines"]):
        one, two = (sample(place, *options, "-l", 100, "--threads", threads) for threads in (1, 2))
        assert one == two


def test_printed_random_seed_repeats_the_text(place: Path) -> None:
    done = run("sample", "-l", 50, cwd=place)
    (seed,) = re.fullmatch(r"random seed (\d+)\n", done.stderr).groups()  # type: ignore[union-attr]
    assert run("sample", "-l", 50, "--random-seed", seed, cwd=place) == Result(0, done.stdout, "")
    assert run("sample", "-l", 50, "--random-seed", int(seed) + 1, cwd=place).stdout != done.stdout
    for quiet in ("-q", "--quiet"):
        assert run("sample", "-l", 50, quiet, cwd=place).stderr == ""


def test_top_p_and_min_p_change_the_text(place: Path) -> None:
    plain = sample(place, "-l", 100)
    assert sample(place, "-l", 100, "--top-p", 1, "--min-p", 0) == plain
    greedy = sample(place, "-l", 100, "-t", 0)
    assert sample(place, "-l", 100, "--top-p", 0) == greedy == sample(place, "-l", 100, "--min-p", 1)
    assert len({plain, greedy, sample(place, "-l", 100, "--top-p", 0.7), sample(place, "-l", 100, "--min-p", 0.2)}) == 4


# What may come


def test_letters_are_forbidden_and_lengths_kept(place: Path) -> None:
    options = ["--seed", "be", "-n", 20, "--min-length", 5, "--max-length", 7, "--forbid", "al"]
    texts = lines_of(place, *options)
    assert len(texts) == 20
    for text in texts:
        assert text.startswith("be")
        assert 5 <= len(text) <= 7
        assert not set("al") & set(text.removeprefix("be"))


def test_whole_texts_match(place: Path) -> None:
    options = ["-n", 20, "--seed", "be", "--pattern", "b[a-z]{2,6}", "--suffix", "e", "--must-contain", "l"]
    for text in lines_of(place, *options, "--must-contain", "a"):
        assert re.fullmatch("be(?=.*l)(?=.*a)[a-z]{0,4}e", text)
    whole = sample(place, "--pattern", "the [^.]{30,90}", "-m", "model.safetensors", "--seed", "the ").removesuffix(
        "\n"
    )
    assert re.fullmatch("the [^.]{30,90}", whole)
    done = run("sample", "-m", "lines", "--pattern", "b{9}", "--max-length", 5, cwd=place)
    assert (done.code, done.stdout) == (2, b"")
    assert "has 9 characters" in done.stderr


def test_models_are_mixed(place: Path) -> None:
    shutil.copy(place / "lines", place / "a:0.5")
    alone = lines_of(place, "-n", 9)
    assert lines_of(place, "-n", 9, "-m", "a:0.5") == alone
    assert lines_of(place, "-n", 9, "-m", "lines:7", "-m", "a:0.5:3") == alone
    done = run("sample", "-m", "lines", "-m", "bytes", cwd=place)
    assert (done.code, "must read texts alike" in done.stderr) == (2, True)


def test_unique_and_novel(place: Path) -> None:
    options = [*SMALL, "--steps", 300, "--learning-rate", 0.03, "--lines", "--validation-fraction", 0, "-m", "whole"]
    assert run("train", "-", *options, cwd=place, stdin=LINES_TEXT.encode()).code == 0
    known = set(LINES_TEXT.splitlines())
    assert set(lines_of(place, "-m", "whole", "-n", 30)) & known
    texts = lines_of(place, "-m", "whole", "-n", 30, "--unique", "--novel")
    assert len(set(texts)) == 30
    assert not set(texts) & known
    done = run("sample", "-m", "lines", "-n", 9, "--unique", "-t", 0, "--seed", "a", cwd=place)
    assert (done.code, len(done.text.splitlines()), done.stderr.count("\n")) == (1, 1, 1)
    assert "1 of 9 texts were found" in done.stderr


def test_copies_are_short(place: Path) -> None:
    def longest(text: str) -> int:
        sizes = range(len(text), 0, -1)
        return next(n for n in sizes if any(text[k : k + n] in STREAM_TEXT for k in range(len(text) - n + 1)))

    assert longest(sample(place, "-l", 300, "-t", 0.2)) > 15
    assert longest(sample(place, "-l", 300, "-t", 0.2, "--max-copy", 12)) <= 13  # the newline at the end is none of it


def test_the_best_of_several(place: Path) -> None:
    texts = [json.loads(line) for line in lines_of(place, "--jsonl", "-n", 12)]
    best = [json.loads(line) for line in lines_of(place, "--jsonl", "-n", 3, "--best-of", 4)]
    assert best == [min(texts[k : k + 4], key=lambda text: text["bits_per_char"]) for k in (0, 4, 8)]
    assert json.loads(lines_of(place, "--jsonl", "--best-of", 4)[0]) == best[0]


def test_a_fingerprint_may_be_left_out(place: Path) -> None:
    options = [*SMALL, "--steps", 3, "--lines", "-m", "without"]
    assert run("train", "-", *options, "--no-fingerprint", cwd=place, stdin=LINES_TEXT.encode()).code == 0
    done = run("sample", "-m", "without", "--novel", cwd=place)
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert "--novel needs the fingerprint" in done.stderr
    known = [
        json.loads(run("info", "-m", name, "--json", cwd=place).text)["fingerprint"] for name in ("without", "lines")
    ]
    assert known[0] is None
    assert list(known[1]) == ["bytes", "false_positive_rate"]
    assert "fingerprint false positive rate" in run("info", "-m", "lines", cwd=place).text


# Several seeds


def test_each_line_is_a_prompt(place: Path, tmp_path: Path) -> None:
    seeds = ["be", "", "ca", "be"]
    (tmp_path / "seeds.txt").write_text("\n".join(seeds) + "\n")
    texts = lines_of(place, "--seeds", tmp_path / "seeds.txt", "-n", 2)
    assert len(texts) == 8
    assert all(text.startswith(seeds[number // 2]) for number, text in enumerate(texts))
    assert texts[:2] == lines_of(place, "--seed", "be", "-n", 2)
    assert lines_of(place, "--seeds", "-", stdin=b"be\n\nca\nbe") == texts[::2]
    objects = [json.loads(line) for line in lines_of(place, "--seeds", tmp_path / "seeds.txt", "--jsonl")]
    assert [each["seed"] for each in objects] == seeds
    assert [each["seed"] + each["text"] for each in objects] == texts[::2]
    skipping = lines_of(place, "--seeds", "-", "--unknown", "skip", "-q", stdin=b"b?e\n")
    assert skipping == lines_of(place, "--seed", "be")
    bare = lines_of(place, "--seeds", "-", "--no-echo", stdin=b"be")
    assert ["be" + bare[0]] == texts[:1]


# What is written


def test_jsonl(place: Path) -> None:
    options = ["--seed", "th", "-l", 9, "-n", 3]
    texts = [json.loads(line) for line in sample(place, *options, "--jsonl").splitlines()]
    assert len(texts) == 3
    plain = sample(place, *options)
    assert "".join(f"{text['seed']}{text['text']}\n" for text in texts) == plain
    for text in texts:
        assert list(text) == ["seed", "text", "characters", "bits_per_char", "stopped"]
        assert (text["seed"], text["characters"], text["stopped"]) == ("th", 9, "length")
        assert 0 < text["bits_per_char"] < 20
    stopped = json.loads(sample(place, "--jsonl", "--stop", " "))
    assert (stopped["stopped"], len(stopped["text"])) == ("stop", stopped["characters"])
    ended = [json.loads(line) for line in lines_of(place, "--jsonl", "-n", 5)]
    assert {text["stopped"] for text in ended} == {"end"}
    nothing = json.loads(sample(place, "--jsonl", "-l", 0))
    assert (nothing["text"], nothing["characters"], nothing["bits_per_char"]) == ("", 0, None)
    assert nothing["stopped"] == "length"


def test_the_model_may_come_from_the_environment(place: Path, tmp_path: Path) -> None:
    options = ["sample", "--random-seed", 1, "-l", 20]
    from_environment = run(*options, cwd=tmp_path, env={"RNN_MODEL": str(place / "lines")})
    assert from_environment.text == sample(place, "-m", "lines", "-l", 20)
    given = run(*options, "-m", place / "bytes", cwd=tmp_path, env={"RNN_MODEL": str(place / "lines")})
    assert given.text == sample(place, "-m", "bytes", "-l", 20)


def test_bytes_are_exact(place: Path) -> None:
    options = ["-m", "bytes", "--seed", "the", "-l", 200, "-t", 50, "--random-seed", 1]
    raw = run("sample", *options, "--raw", cwd=place)
    assert len(raw.stdout) == 3 + 200
    assert max(raw.stdout) > 127
    with pytest.raises(UnicodeDecodeError):
        raw.stdout.decode()
    text = run("sample", *options, cwd=place).stdout.decode()
    assert 3 + 190 < len(text.encode()) <= 3 + 200 + 1
    assert not text.isascii()


def test_control_characters_are_escaped_on_a_terminal_only(place: Path) -> None:
    options = ["sample", "-m", place / "hidden", "-l", 60, "--random-seed", 1]
    piped = run(*options).text
    assert {"\x1b", "\u202e", "\u200b"} <= set(piped)
    shown = run_on_terminal(*options)
    assert shown.code == 0
    visible = piped.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e").replace("\u200b", r"\u200b")
    assert shown.text == visible
    assert run_on_terminal(*options, "--raw").text == piped.removesuffix("\n")


# Pipes and disks


def test_only_the_text_goes_to_stdout(place: Path) -> None:
    done = run_process("sample", "-m", place / "model.safetensors", "--seed", "the", "-l", 20)
    assert done.code == 0
    assert len(done.text) == 3 + 20 + 1
    assert done.stderr.startswith("random seed ")


def test_a_closed_pipe_ends_it_quietly(place: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run_process("sample", "-q", "-l", 10**9, cwd=place, stdout=writing)
    os.close(writing)
    assert (done.code, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_sentence(place: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = run_process("sample", "-q", "-n", 3, cwd=place, stdout=full)
    assert done.code == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("rnn: error: ")
    assert "standard output: No space left on device" in done.stderr


def test_a_closed_stdout_is_one_sentence(place: Path) -> None:
    command = f"exec {shlex.join(PROGRAM)} sample -q -l 5 >&-"
    done = subprocess.run(
        ["sh", "-c", command], cwd=place, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("rnn: error: the standard output is closed")
