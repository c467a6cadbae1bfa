"""Several networks of other tasks: chosen if the time is given, and answered by their mean."""

import json

import numpy as np
import pytest
from commands import run

from rnn_cli.checkpoint.checkpoint import load_checkpoint
from rnn_cli.language.autoconfig import MOST_NETWORKS
from rnn_cli.tasks.classify.autoconfig import SUITS
from rnn_cli.tasks.defaults import Data, Defaults
from rnn_cli.tasks.tag.autoconfig import TagDefaults

SHORT = ["--hidden-size", 6, "--epochs", 2, "--random-seed", 1, "--threads", 1]
DATA = Data(30, 4, np.full(1000, 12), 1000, "texts")


def epochs_take(minutes):
    """Return a speed with which an epoch of DATA takes some minutes."""
    return lambda network, precision: 12_000 / (60 * minutes)


@pytest.mark.parametrize("epochs_in_time, networks", [(5, 1), (20, 1), (23, 2), (1000, MOST_NETWORKS)])
def test_a_classifier_has_as_many_networks_as_fit(epochs_in_time, networks):
    given = {"minutes": 1.0, "hidden_size": 128}
    choice = Defaults(DATA, given, epochs_take(1 / epochs_in_time)).choose(SUITS)
    assert choice.training.networks == networks
    assert choice.training.most_epochs == (SUITS.most_epochs if networks == 1 else SUITS.together)


@pytest.mark.parametrize("given", [{"epochs": 3.0}, {"minutes": 1.0, "networks": 1}, {"minutes": 1.0, "patience": 4}])
def test_one_network_is_trained_otherwise(given):
    assert Defaults(DATA, given, epochs_take(1e-6)).choose(SUITS).training.networks == 1
    assert Defaults(DATA, {"minutes": 1.0}, epochs_take(1e-6)).choose(SUITS, fine_tuning=True).training.networks == 1
    assert TagDefaults(DATA, given, epochs_take(1e-6)).choose_all(False).training.networks == 1


def test_a_tagger_has_as_many_networks_as_fit():
    assert TagDefaults(DATA, {"minutes": 1.0}, epochs_take(1e-6)).choose_all(False).training.networks == MOST_NETWORKS


@pytest.mark.parametrize("readout", ["mean", "last"])
def test_classifiers_answer_together(tmp_path, readout):
    lines = [f"{label}\t{label * 3}{tail}" for label in ("ab", "cd", "ef") for tail in ("x", "y", "z", "xy", "yz")]
    (tmp_path / "texts.tsv").write_text("\n".join(lines) + "\n")
    options = [*SHORT, "--networks", 2, "--readout", readout, "-m", "model"]
    done = run("train", "texts.tsv", "--task", "classify", *options, cwd=tmp_path)
    assert done.code == 0, done.stderr
    model = load_checkpoint(tmp_path / "model")
    assert model.config.members == 2
    scores = json.loads(run("evaluate", "texts.tsv", "-m", "model", "--json", cwd=tmp_path).stdout)
    assert 0 <= scores["accuracy"] <= 1
    exported = run("export", "model", "--to", "c", "-o", "model.h", cwd=tmp_path)
    assert exported.code == 0, exported.stderr


def test_taggers_answer_together(tmp_path):
    (tmp_path / "sentences.tsv").write_text("the\tD\ndog\tN\nsleeps\tV\n\na\tD\ncat\tN\nruns\tV\n\n" * 8)
    done = run("train", "sentences.tsv", "--task", "tag", *SHORT, "--networks", 3, "-m", "model", cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert load_checkpoint(tmp_path / "model").config.members == 3
    tagged = run("tag", "-m", "model", "--inline", cwd=tmp_path, stdin=b"the cat sleeps\n")
    assert tagged.code == 0, tagged.stderr
    assert tagged.stdout.count(b"/") >= 3


@pytest.mark.parametrize(
    "task, text", [("translate", "ab\tba\nbc\tcb\n" * 30), ("forecast", "value\n" + "1\n2\n4\n" * 20)]
)
def test_networks_of_other_tasks_are_refused(tmp_path, task, text):
    (tmp_path / "data.csv").write_text(text)
    extra = ["--season", 3, "--horizon", 2] if task == "forecast" else []
    refused = run("train", "data.csv", "--task", task, *SHORT, *extra, "--networks", 2, "-m", "model", cwd=tmp_path)
    assert refused.code == 2
    assert "--networks is for a new model that writes characters, labels or tags" in refused.stderr
