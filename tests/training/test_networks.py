"""Several networks, one after the other: each is trained as alone, and a stopped run continues with the same bits."""

import json
from dataclasses import replace

import numpy as np
import pytest
from commands import run

from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.language.autoconfig import MOST_NETWORKS, choose
from rnn_cli.language.evaluation import evaluate_texts
from rnn_cli.language.task import LanguageTask
from rnn_cli.network.config import NetworkConfig
from rnn_cli.text.corpus import load_corpus
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.memory_estimate import peak_memory
from rnn_cli.training.trainer import Trainer

CONFIG = TrainingConfig(
    batch_size=4,
    sequence_length=8,
    learning_rate=0.01,
    dropout=0.2,
    recurrent_dropout=0.2,
    average=0.3,
    steps=30,
    evaluate_every=7,
    networks=3,
    random_seed=5,
)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    generator = np.random.default_rng(3)
    words = [*{"".join(generator.choice(list("abcdef"), generator.integers(2, 9))): 0 for _ in range(300)}]
    path = tmp_path_factory.mktemp("corpora") / "words.txt"
    path.write_text("\n".join(words))
    corpus = load_corpus([str(path)], as_bytes=False, line_mode=True, validation_fraction=0.2, random_seed=5)
    return LanguageTask(corpus, NetworkConfig.for_symbols(len(corpus.codec), hidden_size=12))


def finished(trainer):
    reports = list(trainer)
    return trainer.checkpoint(), reports


def stop_after(trainer, step):
    """Train up to a step."""
    trainer.stop = lambda: trainer.progress.step >= step
    assert list(trainer)
    assert trainer.progress.step == step


def assert_equal_models(first, second):
    assert first.config == second.config
    for name, tensor in first.parameters.items():
        np.testing.assert_array_equal(tensor, second.parameters[name])


def test_each_network_has_the_whole_length(task):
    trainer = Trainer(task, CONFIG, 1)
    model, reports = finished(trainer)
    assert model.config.members == 3
    assert model.progress is None
    assert reports[-1].step == 90
    assert trainer.fraction == 1
    alone, _ = finished(Trainer(task, replace(CONFIG, networks=1), 1))
    np.testing.assert_array_equal(model.parameters["rnn.weight_hh_l0"], alone.parameters["rnn.weight_hh_l0"])
    assert (model.parameters["rnn.weight_hh_l0"] != model.parameters["rnn.weight_hh_l0_2"]).any()


def test_mean_of_networks_predicts_better(task):
    config = replace(CONFIG, steps=60, networks=4)
    together, _ = finished(Trainer(task, config, 1))
    alone, _ = finished(Trainer(task, replace(config, networks=1), 1))
    assert together.record["best_loss"] < alone.record["best_loss"]
    assert together.record["mixture"]["network_loss"] == pytest.approx(together.record["best_loss"], abs=1e-4)


@pytest.mark.parametrize("step", [10, 30, 44, 61])
def test_a_stopped_run_takes_the_same_steps(task, tmp_path, step):
    whole, _ = finished(Trainer(task, CONFIG, 1))
    trainer = Trainer(task, CONFIG, 2)
    stop_after(trainer, step)
    save_checkpoint(tmp_path / "model", trainer.checkpoint())
    stopped = load_checkpoint(tmp_path / "model")
    assert stopped.config.members == max(1, step // 30)
    assert np.isfinite(evaluate_texts(stopped, ["abc", "fed"]).bits_per_char)
    resumed, _ = finished(Trainer.resume(stopped, task, 1))
    assert_equal_models(whole, resumed)


def test_minutes_are_shared(task):
    class Clock:
        now = 0.0

        def __call__(self):
            self.now += 0.05
            return self.now

    config = replace(CONFIG, steps=None, minutes=1.0)
    trainer = Trainer(task, config, 1, clock=Clock())
    model, reports = finished(trainer)
    assert model.config.members == 3
    each = model.record["total_steps"] - trainer.progress.begun
    assert reports[-1].step == 3 * each
    assert 50 < model.record["seconds"] < 70


def test_damaged_members_are_refused(task):
    trainer = Trainer(task, CONFIG, 1)
    stop_after(trainer, 44)
    for number in (0, 7):
        damage = {f"member.{number}.decoder.bias": np.zeros(3, np.float32)}
        stopped = trainer.checkpoint()
        stopped.training |= damage
        with pytest.raises(CheckpointError, match="damaged"):
            Trainer.resume(stopped, task, 1)


def test_several_networks_exclude_patience_and_another_start(task):
    model, _ = finished(Trainer(task, replace(CONFIG, networks=1), 1))
    with pytest.raises(UsageError, match="networks"):
        Trainer(task, CONFIG, 1, start=model.parameters)
    with pytest.raises(UsageError, match="patience"):
        Trainer(task, replace(CONFIG, patience=2), 1)


def test_time_that_one_network_leaves_is_used(task):
    def chosen(minutes, **given):
        return choose(task.corpus, {"minutes": minutes, **given}, speed=lambda network, precision: 1e5)

    assert chosen(0.001, epochs=None).training.networks == 1
    plenty = chosen(10.0)
    assert plenty.training.networks == MOST_NETWORKS
    assert any("networks" in reason for reason in plenty.reasons)
    assert chosen(10.0, networks=2).training.networks == 2
    assert chosen(10.0, patience=3).training.networks == 1
    assert choose(task.corpus, {}, None).training.networks == 1


def test_networks_take_memory(task):
    one, three = (peak_memory(task.network, replace(CONFIG, networks=count), 0) for count in (1, 3))
    assert three > one


def test_a_model_of_networks_goes_through_the_commands(tmp_path):
    (tmp_path / "text").write_text("".join(f"{first}{second}a\n" for first in "bdglmnrst" for second in "aeiou"))
    sizes = ["--hidden-size", 8, "--epochs", 4, "--layers", 2, "--validation-fraction", 0.2, "--random-seed", 1]
    done = run("train", "text", *sizes, "--networks", 2, "-m", "model", cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert "of 2 networks together" in done.stderr
    assert "networks" in run("info", "-m", "model", cwd=tmp_path).stdout.decode()
    scored = json.loads(run("evaluate", "text", "-m", "model", "--json", "--counts", 0, cwd=tmp_path).stdout)
    exported = run("export", "model", "--to", "hub", "-o", "hub", "--license", "mit", cwd=tmp_path)
    assert exported.code == 0, exported.stderr
    assert "its 2 networks are one of 16 units here" in exported.stderr
    config = json.loads((tmp_path / "hub/config.json").read_text())
    assert config["hidden_size"] == 16
    again = ["import", "hub/model.safetensors", "--symbols", "hub/config.json", "-m", "again"]
    assert run(*again, cwd=tmp_path).code == 0
    one = json.loads(run("evaluate", "text", "-m", "again", "--json", cwd=tmp_path).stdout)
    assert one["bits_per_char"] == pytest.approx(scored["bits_per_char"], abs=1e-5)
    for command in (["sample", "-n", 3], ["inspect", "bada"], ["gradients", "bada"], ["complete", "ba"]):
        result = run(*command, "-m", "model", cwd=tmp_path)
        assert result.code == 0, result.stderr
    assert run("evaluate", "text", "-m", "model", "--adapt", cwd=tmp_path).code == 0
    tuned = run("train", "text", "--from", "model", "--steps", 3, "-m", "tuned", cwd=tmp_path)
    assert tuned.code == 0, tuned.stderr
    assert load_checkpoint(tmp_path / "tuned").config.members == 2


@pytest.mark.parametrize("others", [["--words"], ["--from", "model"], ["--patience", 2, "--validation-file", "text"]])
def test_networks_are_refused_with_a_sentence(tmp_path, others):
    (tmp_path / "text").write_text("a b c\nb c a\n" * 30)
    assert run("train", "text", "--steps", 2, "--hidden-size", 4, "-m", "model", cwd=tmp_path).code == 0
    refused = run("train", "text", "--networks", 2, "--steps", 2, *others, "-m", "new", cwd=tmp_path)
    assert refused.code == 2
    assert "--networks" in refused.stderr
    assert not (tmp_path / "new").exists()
