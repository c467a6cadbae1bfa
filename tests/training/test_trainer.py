"""Training: a stopped and resumed run takes the same steps, bit for bit, and the best model is what is kept."""

import math
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from commands import SMALL, STREAM_TEXT, run
from fault_injection import train_until as stop_after

from rnn_cli.cells import CELLS
from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from rnn_cli.errors import CheckpointError, DivergenceError, UsageError
from rnn_cli.language.autoconfig import choose
from rnn_cli.language.evaluation import evaluate_texts
from rnn_cli.language.prediction import predictions
from rnn_cli.language.task import LanguageTask
from rnn_cli.network.config import NetworkConfig
from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.corpus import load_corpus
from rnn_cli.training import saving
from rnn_cli.training import trainer as training
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.run_state import Report
from rnn_cli.training.schedule import learning_rate
from rnn_cli.training.trainer import Trainer

NAMES = sorted({cell.name for cell in CELLS})
MODES = pytest.mark.parametrize("lines", [False, True], ids=["stream", "lines"])
TIMES = ("seconds", "chars_per_second", "units_per_second")
CONFIG = TrainingConfig(
    batch_size=4, sequence_length=8, learning_rate=0.01, dropout=0.3, steps=50, evaluate_every=20, random_seed=5
)
EVERYTHING = {
    "optimizer": "sgd",
    "momentum": 0.8,
    "schedule": "plateau",
    "learning_rate": 0.5,
    "recurrent_dropout": 0.4,
    "weight_decay": 0.01,
    "average": 0.4,
    "augment": 0.2,
    "reset_chance": 0.3,
}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Return a text with a part that is held out, as one stream and as lines."""
    generator = np.random.default_rng(3)
    words = [*{"".join(generator.choice(list("abcdef"), generator.integers(1, 9))): 0 for _ in range(240)}][:200]
    path = tmp_path_factory.mktemp("corpora") / "words.txt"
    path.write_text("\n".join(words))
    options = {"as_bytes": False, "validation_fraction": 0.2, "random_seed": 5}
    return {lines: load_corpus([str(path)], line_mode=lines, **options) for lines in (False, True)}


def load_text(tmp_path, text, held_out=None, **options):
    """Return a corpus of a text, with another one to validate on."""
    (tmp_path / "text.txt").write_text(text)
    (tmp_path / "held_out.txt").write_text(held_out or "")
    return load_corpus(
        [str(tmp_path / "text.txt")],
        as_bytes=False,
        validation_fraction=0.0,
        validation_files=[str(tmp_path / "held_out.txt")] if held_out else None,
        random_seed=5,
        **{"line_mode": None, **options},
    )


def model_of(corpus, name="lstm", activation="tanh", layers=1):
    return NetworkConfig.for_symbols(
        len(corpus.codec), cell=name, activation=activation, hidden_size=16, num_layers=layers
    )


def make_trainer(corpus, config=CONFIG, threads=1, **others):
    return Trainer(LanguageTask(corpus, model_of(corpus)), config, threads, **others)


def train_until(trainer, step=None):
    """Train until this many steps are made, or to the end; return the reports."""
    trainer.stop = lambda: step is not None and trainer.progress.step >= step
    return list(trainer)


def reload(trainer, path, corpus, threads, **others):
    """Save a run, load it and return it."""
    save_checkpoint(path, trainer.checkpoint())
    return Trainer.resume(load_checkpoint(path), LanguageTask(corpus), threads, **others)


def without_times(report):
    values = report if isinstance(report, dict) else report.to_dict()
    return {name: value for name, value in values.items() if name not in TIMES}


def bits(trainer):
    """Return all of a checkpoint but the times, its tensors as bytes."""
    checkpoint = trainer.checkpoint()
    tensors = {name: (t.dtype, t.shape, t.tobytes()) for name, t in checkpoint.tensors().items()}
    record = {name: value for name, value in checkpoint.record.items() if name not in TIMES}
    record["history"] = [without_times(report) for report in record["history"]]
    progress = checkpoint.progress
    for counts in (progress, (progress or {}).get("good")):
        for name in ("seconds", "overhead"):
            (counts or {}).pop(name, None)
    return checkpoint.config, checkpoint.codec, tensors, record, progress


class Clock:
    """A clock that moves on by a fixed time before each step: it is also the `stop` of a run, until a step."""

    def __init__(self, tick):
        self.now, self.tick = 1000.0, tick

    def __call__(self):
        return self.now

    def train(self, trainer, step=None):
        """Train until this many steps are made, or to the end; yield the reports."""

        def stop():
            self.now += self.tick
            return trainer.progress.step == step

        trainer.stop = stop
        yield from trainer


@pytest.mark.parametrize("name", NAMES)
@MODES
@pytest.mark.parametrize("options", [{"dropout": 0.0}, {}, EVERYTHING], ids=["plain", "dropout", "everything"])
def test_a_resumed_run_is_the_run_that_never_stopped(corpora, tmp_path, name, lines, options):
    corpus = corpora[lines]
    config = replace(CONFIG, **options)
    whole = Trainer(LanguageTask(corpus, model_of(corpus, name, layers=2)), config, 1)
    per_epoch = whole.batches.steps_per_epoch
    assert 7 < per_epoch < 39
    expected = train_until(whole, 45)
    before_the_end = bits(whole)
    expected += train_until(whole)

    pieces = Trainer(LanguageTask(corpus, model_of(corpus, name, layers=2)), config, 2)
    reports = []
    # Before the first report, between two, at an evaluation, after it, between epochs, and in the decay.
    for number, step in enumerate(sorted([0, 1, 7, 20, 21, per_epoch, 39])):
        reports += train_until(pieces, step)
        assert pieces.progress.step == step
        pieces = reload(pieces, tmp_path / "model", corpus, threads=1 + number % 3)
    reports += train_until(pieces, 45)
    assert bits(pieces) == before_the_end
    reports += train_until(pieces)
    assert bits(pieces) == bits(whole)
    assert [*map(without_times, reports)] == [*map(without_times, expected)]
    assert pieces.checkpoint().progress is None
    assert pieces.checkpoint().training == {}


@MODES
@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["dropout", "everything"])
def test_the_bits_do_not_depend_on_the_number_of_threads(corpora, lines, options):
    def run(threads):
        trainer = make_trainer(corpora[lines], replace(CONFIG, **options), threads=threads)
        train_until(trainer, 45)
        return bits(trainer)

    assert run(1) == run(2) == run(3)


def test_another_seed_makes_another_run(corpora):
    runs = [make_trainer(corpora[True], replace(CONFIG, random_seed=seed)) for seed in (5, 6)]
    first, second = ([report.loss for report in train_until(trainer)] for trainer in runs)
    assert all(one != other for one, other in zip(first, second))


def test_dropout_leaves_out_other_units_at_each_step(corpora):
    trainer = make_trainer(corpora[True], replace(CONFIG, evaluate_every=10))
    masks = [trainer.window.mask.copy() for _ in trainer]
    assert len({mask.tobytes() for mask in masks}) == CONFIG.steps
    assert set(np.unique(masks)) == {np.float32(0), 1 / np.float32(0.7)}
    assert np.mean(masks) == pytest.approx(1, abs=0.1)
    assert make_trainer(corpora[True], replace(CONFIG, dropout=0.0)).window.mask.min() == 1


@pytest.mark.parametrize("option", EVERYTHING)
def test_each_option_of_the_training_does_something(corpora, option):
    """Without it, the run with all of them ends elsewhere."""
    options = {name: value for name, value in EVERYTHING.items() if name != option}
    config = replace(CONFIG, **options, evaluate_every=4)
    runs = [make_trainer(corpora[False], each) for each in (config, replace(config, **EVERYTHING))]
    for trainer in runs:
        train_until(trainer)
    assert not np.array_equal(*([trainer.model.parameters, trainer.window.average] for trainer in runs))


def test_streams_are_reset_at_random(corpora):
    def run(chance):
        trainer = make_trainer(corpora[False], replace(CONFIG, reset_chance=chance, evaluate_every=1, dropout=0.0))
        train, starts = trainer.window.train, []
        state = trainer.window.state
        trainer.window.train = lambda *step: starts.append(state.any(axis=(0, 1, 3))) or train(*step)
        train_until(trainer)
        return np.array(starts[1:])

    assert run(0.0).all()
    assert not run(1.0).any()
    kept = run(0.25)
    assert np.mean(kept) == pytest.approx(0.75, abs=0.1)
    assert np.mean(kept.any(axis=1) != kept.all(axis=1)) > 0.5  # each stream by itself


def test_average_is_kept_if_it_is_better(corpora):
    config = replace(CONFIG, steps=200, average=0.25, evaluate_every=200, learning_rate=0.05, schedule="constant")
    trainer, parameters = make_trainer(corpora[True], config), []
    trainer.stop = lambda: parameters.append(trainer.model.parameters.copy())
    (report,) = (report for report in trainer if report.validation_loss is not None)
    parameters.append(trainer.model.parameters.copy())
    average = trainer.window.average
    np.testing.assert_allclose(average, np.mean(parameters[151:], axis=0), atol=1e-5)
    assert np.array_equal(trainer.best_parameters, average)
    assert report.validation_loss < trainer.validation_loss()
    trainer.model.parameters[:] = average
    assert report.validation_loss == trainer.validation_loss()

    alone = make_trainer(replace(corpora[True], validation=None), config)
    train_until(alone)
    assert np.array_equal(alone.best_parameters, average)

    for loss in (math.inf, math.nan):
        worse = make_trainer(corpora[True], config)
        worse._judge_average = lambda loss=loss: training.Judgement(loss)
        train_until(worse)
        assert np.array_equal(worse.best_parameters, worse.model.parameters)


def test_a_plateau_halves_the_rate(tmp_path):
    corpus, trainer = overfitting(tmp_path, schedule="plateau", learning_rate=0.05)
    rates, best, waited = [], math.inf, 0
    factor = 1.0
    for report in trainer:
        if report.validation_loss is None:
            continue
        rates.append(report.learning_rate)
        waited = 0 if report.validation_loss < best else waited + 1
        best = min(best, report.validation_loss)
        factor *= 0.5 if waited and waited % training.PLATEAU_PATIENCE == 0 else 1
        assert trainer.progress.rate_factor == factor
    assert rates[-1] < rates[0] / 2
    with pytest.raises(UsageError, match="plateau needs a part that is held out"):
        make_trainer(replace(corpus, validation=None), replace(CONFIG, schedule="plateau"))


@MODES
def test_evaluations_do_not_disturb_the_training(corpora, lines):
    often, never = (make_trainer(corpora[lines], replace(CONFIG, evaluate_every=every)) for every in (1, 10**9))
    train_until(often, 49)
    train_until(never, 49)
    assert len(often.history) == 49
    assert never.history == []
    theirs = never.checkpoint().training
    for name in ("parameters", "moment1", "moment2", "state"):
        assert np.array_equal(often.checkpoint().training[name], theirs[name])


@MODES
def test_the_held_out_part_is_never_trained_on(corpora, lines):
    corpus = corpora[lines]
    other = corpus.validation.copy()
    other[1:-1] = np.where(other[1:-1] == BOUNDARY, BOUNDARY, corpus.training[1])
    assert not np.array_equal(other, corpus.validation)
    runs = [make_trainer(replace(corpus, validation=held_out)) for held_out in (corpus.validation, other, None)]
    reports = [train_until(trainer, 49) for trainer in runs]
    states = [trainer.checkpoint().training for trainer in runs]
    for state in states[1:]:
        assert all(np.array_equal(state[name], tensor) for name, tensor in states[0].items())
    assert reports[0][-1].loss == reports[1][-1].loss == reports[2][-1].loss
    assert runs[0].history[-1].validation_loss != runs[1].history[-1].validation_loss
    assert all(report.validation_loss is None for report in reports[2])


def overfitting(tmp_path, **options):
    """Return a run that learns a text which the held-out one contradicts."""
    corpus = load_text(tmp_path, "abcd" * 100 + "aabbccdd", "ddccbbaa" * 20, line_mode=False)
    options = {"dropout": 0.0, "steps": None, "epochs": 40.0, "evaluate_every": 5, **options}
    return corpus, make_trainer(corpus, replace(CONFIG, **options))


def test_the_best_model_is_kept(tmp_path):
    corpus, trainer = overfitting(tmp_path)
    after = {}
    for report in trainer:
        after[report.step] = trainer.model.parameters.copy()
    history, progress = trainer.history, trainer.progress
    best = min(history, key=lambda report: report.validation_loss)
    assert best.step < history[-1].step
    assert history[-1].validation_loss > best.validation_loss + 0.5
    assert (progress.best_step, progress.best_loss) == (best.step, best.validation_loss)
    assert np.array_equal(trainer.best_parameters, after[best.step])
    checkpoint = trainer.checkpoint()
    assert (checkpoint.record["best_step"], checkpoint.record["best_loss"]) == (best.step, best.validation_loss)
    # The loss on the held-out text, in streams, is near that of the whole text in one.
    assert evaluate_texts(checkpoint, ["ddccbbaa" * 20]).nats_per_char == pytest.approx(best.validation_loss, rel=0.1)


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_patience_and_the_best_model_survive_a_stop(tmp_path, stop):
    corpus, whole = overfitting(tmp_path, patience=3)
    train_until(whole)
    assert whole.progress.step == whole.progress.best_step + 3 * 5
    assert whole.progress.step < whole.progress.total_steps
    assert whole.finished

    _, stopped = overfitting(tmp_path, patience=3)
    train_until(stopped, whole.progress.best_step + 5 * stop + 2)
    assert stopped.progress.evaluations_without_gain == stop
    resumed = reload(stopped, tmp_path / "model", corpus, threads=2)
    assert np.array_equal(resumed.best_parameters, whole.best_parameters)
    train_until(resumed)
    assert bits(resumed) == bits(whole)


def test_without_a_held_out_part_the_last_model_is_kept(corpora):
    trainer = make_trainer(replace(corpora[False], validation=None))
    reports = train_until(trainer)
    assert np.array_equal(trainer.best_parameters, trainer.model.parameters)
    assert trainer.history == reports
    assert trainer.progress.best_loss is None
    assert trainer.progress.best_step == CONFIG.steps


@pytest.mark.parametrize("stops", [[None], [10, 150, None]], ids=["whole", "resumed"])
def test_minutes_fix_the_number_of_steps_at_their_middle(corpora, tmp_path, stops):
    corpus, clock = corpora[False], Clock(0.25)
    config = replace(CONFIG, steps=None, minutes=1.0, evaluate_every=10)
    trainer = make_trainer(corpus, config, clock=clock)
    fractions, totals = [trainer.fraction], []
    assert trainer.remaining_seconds == 60
    for stop in stops:
        for report in clock.train(trainer, stop):
            fractions.append(trainer.fraction)
            assert trainer.remaining_seconds == pytest.approx(60 - report.seconds, abs=1)
            totals.append(trainer.progress.total_steps)
        if stop:
            clock.now += 1000  # the time between two parts does not count
            trainer = reload(trainer, tmp_path / "model", corpus, 2, clock=clock)
    total = trainer.progress.step
    middle = total // 2
    assert totals == [None] * (middle - 1) + [total] * (total - middle + 1)
    assert trainer.progress.seconds == pytest.approx(60, abs=1)
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1], trainer.remaining_seconds) == (0, 1, 0)

    same = make_trainer(corpus, replace(config, minutes=None, steps=total))
    train_until(same)
    ours, theirs = bits(trainer), bits(same)
    assert ours[3].pop("training")["minutes"] == 1.0
    assert theirs[3].pop("training")["steps"] == total
    assert ours == theirs


@pytest.mark.parametrize("failures", [[100], [60, 60, 60], [119]])
def test_minutes_hold_after_going_back(corpora, failures):
    clock, calls = Clock(0.25), []
    config = replace(CONFIG, steps=None, minutes=1.0, evaluate_every=10)  # 240 steps, did nothing fail
    trainer = make_trainer(corpora[False], config, clock=clock)
    validate = trainer.validation_loss

    def failing():
        calls.append(trainer.progress.step)
        lost = failures and trainer.progress.step >= failures[0] and failures.pop(0)
        return math.nan if lost else validate()

    trainer.validation_loss = failing
    list(clock.train(trainer))
    assert not failures
    assert trainer.progress.seconds == pytest.approx(60, abs=3)


@pytest.mark.parametrize("most_steps, made", [(45, 45), (1000, 50)], ids=["enough", "more than fit"])
def test_run_of_minutes_ends_after_enough_epochs(corpora, most_steps, made):
    corpus, clock = corpora[False], Clock(0.25)
    most_epochs = most_steps / make_trainer(corpus).batches.steps_per_epoch
    config = replace(CONFIG, steps=None, minutes=0.2, most_epochs=most_epochs, evaluate_every=10, schedule="step")
    trainer = make_trainer(corpus, config, clock=clock)
    list(clock.train(trainer))
    assert trainer.progress.step == made
    same = make_trainer(corpus, replace(config, minutes=None, most_epochs=None, steps=made))
    train_until(same)
    assert np.array_equal(same.model.parameters, trainer.model.parameters)


def learned(tmp_path, given):
    """Return the likeliest symbol at each letter of "namaskar", and the least of their probabilities."""
    corpus = load_text(tmp_path, "namaskar\n")
    assert corpus.codec.line_mode
    choice = choose(corpus, given)
    trainer = Trainer(LanguageTask(corpus, choice.model), choice.training, 1)
    train_until(trainer)
    guesses = [step.expected[0] for step in predictions(trainer.checkpoint(), "namaskar", 1)]
    text = corpus.codec.decode([symbol for symbol, _ in guesses])
    return text.decode(), min(probability for _, probability in guesses)


def test_namaskar_is_learned_letter_by_letter(tmp_path):
    text, probability = learned(tmp_path, {})
    assert text == "namaskar\n"
    assert probability > 0.95


def test_every_cell_learns_namaskar(tmp_path, cell):
    text, probability = learned(tmp_path, {"cell": cell.name, "activation": cell.activation})
    assert text == "namaskar\n"
    assert probability > 0.5


def wild(tmp_path):
    """Return a run with a learning rate that is far too high, and a list of what it says."""
    corpus, said = load_text(tmp_path, "abcdefgh" * 100), []
    options = {"learning_rate": 10.0, "batch_size": 2, "sequence_length": 64, "dropout": 0.0}
    config = replace(CONFIG, clip_norm=1e6, optimizer="sgd", momentum=0.0, **options)
    return corpus, Trainer(LanguageTask(corpus, model_of(corpus, "rnn", "relu")), config, 1, say=said.append), said


def test_diverging_run_goes_back_with_a_lower_rate(tmp_path):
    corpus, trainer, said = wild(tmp_path)
    reports = train_until(trainer)
    assert 1 <= len(said) <= training.MOST_ROLLBACKS
    assert trainer.progress.rollbacks == trainer.checkpoint().record["rollbacks"] == len(said)
    assert trainer.progress.rate_factor == 0.5 ** len(said)
    assert all("back to step" in line and "half the learning rate" in line for line in said)
    assert reports[-1].step == 50
    assert reports[-1].loss < 1
    assert [report.step for report in trainer.history] == list(range(2, 51, 2))
    _, again, _ = wild(tmp_path)
    train_until(again)
    assert bits(again) == bits(trainer)


def inject_nan(trainer, at, times=1):
    """Make the gradient of a step not finite, whenever it is made for the first so many times."""
    window, (_, bias) = trainer.window, trainer.model.layout.decoder(trainer.model.parameters)
    train, left = window.train, [times]

    def broken(step, dropconnect):
        if step.number != at or not left[0]:
            return train(step, dropconnect)
        left[0] -= 1
        kept, bias[1] = float(bias[1]), np.nan
        result = train(step, dropconnect)
        bias[1] = kept
        return result

    window.train = broken


@pytest.mark.parametrize("step, back", [(1, 0), (15, 0), (36, 20), (41, 40), (50, 40)])
def test_nonfinite_gradient_goes_back_to_last_good_state(corpora, step, back):
    config = replace(CONFIG, **EVERYTHING)
    trainer, good = make_trainer(corpora[False], config), {}
    inject_nan(trainer, step)
    trainer.say = lambda message: good.update(now=bits(trainer), message=message)
    trainer.stop = lambda: good.setdefault(trainer.progress.step, bits(trainer)) is None
    steps = [report.step for report in trainer]
    assert f"diverged after step {step - 1}:" in good["message"]
    assert f"back to step {back} " in good["message"]
    _, _, tensors, record, progress = good["now"]
    _, _, expected, expected_record, expected_progress = good[back]
    assert {name: tensor for name, tensor in tensors.items() if "training." in name} == {
        name: tensor for name, tensor in expected.items() if "training." in name and "good." not in name
    }
    assert record["history"] == expected_record["history"]
    assert progress["step"] == back
    assert progress["rate_factor"] == expected_progress["rate_factor"] / 2
    assert steps[-1] == 50
    assert trainer.progress.rollbacks == 1


@pytest.mark.parametrize("stops", [[3], [30, 35], [18, 25]])
def test_rollback_survives_a_stop(corpora, tmp_path, stops):
    config = replace(CONFIG, **EVERYTHING)
    whole = make_trainer(corpora[False], config)
    inject_nan(whole, 36, times=3)
    train_until(whole)
    assert whole.progress.rollbacks == 3

    trainer = make_trainer(corpora[False], config)
    for stop in stops:
        inject_nan(trainer, 36, times=3)
        train_until(trainer, stop)
        trainer = reload(trainer, tmp_path / "model", corpora[False], threads=2)
    inject_nan(trainer, 36, times=3)
    train_until(trainer)
    assert bits(trainer) == bits(whole)


def test_a_validation_loss_that_is_not_finite_is_a_divergence(corpora):
    trainer, losses, said = make_trainer(corpora[True]), [], []
    measure = trainer.validation_loss
    trainer.validation_loss = lambda: losses.append(math.nan if len(losses) in (0, 2) else measure()) or losses[-1]
    trainer.say = said.append
    reports = train_until(trainer)
    assert [line.split("back to ")[1].split()[1] for line in said] == ["0", "20"]
    assert [report.step for report in trainer.history] == [20, 40, 50]
    assert all(math.isfinite(report.loss) for report in reports)
    assert trainer.progress.rate_factor == 0.25


def test_the_best_model_is_still_the_best_after_going_back(corpora):
    trainer, told = make_trainer(corpora[True]), []
    start, trainer.say = trainer.good, told.append
    inject_nan(trainer, 36)
    train_until(trainer, 20)
    best, loss = trainer.best_parameters.copy(), trainer.progress.best_loss
    trainer.good = start  # as where no loss was good enough
    trainer.stop = lambda: bool(told)
    list(trainer)
    assert "back to step 0 " in told[0]
    assert (trainer.progress.best_step, trainer.progress.best_loss) == (20, loss)
    assert np.array_equal(trainer.best_parameters, best)


def test_large_losses_of_relu_are_not_a_divergence(corpora):
    trainer = make_trainer(corpora[True])
    trainer.validation_loss = lambda: 1e30
    train_until(trainer, 30)
    assert Trainer.resume(trainer.checkpoint(), LanguageTask(corpora[True]), 1).progress.best_loss == 1e30


def test_bfloat16_run_is_not_called_damaged_without_bfloat16(corpora, monkeypatch):
    trainer = make_trainer(corpora[True])
    train_until(trainer, 3)
    checkpoint = trainer.checkpoint()
    checkpoint.record["training"]["precision"] = "bfloat16"
    monkeypatch.setattr(saving, "HAS_BFLOAT16", False)
    with pytest.raises(UsageError, match="bfloat16, which this processor does not have"):
        Trainer.resume(checkpoint, LanguageTask(corpora[True]), 1)


def test_too_many_epochs_are_refused_by_name(corpora, monkeypatch):
    monkeypatch.setattr(training, "MOST_STEPS", 100)
    make_trainer(corpora[True], replace(CONFIG, steps=None, epochs=1.0))
    with pytest.raises(UsageError, match=r"`epochs=1000` is [0-9,]+ steps, and the limit is 100"):
        make_trainer(corpora[True], replace(CONFIG, steps=None, epochs=1000.0))


def test_repeated_divergence_gives_up_and_keeps_the_best(corpora, tmp_path):
    trainer, said = make_trainer(corpora[True]), []
    trainer.say = said.append
    inject_nan(trainer, 36, times=100)
    with pytest.raises(
        DivergenceError, match=r"diverged after step 35.*of step 20 is kept; try `learning_rate=0\.00016"
    ):
        train_until(trainer)
    assert len(said) == training.MOST_ROLLBACKS
    assert np.isfinite(trainer.model.parameters).all()
    path = tmp_path / "model"
    save_checkpoint(path, trainer.checkpoint())
    kept = load_checkpoint(path)
    best = trainer.model.layout.to_torch(trainer.best_parameters)
    assert all(np.array_equal(kept.parameters[name], tensor) for name, tensor in best.items())
    assert kept.progress is None

    alone = make_trainer(corpora[True])
    inject_nan(alone, 1, times=100)
    with pytest.raises(DivergenceError, match="there is no model yet"):
        train_until(alone)


@pytest.mark.parametrize("steps", [0, 1, 13])
def test_stop_ends_the_run_after_the_step(corpora, steps):
    answers = iter([False] * steps + [True])
    trainer = make_trainer(corpora[True], stop=lambda: next(answers))
    reports = list(trainer)
    assert trainer.progress.step == steps
    assert [report.step for report in reports] == list(range(2, steps + 1, 2))
    assert not trainer.finished


@MODES
def test_the_numbers_of_the_reports_fit_together(corpora, lines):
    clock = Clock(0.125)
    trainer = make_trainer(corpora[lines], replace(CONFIG, evaluate_every=30), clock=clock)
    reports = list(clock.train(trainer))
    assert [report.step for report in reports] == [
        *range(3, 48, 3),
        50,
    ]  # not 48: the last report is about more than two steps
    assert [report.step for report in trainer.history] == [30, 50]
    assert trainer.history == [report for report in reports if report.validation_loss is not None]
    for report in reports:
        assert report.epoch == pytest.approx(report.step / trainer.batches.steps_per_epoch)
        assert report.learning_rate == learning_rate(CONFIG.learning_rate, report.step - 1, 50)
        assert report.units_per_second <= 4 * 8 / 0.125
        assert report.grad_norm >= 0  # the last windows of an epoch of lines may have nothing to score
        assert report.validation_score is None
    assert all(one.seconds < other.seconds for one, other in pairwise(reports))
    assert reports[-1].seconds == trainer.progress.seconds
    assert reports[0].loss == pytest.approx(math.log(len(trainer.task.corpus.codec)), rel=0.1)


@MODES
def test_reported_loss_is_the_mean_since_the_last_report(corpora, lines):
    each, some = (make_trainer(corpora[lines], replace(CONFIG, evaluate_every=every)) for every in (10, 40))
    single, together = train_until(each), train_until(some)
    assert [report.step for report in together] == [*range(4, 48, 4), 50]
    scored = [np.count_nonzero(each.batches.batch(step).targets >= 0) for step in range(50)]
    start = 0
    for report in together:
        span = slice(start, report.step)
        expected = np.average([report.loss for report in single[span]], weights=scored[span])
        assert report.loss == pytest.approx(expected, rel=1e-9)
        start = report.step


@MODES
def test_the_validation_loss_counts_every_held_out_symbol_once(corpora, lines):
    trainer = make_trainer(corpora[lines], replace(CONFIG, batch_size=1, evaluate_every=10**6))
    train_until(trainer, 9)
    codec = corpora[lines].codec
    held_out = codec.decode(corpora[lines].validation[1:]).decode()
    trainer.best_parameters[:] = trainer.model.parameters
    scores = evaluate_texts(trainer.checkpoint(), [held_out])
    assert scores.characters == corpora[lines].validation_characters
    assert trainer.validation_loss() == pytest.approx(scores.nats_per_char, rel=1e-5)


def test_a_long_history_is_thinned_out(corpora, monkeypatch, tmp_path):
    monkeypatch.setattr(training, "LONGEST_HISTORY", 8)
    trainer = make_trainer(corpora[True], replace(CONFIG, evaluate_every=1))
    train_until(trainer, 8)
    assert [report.step for report in trainer.history] == list(range(1, 9))
    trainer = reload(trainer, tmp_path / "model", corpora[True], 1)
    train_until(trainer)
    steps = [report.step for report in trainer.history]
    assert len(steps) <= 8
    assert steps == sorted(set(steps))
    assert steps[0] == 1


def test_epochs_are_passes_over_the_text(corpora):
    trainer = make_trainer(corpora[True], replace(CONFIG, steps=None, epochs=1.5))
    per_epoch = trainer.batches.steps_per_epoch
    assert trainer.progress.total_steps == round(1.5 * per_epoch)
    assert train_until(trainer)[-1].epoch == pytest.approx(1.5, abs=0.5 / per_epoch)
    shortest = make_trainer(corpora[True], replace(CONFIG, steps=None, epochs=0.001))
    assert shortest.progress.total_steps == 1


@pytest.mark.parametrize("lengths", [{}, {"steps": 5, "minutes": 1.0}, {"epochs": 1.0, "minutes": 1.0}])
def test_a_run_needs_one_length(corpora, lengths):
    with pytest.raises(UsageError, match="one of steps, epochs and minutes"):
        make_trainer(corpora[True], replace(CONFIG, **{"steps": None, **lengths}))


@pytest.mark.parametrize("vocab_size", [2, 26, 28])
def test_a_network_for_another_vocabulary_is_refused(corpora, vocab_size):
    corpus = corpora[True]
    assert len(corpus.codec) not in (2, 26, 28)
    with pytest.raises(UsageError, match="for_symbols"):
        LanguageTask(corpus, NetworkConfig.for_symbols(vocab_size, hidden_size=5))


def test_a_changed_corpus_is_refused(corpora, tmp_path):
    trainer = make_trainer(corpora[True])
    train_until(trainer, 3)
    other = load_text(tmp_path, "\n".join(["abcdef", "fedcba"] * 20), line_mode=True)
    with pytest.raises(UsageError, match=r"text\.txt is not the text"):
        Trainer.resume(trainer.checkpoint(), LanguageTask(other), 1)


@pytest.mark.parametrize("record", [{}, {"corpus": {}}, {"corpus": {"digest": 7}}])
def test_resuming_without_a_recorded_corpus_is_refused(corpora, record):
    trainer = make_trainer(corpora[True])
    train_until(trainer, 3)
    checkpoint = trainer.checkpoint()
    checkpoint.record = {"training": checkpoint.record["training"], "history": [], **record}
    with pytest.raises(UsageError, match="not the text"):
        Trainer.resume(checkpoint, LanguageTask(corpora[True]), 1)


def test_the_library_resumes_what_the_command_wrote(tmp_path):
    (tmp_path / "stream.txt").write_text(STREAM_TEXT)
    command = ["stream.txt", *SMALL, "--steps", 20, "--random-seed", 4]
    assert stop_after(10, *command, cwd=tmp_path).code == 143
    checkpoint = load_checkpoint(tmp_path / "model.safetensors")
    assert checkpoint.source["paths"] == [str((tmp_path / "stream.txt").resolve())]
    fraction = checkpoint.source["validation_fraction"]
    corpus = load_corpus(
        checkpoint.source["paths"], as_bytes=False, line_mode=None, validation_fraction=fraction, random_seed=4
    )
    trainer = Trainer.resume(checkpoint, LanguageTask(corpus), 2)
    assert trainer.progress.step == 10
    train_until(trainer)
    assert run("train", *command, "-m", "whole", cwd=tmp_path).code == 0
    whole = load_checkpoint(tmp_path / "whole")
    assert all(np.array_equal(whole.parameters[name], tensor) for name, tensor in trainer.best_tensors().items())


def test_a_complete_run_is_not_resumed(corpora):
    trainer = make_trainer(corpora[True], replace(CONFIG, steps=2))
    train_until(trainer)
    with pytest.raises(UsageError, match="nothing to resume"):
        Trainer.resume(trainer.checkpoint(), LanguageTask(corpora[True]), 1)


def damage(part, name, value):
    """Return a function that replaces one value of a checkpoint, or takes it away where `value` is None."""

    def apply(checkpoint):
        values = getattr(checkpoint, part)
        if value is None:
            del values[name]
        else:
            values[name] = value(values[name]) if callable(value) else value

    return pytest.param(apply, id=f"{part}-{name}-{getattr(value, '__name__', value)}")


def cut(tensor):
    return tensor[:-1]


def doubled(tensor):
    return np.concatenate([tensor, tensor])


def spread(tensor):
    return tensor.ravel()[:1]


def transposed(tensor):
    return np.ascontiguousarray(tensor.T)


def too_large_for_float32(tensor):
    return np.full(tensor.shape, 1e300)


def without_steps(values):
    return {name: value for name, value in values.items() if name != "steps"}


def with_minutes(values):
    return values | {"minutes": 1.0}


def with_another_batch(values):
    return values | {"batch_size": values["batch_size"] + 1}


REPORT = [item.name for item in fields(Report)]
VECTORS = ("parameters", "moment1", "moment2")
COUNTS = ("step", "best_step", "evaluations_without_gain", "loss_count")
NUMBERS = ("seconds", "overhead", "loss_sum")
DAMAGES = [
    *(damage("training", name, None) for name in (*VECTORS, "state")),
    *(damage("training", name, how) for name in VECTORS for how in (cut, doubled, spread, too_large_for_float32)),
    *(damage("training", "state", how) for how in (cut, doubled, spread, transposed, too_large_for_float32)),
    *(damage("progress", name, value) for name in COUNTS for value in ("7", -1, 1.5, [])),
    *(damage("progress", name, value) for name in NUMBERS for value in ("7", -1.0, [])),
    damage("progress", "step", None),
    damage("progress", "step", 10**30),
    damage("progress", "total_steps", None),
    *(damage("progress", "total_steps", value) for value in ("7", -1, 1.5)),
    damage("progress", "best_loss", "7"),
    damage("progress", "unheard", 1),
    *(damage("progress", "good", value) for value in (7, {}, {"step": 0})),
    *(damage("training", f"good.{name}", how) for name in (*VECTORS, "state") for how in (None, cut, spread)),
    damage("progress", "rate_factor", 2.0),
    damage("progress", "averaged", 1),  # but there is no average
    damage("record", "training", None),
    *(damage("record", "training", value) for value in ({}, without_steps, with_minutes, with_another_batch)),
    damage("record", "history", None),
    *(damage("record", "history", value) for value in ([7], [[]], [{}], [{"step": 1}], [dict.fromkeys(REPORT, "x")])),
]


@pytest.mark.parametrize("apply", DAMAGES)
def test_a_damaged_state_is_refused(corpora, apply):
    trainer = make_trainer(corpora[True])
    train_until(trainer, 3)
    checkpoint = trainer.checkpoint()
    Trainer.resume(checkpoint, LanguageTask(corpora[True]), 1)
    apply(checkpoint)
    with pytest.raises(CheckpointError):
        Trainer.resume(checkpoint, LanguageTask(corpora[True]), 1)


def test_short_held_out_stream_is_cut_into_few_pieces(tmp_path):
    corpus = load_text(
        tmp_path, "some text that goes on and on, as texts do. " * 60, "and a text goes on, as some do. " * 15
    )
    options = {"batch_size": 32, "sequence_length": 32, "learning_rate": 0.02, "steps": 100}
    trainer = make_trainer(corpus, replace(CONFIG, counts=False, **options))
    train_until(trainer)
    checkpoint = trainer.checkpoint()
    whole = evaluate_texts(checkpoint, ["and a text goes on, as some do. " * 15])
    assert checkpoint.record["best_loss"] == pytest.approx(whole.nats_per_char, rel=1e-4)


def test_large_held_out_text_is_validated_in_part(corpora):
    """What is scored is the beginning of each stream: the mean over the first windows, and not over more."""
    trainer = make_trainer(corpora[False])
    batches = trainer.validation = trainer.batches
    assert batches.steps_per_epoch > 20
    scored = []
    batches.batch = lambda number, batch=batches.batch: scored.append(number) or batch(number)
    trainer.validation_loss()
    assert scored == list(range(20))
