"""An existing client completes against `rnn serve` by changing its base URL; so do curl, and the other tasks."""

import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import openai
import pytest
from commands import ENVIRONMENT, PROGRAM, run
from http_server import ask, connect, read_answer, read_to_end, request, serving
from portable_models import random_checkpoint
from random_models import make_checkpoint
from typer.main import get_command

from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from rnn_cli.cli import app
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.evaluation import evaluate_texts
from rnn_cli.language.sampling import sample_texts
from rnn_cli.serving.connections import loop_factory, quick_handovers
from rnn_cli.serving.fields import Limits
from rnn_cli.serving.models import Models

TEXT = "abcdefgh\u00e9\u20ac\U0001f600"
PAIRS = "one\teno\ntwo\towt\nthree\teerht\n" * 3
SERIES = "".join(f"{number}\n" for number in [3, 5, 4, 8, 6, 7] * 9)
QUICK = ["--hidden-size", 8, "--steps", 2, "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a model of each task."""
    path = tmp_path_factory.mktemp("models")
    save_checkpoint(path / "lines.safetensors", make_checkpoint(True))
    save_checkpoint(path / "stream.safetensors", make_checkpoint(False))
    for task in ("classify", "tag"):
        save_checkpoint(path / f"{task}.safetensors", random_checkpoint(task, directions=2))
    for task, text in (("translate", PAIRS), ("forecast", SERIES)):
        (path / task).write_text(text)
        command = ["train", task, "--task", task, *QUICK, "-m", f"{task}.safetensors"]
        assert run(*command, cwd=path).code == 0
    return path


@pytest.fixture(scope="module")
def models(folder):
    served = Models({path.stem: load_checkpoint(path) for path in folder.glob("*.safetensors")}, Limits(), threads=2)
    yield served
    served.close()


@pytest.fixture(scope="module")
def port(models):
    with serving(models) as (port, complaints):
        yield port
        assert complaints == []


@pytest.fixture(scope="module")
def client(port):
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:
        yield client


def post(port, path, **values):
    return ask(port, request(values, path=path))


# The client of others


def test_the_openai_client_completes(client, models):
    done = client.completions.create(model="lines", prompt=["ab", "c"], n=2, max_tokens=20, seed=3, temperature=0.8)
    config = SamplingConfig(length=20, random_seed=3, temperature=0.8)
    expected = [text.decode() for text in sample_texts(models.checkpoints["lines"], "ab", 2, config=config)]
    assert [choice.text for choice in done.choices[:2]] == expected
    assert [choice.index for choice in done.choices] == [0, 1, 2, 3]
    assert {choice.finish_reason for choice in done.choices} <= {"stop", "length"}
    assert done.usage.prompt_tokens == 3


def test_the_openai_client_streams(client):
    values = {"model": "stream", "prompt": "a", "n": 3, "max_tokens": 200, "seed": 5, "stop": ["ba"], "echo": True}
    whole = client.completions.create(**values)
    texts, reasons, usage = {}, {}, None
    for piece in client.completions.create(**values, stream=True, stream_options={"include_usage": True}):
        usage = piece.usage
        for choice in piece.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
            reasons[choice.index] = choice.finish_reason
    assert [texts[index] for index in range(3)] == [choice.text for choice in whole.choices]
    assert [reasons[index] for index in range(3)] == [choice.finish_reason for choice in whole.choices]
    assert usage == whole.usage


def test_echo_with_logprobs_is_evaluate(client, models):
    text = TEXT * 3 + "\n"
    values = {"model": "lines", "prompt": text, "max_tokens": 0, "echo": True, "logprobs": 2}
    (choice,) = client.completions.create(**values).choices
    expected = evaluate_texts(models.checkpoints["lines"], [text]).nats_per_char
    assert -np.mean(choice.logprobs.token_logprobs) == pytest.approx(expected, rel=1e-5)
    assert "".join(choice.logprobs.tokens) == text == choice.text


def test_options_of_sample_are_extra_fields(client):
    extra = {"forbid": "abcd", "top_k": 5, "min_length": 20, "unknown": "skip"}
    done = client.completions.create(model="lines", prompt="ZaZ", max_tokens=30, n=9, extra_body=extra)
    assert all(not set(choice.text) & set("abcd") and len(choice.text) >= 19 for choice in done.choices)


def test_the_openai_client_understands_errors(client):
    with pytest.raises(openai.NotFoundError, match="no such `model`"):
        client.completions.create(model="other", prompt="a")
    with pytest.raises(openai.BadRequestError, match="has never seen") as caught:
        client.completions.create(model="lines", prompt="Z")
    assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError, match="`suffix` is not supported"):
        client.completions.create(model="lines", prompt="a", suffix="b")


def test_the_openai_client_lists_models(client):
    assert {model.id for model in client.models.list()} == {
        "lines",
        "stream",
        "classify",
        "tag",
        "translate",
        "forecast",
    }


def test_the_server_says_that_it_is_there(port):
    with connect(port) as connection:
        connection.sendall(request(b"", method="GET", path="/health"))
        assert json.loads(read_answer(connection)[2]) == {"status": "ok"}


# The other tasks


def rows_of(folder, *arguments, stdin=""):
    done = run(*arguments, stdin=stdin.encode(), cwd=folder)
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.text.splitlines()]


def same(found, expected):
    """Say whether objects are the same; numbers differ by their last bits, as rows may be padded otherwise."""
    if isinstance(expected, float):
        return found == pytest.approx(expected, rel=1e-5, abs=1e-6)
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    return found == expected


@pytest.mark.parametrize(
    "options, arguments", [({}, []), ({"top": 3, "threshold": 0.5}, ["--top", 3, "--threshold", 0.5])]
)
@pytest.mark.parametrize("model", ["classify", ["lines", "stream"]], ids=str)
def test_labels_are_those_of_classify(port, folder, model, options, arguments):
    lines = ["abc", "", "gfe dcb", "a" * 300]
    names = [model] if isinstance(model, str) else model
    files = [part for name in names for part in ("-m", f"{name}.safetensors")]
    status, answer = post(port, "/v1/classify", model=model, input=lines, **options)
    assert status == 200, answer
    stdin = "".join(f"{line}\n" for line in lines)
    assert same(answer["data"], rows_of(folder, "classify", *files, "--jsonl", *arguments, stdin=stdin))


def test_tags_are_those_of_tag(port, folder):
    lines = ["abc de", "", "g " * 50]
    status, answer = post(port, "/v1/tag", model="tag", input=lines)
    assert status == 200, answer
    stdin = "".join(f"{line}\n" for line in lines)
    assert answer["data"] == rows_of(folder, "tag", "-m", "tag.safetensors", "--jsonl", stdin=stdin)


def test_targets_are_those_of_translate(port, folder):
    status, answer = post(port, "/v1/translate", model="translate", input=["one", "owl"], n=3)
    assert status == 200, answer
    command = ["translate", "-m", "translate.safetensors", "--jsonl", "-n", 3]
    assert same(answer["data"], rows_of(folder, *command, stdin="one\nowl\n"))


def test_values_are_those_of_forecast(port, folder):
    numbers = [float(line) for line in SERIES.split()[:-1]]
    records = [{"unique_id": "y", "ds": number, "y": value} for number, value in enumerate(numbers, 1)]
    expected = rows_of(
        folder, "forecast", "-", "-m", "forecast.safetensors", "--jsonl", stdin="\n".join(map(str, numbers))
    )
    for given in ("\n".join(map(str, numbers)), numbers, records):
        status, answer = post(port, "/v1/forecast", model="forecast", input=given)
        assert status == 200, answer
        assert same(answer["data"], expected)
    trained = rows_of(folder, "forecast", "-m", "forecast.safetensors", "--jsonl", "--horizon", 2)
    assert same(post(port, "/v1/forecast", model="forecast", horizon=2)[1]["data"], trained)


# The program


@contextmanager
def program(folder, *arguments, **options):
    """Run the program; yield its process, its port, and its lines on stderr after it listens."""
    command = [*PROGRAM, "serve", *arguments]
    process = subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, text=True, **{"env": ENVIRONMENT, **options}
    )
    try:
        line = process.stderr.readline()
        while not (found := re.search(r"http://(.*):(\d+)/v1", line)):
            assert line, process.wait()
            line = process.stderr.readline()
        yield process, int(found[2])
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_the_example_of_the_help_runs(folder):
    (example,) = re.findall(r"Example: rnn serve (.*)", get_command(app).commands["serve"].help)
    shutil.copy(folder / "stream.safetensors", folder / "model.safetensors")
    with program(folder, *shlex.split(example), "--port", "0") as (process, port):
        url = f"http://localhost:{port}/v1/completions"
        command = ["curl", "-sS", url, "-H", "Content-Type: application/json", "-d", '{"prompt": "a", "seed": 1}']
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["model"] == "model"
        large = json.dumps({"prompt": "a" * 2_000_000})
        command = ["curl", "-sS", "-w", "%{http_code}", url, "-H", "Content-Type: application/json", "-d", "@-"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, input=large)
        assert done.stdout.endswith("413")


def test_a_signal_lets_streams_end(folder):
    save_checkpoint(folder / "long.model", make_checkpoint(False, boundary_bias=-50))
    with program(folder, "long.model", "--port", "0") as (process, port), connect(port) as idle, connect(port) as busy:
        busy.sendall(request({"prompt": "a", "max_tokens": 3000, "n": 20, "stream": True}))
        start = busy.recv(300)
        process.send_signal(signal.SIGTERM)
        assert start.startswith(b"HTTP/1.1 200")
        assert read_to_end(busy).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert idle.recv(1) == b""
        assert process.wait(20) == 143
        assert "stopping" in process.stderr.read()


def test_a_signal_ends_streams_after_the_grace(folder):
    save_checkpoint(folder / "long.model", make_checkpoint(False, boundary_bias=-50))
    options = ["--port", "0", "--grace", "0.2", "--max-tokens", "1000000"]
    with program(folder, "long.model", *options) as (process, port), connect(port) as busy:
        busy.sendall(request({"prompt": "a", "max_tokens": 10**6, "n": 20, "stream": True}))
        assert busy.recv(8) == b"HTTP/1.1"
        process.send_signal(signal.SIGINT)
        assert b"the server is stopping" in read_to_end(busy)
        assert process.wait(20) == 130


def test_no_text_is_logged(folder):
    with program(folder, "lines.safetensors", "--port", "0") as (process, port):
        for values in ({"prompt": "abcabcabc"}, {"prompt": "abcabcabcZ"}, {"model": "abcabcabc"}, {"abcabcabc": 1}):
            ask(port, request(values))
        ask(port, b"abcabcabc\r\n\r\n")
        process.send_signal(signal.SIGTERM)
        assert "abcabcabc" not in process.stderr.read()


def test_a_token_lets_others_in(folder, tmp_path):
    (tmp_path / "token").write_text("0123456789abcdef\n")
    for given in (["--token", tmp_path / "token"], []):
        environment = {**ENVIRONMENT, **({} if given else {"RNN_TOKEN": "0123456789abcdef"})}
        arguments = ["lines.safetensors", "--port", "0", "--host", "0.0.0.0", "--allow-host", "model.example", *given]
        with program(folder, *map(str, arguments), env=environment) as (_, port):
            assert ask(port, request({"prompt": "a"}))[0] == 401
            right = request({"prompt": "a"}, "Authorization: Bearer 0123456789abcdef", host="model.example")
            assert ask(port, right)[0] == 200


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--host", "0.0.0.0"], "give --token FILE"),
        (["--host", "example.org"], "give --token FILE"),
        (["--stdio", "--port", "1"], "--port is for HTTP"),
        (["--stdio", "--allow-origin", "a"], "--allow-origin is for HTTP"),
        (["--max-states", "1"], "--max-states is for --stdio"),
        (["-m", "lines.safetensors"], "give all of them in one way"),
        (["lines.safetensors"], "the same name, 'lines'"),
    ],
)
def test_wrong_options_are_refused(folder, arguments, words):
    done = run("serve", "lines.safetensors", *arguments, cwd=folder)
    assert (done.code, words in done.stderr) == (2, True), done.stderr


def test_a_port_in_use_is_said(folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = run("serve", "lines.safetensors", "--port", other.getsockname()[1], cwd=folder)
    assert (done.code, "Address already in use; choose another one" in done.stderr) == (1, True), done.stderr
    assert "--port" in done.stderr


@pytest.mark.parametrize("missing", ["uvicorn", "starlette"])
def test_a_missing_library_is_said(folder, missing, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else object())
    done = run("serve", "lines.safetensors", cwd=folder)
    assert (done.code, "pip install 'rnn-cli[serve]'" in done.stderr) == (2, True)


def test_a_server_runs_without_uvloop(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None
    with serving(models) as (port, complaints):
        status, answer = ask(port, request({"model": "stream", "prompt": "a", "max_tokens": 3, "seed": 1}))
    assert (status, len(answer["choices"][0]["text"]), complaints) == (200, 3, [])


def test_handovers_are_quick_while_a_server_runs():
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.004)
    with quick_handovers():
        assert sys.getswitchinterval() < 0.004
    assert sys.getswitchinterval() == pytest.approx(0.004)
    sys.setswitchinterval(before)
