"""Help, version, completion and usage errors are quick; commands and options are the promised ones."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import typer
from commands import ENVIRONMENT, run

from rnn_cli import __version__
from rnn_cli.cells import CELLS
from rnn_cli.cli import app
from rnn_cli.kernels.network.optimizer import RULES
from rnn_cli.network.config import NetworkConfig
from rnn_cli.training.config import TrainingConfig

HEAVY = ["numpy", "numba", "llvmlite", "rich", "safetensors", "secrets"]
PROBE = (
    "import sys; from rnn_cli.__main__ import main; code = main(); "
    f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr); sys.exit(code)"
)
PROMISED = {
    "train": """--model -m --precision --minutes --epochs --steps --cell --activation --hidden-size --layers --dropout
        --recurrent-dropout --batch-size --sequence-length --optimizer --momentum --schedule --learning-rate
        --clip-norm --weight-decay --average --augment --reset-chance --lines --stream --bytes
        --paragraphs --files --column --min-count --tokens
        --validation-fraction --validation-file --patience --from --no-fingerprint --no-counts --matches --networks
        --resume --overwrite
        --dry-run --log --random-seed --threads --quiet -q
        --plot --task --labelled --directions --readout --words --vocabulary --horizon --season --quantiles
        --target-words --target-characters --groups --mpi --help -h""",
    "sweep": "--study --trials --best --model -m --json --threads --quiet -q --help -h",
    "sample": """--label --seed --prompt --seed-file --seeds --model -m --count -n --length -l --min-length --max-length
        --temperature -t --top-k --top-p --min-p --counts --forbid --pattern --suffix --must-contain
        --unique --novel --max-copy --best-of --stop
        --no-echo --unknown --jsonl --raw --precision --random-seed --shard --threads --quiet -q --help -h""",
    "serve": """--model -m --stdio --host --port --token --allow-host --allow-origin --max-connections --grace
        --max-tokens --max-prompt --max-choices --max-body --max-waiting --max-seconds --max-states
        --precision --threads --quiet -q --help -h""",
    "complete": "--label --model -m --count -n --length -l --plain --no-echo --json --threads --quiet -q --help -h",
    "write": """--model -m --label --length -l --temperature -t --top-k --top-p --min-p --forbid --max-copy --novel
        --pattern --bits --random-seed --quiet -q --help -h""",
    "evaluate": """--model -m --json --per-line --per-char --colour --jsonl --threshold --sort --top --below --above
        --total --guess-number --reset-every --adapt --adapt-rate --adapt-counts --counts --baselines --corpus
        --precision --shard --threads --quiet -q --help -h""",
    "classify": "--model -m --labels --top --threshold --jsonl --json --shard --threads --quiet -q --help -h",
    "tag": "--model -m --inline --jsonl --shard --threads --quiet -q --help -h",
    "translate": "--model -m --count -n --beam --align --jsonl --shard --threads --quiet -q --help -h",
    "forecast": "--model -m --horizon --plot --jsonl --threads --quiet -q --help -h",
    "predict": "--label --model -m --top --each --json --quiet -q --help -h",
    "export": "--to --output -o --model -m --license --int8 --measure-on --quiet -q --help -h",
    "import": "--symbols --lines --activation --model -m --overwrite --quiet -q --help -h",
    "compress": "--output -o --model -m --learn --threads --quiet -q --help -h",
    "decompress": "--output -o --model -m --threads --quiet -q --help -h",
    "plot": "--model -m --over --show --output -o --quiet -q --help -h",
    "report": "--model -m --output -o --label --random-seed --threads --quiet -q --help -h",
    "inspect": "--model -m --label --unit --find-units --json --npz --quiet -q --help -h",
    "gradients": "--model -m --label --compare --train-steps --gain --random-seed --json --quiet -q --help -h",
    "gradcheck": "--model -m --json --quiet -q --help -h",
    "info": "--model -m --json --quiet -q --help -h",
}


def commands() -> dict[str, typer.main.TyperCommand]:
    """Return the commands by their names."""
    group = typer.main.get_command(app)
    return dict(group.commands)  # type: ignore[attr-defined]


def probe(*arguments: str, cwd: Path, **environment: str) -> tuple[int, str, str]:
    """Run a command in a process of its own; the last line of stderr names the heavy modules that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        cwd=cwd,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("arguments", ["--help", "--version", *(f"{name} --help" for name in PROMISED)])
def test_help_imports_nothing_heavy(tmp_path: Path, arguments: str) -> None:
    code, output, error = probe(*arguments.split(), cwd=tmp_path)
    assert (code, error) == (0, "[]\n")
    assert output


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "nope",
        "train",
        "train --nope",
        "train text.txt --steps x",
        "train text.txt --steps 0",
        "train text.txt --steps 1 --epochs 1",
        "train text.txt --cell x",
        "sample --count",
        "sample --temperature nan",
        "sample --seed a --seed-file b",
        "sweep --trials 3",
        "sweep a --study s --trials 3 --log l",
        "predict",
        "predict a --top 0",
        "sample --min-length 5 --max-length 4",
        "sample --seed a --seeds b",
        "complete",
        "complete a --count 0",
        "classify",
        "classify -m a -m b/a",
        "evaluate --threshold -1",
        "evaluate --per-line --per-char",
        "classify -m a -m b --shard 3/2",
        "sample --shard 1/2",
    ],
)
def test_usage_errors_import_nothing_heavy(tmp_path: Path, arguments: str) -> None:
    code, output, error = probe(*arguments.split(), cwd=tmp_path)
    assert (code, output, error.splitlines()[-1]) == (2, "", "[]")


def test_completion_imports_nothing_heavy(tmp_path: Path) -> None:
    _, output, error = probe(cwd=tmp_path, _RNN_COMPLETE="complete_bash", COMP_WORDS="rnn ", COMP_CWORD="1")
    assert set(output.split()) >= set(PROMISED)
    assert error.splitlines()[-1:] in ([], ["[]"])


def test_the_version() -> None:
    done = run("--version")
    assert (done.code, done.text.split(" (")[0].strip(), done.stderr) == (0, f"rnn {__version__}", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_help_of_the_whole(flag: str) -> None:
    done = run(flag)
    assert (done.code, done.stderr) == (0, "")
    for name in PROMISED:
        assert f"  {name} " in done.text


@pytest.mark.parametrize("name", PROMISED)
def test_the_help_of_a_command(name: str) -> None:
    done = run(name, "--help")
    assert (done.code, done.stderr) == (0, "")
    assert run(name, "-h") == done
    assert f"Example: rnn {name}" in " ".join(done.text.split())
    for option in PROMISED[name].split():
        assert option in done.text
    for parameter in commands()[name].params:
        assert getattr(parameter, "help", None), f"{parameter.name} has no help"


@pytest.mark.parametrize("name", PROMISED)
def test_the_options_are_the_promised_ones(name: str) -> None:
    """No more either: an option that is new belongs here and in the tests of its command."""
    options = {"--help", "-h"}
    for parameter in commands()[name].params:
        if parameter.param_type_name == "option":
            options |= {*parameter.opts, *parameter.secondary_opts}
    assert options == set(PROMISED[name].split())


def test_the_commands_are_the_promised_ones() -> None:
    assert set(commands()) == set(PROMISED)


def test_the_choices_are_those_of_the_registries() -> None:
    names = {item.name: item.metadata.get("names") for item in (*fields(NetworkConfig), *fields(TrainingConfig))}
    assert set(names["cell"]) == {cell.name for cell in CELLS}
    assert set(names["activation"]) == {cell.activation for cell in CELLS}
    assert names["optimizer"] == tuple(RULES)
