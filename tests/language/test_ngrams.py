"""A network beside n-gram counts: what is scored, sampled and predicted is the mixture of both."""

import math

import numpy as np
import pytest
from random_models import make_checkpoint, random_text

from rnn_cli.cells import CELLS
from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.kernels.compiler.jit import entry_kernel
from rnn_cli.kernels.text.counts import advance, distribution
from rnn_cli.kernels.text.mixture import KINDS, LEAST, LEVELS
from rnn_cli.kernels.threads import Team
from rnn_cli.language.beam_search import complete
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.dynamic_evaluation import DynamicScorer
from rnn_cli.language.evaluation import make_scorer, score_texts
from rnn_cli.language.matches import MatchModel
from rnn_cli.language.mixture_weights import fit_weights
from rnn_cli.language.ngrams import NgramModel, contexts_for, ngrams_of, padded
from rnn_cli.language.prediction import predictions
from rnn_cli.language.sampling import Sampler
from rnn_cli.language.scorer import Scorer
from rnn_cli.language.stepper import Stepper
from rnn_cli.language.task import LanguageTask
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import Window
from rnn_cli.text.corpus import load_corpus
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.trainer import Trainer

MODES = pytest.mark.parametrize("line_mode", [False, True], ids=["stream", "lines"])


def symbols_of(checkpoint, text):
    return checkpoint.codec.frame(checkpoint.codec.encode(text))


def mixed(line_mode, cell=CELLS[0], order=4):
    """Return a random network beside the counts of a random text."""
    checkpoint = make_checkpoint(line_mode, cell)
    ids = symbols_of(checkpoint, random_text(900, line_mode))
    model = NgramModel.of(ids, len(checkpoint.codec), line_mode, order)
    model.tree.weights[:, :2] = np.linspace((0.3, 0.9), (0.8, 0.2), KINDS)
    checkpoint.counts = model.to_tensors()
    return checkpoint


def matched(line_mode):
    """Return the same with the text that longest matches are looked for in."""
    checkpoint = mixed(line_mode)
    text = MatchModel.of(symbols_of(checkpoint, random_text(900, line_mode)))
    text.shares = np.linspace(0.1, 0.9, len(text.shares))
    checkpoint.counts |= text.to_tensors()
    return checkpoint


@entry_kernel
def read_counts(tree, contexts, symbols, found, columns):
    for i in range(symbols.size):
        distribution(tree, contexts, 0, found, i * columns, columns)
        advance(tree, contexts, 0, symbols[i], False)


def distributions(checkpoint, ids):
    """Return the probabilities (n, V) of all symbols in place of those of a text, of the network and of the counts."""
    size, tree, n = len(checkpoint.codec), ngrams_of(checkpoint).tree, len(ids) - 1
    window = Window(Model.from_torch(checkpoint.config, checkpoint.parameters), n, 1, Team(1))
    window.pack()
    other = (ids[1:] + 1) % size  # the probability of a target is rounded, as `score` leaves it minus 1
    window.inputs[:, 0], window.starts[:, 0], window.targets[:, 0] = ids[:-1], ids[:-1] == 0, other
    window.score()
    network = window.logits[:, 0, :size] + np.eye(size)[other]
    found = np.zeros(n * padded(size), np.float32)
    contexts = contexts_for(1, len(tree.spread), begun=True)
    read_counts(tree, contexts, np.asarray(ids[1:], np.int32), found, padded(size))
    return network, found.reshape(n, -1)[:, :size]


def expected_losses(checkpoint, ids):
    network, counts = distributions(checkpoint, ids)
    kinds = [np.digitize(each.max(axis=1), np.float32(LEVELS)) for each in (network, counts)]
    u, v = ngrams_of(checkpoint).tree.weights[kinds[0] + 4 * kinds[1], :2].T[:, :, None]
    mixed = np.maximum(network, LEAST) ** u * np.maximum(counts, LEAST) ** v
    return -np.log(mixed / mixed.sum(axis=1, keepdims=True))[np.arange(len(ids) - 1), ids[1:]]


@MODES
def test_a_score_is_that_of_the_weighted_product(cell, line_mode):
    checkpoint = mixed(line_mode, cell)
    ids = symbols_of(checkpoint, random_text(300, line_mode, seed=5))
    likely = distributions(checkpoint, ids)[0][np.arange(len(ids) - 1), ids[1:]] > 1e-30
    found, expected = Scorer(checkpoint, 1).read(ids[1:])[0], expected_losses(checkpoint, ids)
    rounding = 3e-3 if cell.activation == "relu" else 2e-5  # the outputs of a random ReLU network are in the thousands
    assert found[likely] == pytest.approx(expected[likely], abs=rounding)
    assert likely.mean() > 0.05


@MODES
def test_scores_depend_neither_on_pieces_nor_on_threads(line_mode):
    checkpoint = mixed(line_mode)
    ids = symbols_of(checkpoint, random_text(500, line_mode, seed=6))[1:]
    whole = Scorer(checkpoint, 2).read(ids)[0]
    scorer = Scorer(checkpoint, 1, rows=3, window=3, windows=2)
    parts = [scorer.read(part)[0] for part in np.split(ids, [1, 2, 7, 90, 91, 333])]
    assert np.array_equal(whole, np.concatenate(parts))


def test_resets_forget_the_contexts_too():
    checkpoint = mixed(False)
    ids = symbols_of(checkpoint, random_text(60, False, seed=7))[1:]
    cut = Scorer(checkpoint, 1, reset_every=20).read(ids)[0]
    fresh = Scorer(checkpoint, 1)
    fresh.start()
    fresh._last, fresh._contexts = ids[19:20], np.array([0, -1, -1, -1], np.int32)
    assert cut[20:40] == pytest.approx(fresh.read(ids[20:40])[0], abs=1e-6)


@MODES
def test_sampled_symbols_cost_what_the_scorer_says(line_mode):
    checkpoint = mixed(line_mode)
    config = SamplingConfig(length=60, random_seed=3)
    for text in Sampler(checkpoint, "ab", config).texts(5):
        ids = symbols_of(checkpoint, "ab")[:3]
        ids = np.concatenate([ids, np.array(text.symbols, np.int32)])
        scored = Scorer(checkpoint, 1).read(ids[1:])[0][2:]
        assert text.surprise == pytest.approx(scored.mean() / math.log(2), rel=1e-4)


@MODES
def test_predictions_and_completions_are_of_the_mixture(line_mode):
    checkpoint = mixed(line_mode)
    ids = symbols_of(checkpoint, "abab")[1:5]
    nats = Scorer(checkpoint, 1).read(ids)[0]
    steps = predictions(checkpoint, "abab", 3)
    assert [step.probability for step in steps[:-1]] == pytest.approx(np.exp(-nats), rel=1e-5)
    best = complete(checkpoint, "ab", 1, 1)[0]
    assert best.probability == pytest.approx(predictions(checkpoint, "ab", 1)[-1].expected[0][1], rel=1e-5)


def test_a_text_goes_on_from_a_kept_state():
    checkpoint = mixed(False)
    stepper = Stepper(
        Model.from_torch(checkpoint.config, checkpoint.parameters), 2, Team(1), ngrams=ngrams_of(checkpoint)
    )
    ids = symbols_of(checkpoint, "abcabc")[1:]
    stepper.read(ids[:3])
    kept = stepper.save(0)
    after = stepper.read(ids[3:])
    stepper.restore(1, kept)
    again = stepper.run(np.ascontiguousarray(np.repeat(ids[3:, None], 2, axis=1)))[:, 1]
    assert np.array_equal(after, again)


@MODES
def test_fitted_weights_cost_least(line_mode):
    checkpoint = mixed(line_mode)
    ids = symbols_of(checkpoint, random_text(2500, line_mode, seed=9))
    model = ngrams_of(checkpoint)
    scorer = Scorer(checkpoint, 2, fitted=model)
    fit_weights(scorer, model, ids)
    weights = model.tree.weights[:, :2].copy()
    assert len(np.unique(weights)) > 4

    def loss(changed):
        model.tree.weights[:, :2] = changed
        scorer.start()
        nats = scorer.read(ids[1:])[0]
        assert scorer.sums()[:, :2].sum(axis=0) == pytest.approx([len(nats), nats.sum()], rel=1e-5)
        return nats.mean()

    fitted = loss(weights)
    for step in ((0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1)):
        assert fitted < loss(np.maximum(weights + step, 0)) + 2e-3
    assert fitted < min(loss((1, 0)), loss((0, 1)))


@MODES
@pytest.mark.parametrize("with_match", [False, True])
def test_slopes_of_the_weights_are_those_of_the_loss(line_mode, with_match):
    checkpoint = matched(line_mode) if with_match else mixed(line_mode)
    text = random_text(900, line_mode)[300:520] if with_match else random_text(200, line_mode, seed=10)
    ids = symbols_of(checkpoint, text)
    model = ngrams_of(checkpoint)
    scorer = Scorer(checkpoint, 1, fitted=model)
    weights, epsilon = model.tree.weights[:, :2].copy(), 1e-3

    def sums(changed):
        model.tree.weights[:, :2] = changed
        scorer.start()
        scorer.read(ids[1:])
        return scorer.sums()

    found = sums(weights)
    for k in range(2):
        more, less = (sums(weights + sign * epsilon * np.eye(2)[k]) for sign in (1, -1))
        slope = (less[:, 1] - more[:, 1]) / (2 * epsilon)
        assert found[:, 3 + k] == pytest.approx(slope, abs=0.02)
        if not with_match:  # beside a match the curvature is about that of the mixture, times the slope's factor
            curvature = (less[:, 3:5] - more[:, 3:5]) / (2 * epsilon)
            assert found[:, 5 + k : 7 + k] == pytest.approx(curvature, abs=0.02, rel=2e-3)


def test_weights_follow_the_text_that_is_counted():
    checkpoint = mixed(False)
    checkpoint.counts["weights"][:] = 0.05
    scorer = Scorer(checkpoint, 1, counting=True)
    nats = scorer.read(symbols_of(checkpoint, random_text(900, False))[1:])[0]
    assert scorer._mixture.tree.weights[:, 1].max() > 0.5
    assert nats[-200:].mean() < 0.5 * nats[:100].mean()


def test_shares_of_earlier_versions_are_weights():
    checkpoint = mixed(True)
    checkpoint.counts["shares"] = np.linspace(0.2, 0.6, KINDS)
    del checkpoint.counts["weights"]
    assert np.allclose(ngrams_of(checkpoint).tree.weights[:, :2].sum(axis=1), 1)


def test_share_of_a_sample_is_the_users():
    checkpoint = mixed(True)
    alone = mixed(True)
    alone.counts = {}
    texts = {
        share: [text.symbols for text in Sampler(checkpoint, "", SamplingConfig(counts=share)).texts(20)]
        for share in (None, 0.0, 1.0)
    }
    assert texts[0.0] == [text.symbols for text in Sampler(alone).texts(20)]
    assert len({str(each) for each in texts.values()}) == 3


def test_counts_go_on_over_the_scored_text():
    checkpoint = mixed(False)
    ids = symbols_of(checkpoint, "abcdeedcba" * 40)[1:]
    fixed, counting = Scorer(checkpoint, 1), Scorer(checkpoint, 2, counting=True)
    before = ngrams_of(checkpoint).to_tensors()
    parts = np.concatenate([counting.read(part)[0] for part in np.split(ids, [1, 100, 101])])
    assert np.array_equal(parts, Scorer(checkpoint, 1, counting=True).read(ids)[0])
    assert parts[0] == fixed.read(ids)[0][0]
    assert parts[200:].mean() < 0.3 * fixed.read(ids)[0][200:].mean()
    assert DynamicScorer(checkpoint, 1).read(ids)[0][200:].mean() < 0.3 * fixed.read(ids)[0][200:].mean()
    assert all(np.array_equal(tensor, checkpoint.counts[name]) for name, tensor in before.items())


def test_a_surprise_after_a_long_repetition():
    checkpoint = mixed(False)
    symbols = symbols_of(checkpoint, "abcde" * 9000 + "edcba" + "abcde" * 20)[1:]
    scorer = Scorer(checkpoint, 1, counting=True)
    nats = scorer.read(symbols)[0]
    weights = scorer._mixture.tree.weights
    assert np.isfinite(nats).all()
    assert nats.max() < 60
    assert ((weights[:, :2] > 0) & (weights[:, :2] < 1.5)).all()
    assert nats[-50:].mean() < 0.05


def test_a_match_that_was_always_right_leaves_numbers_finite():
    checkpoint = matched(False)
    checkpoint.counts["match_shares"][:] = 1 - 1e-15
    symbols = symbols_of(checkpoint, random_text(900, False)[300:340] + "edcba" + random_text(900, False)[500:560])[1:]
    scorer = Scorer(checkpoint, 1, counting=True)
    assert np.isfinite(scorer.read(symbols)[0]).all()
    assert np.isfinite(scorer._mixture.tree.weights).all()


def test_counts_that_are_not_there_cannot_go_on():
    checkpoint = make_checkpoint(False)
    with pytest.raises(UsageError, match="no n-gram counts"):
        make_scorer(checkpoint, counting=True)
    with pytest.raises(UsageError, match="exclude"):
        make_scorer(mixed(False), counting=True, counts=0.5)
    assert "counting on" in score_texts(make_scorer(mixed(False), counting=True), ["abc"]).state


def test_a_saved_model_has_the_same_scores(tmp_path):
    checkpoint = mixed(True)
    save_checkpoint(tmp_path / "model", checkpoint)
    ids = symbols_of(checkpoint, "abc\nabd\n")[1:]
    loaded = load_checkpoint(tmp_path / "model")
    assert np.array_equal(Scorer(checkpoint, 1).read(ids)[0], Scorer(loaded, 1).read(ids)[0])


def test_counts_of_an_unknown_kind_are_refused():
    checkpoint = mixed(True)
    checkpoint.counts["weights"] = checkpoint.counts["weights"] + 2
    with pytest.raises(CheckpointError, match="counts are damaged"):
        Scorer(checkpoint, 1)


@pytest.mark.parametrize("line_mode", [False, True])
def test_of_a_long_text_pieces_from_all_over_it_are_counted(tmp_path, monkeypatch, line_mode):
    path = tmp_path / "text.txt"
    path.write_text("never again\n" * 40 + "the end is here\n" * 40)
    options = {"as_bytes": False, "line_mode": line_mode, "validation_fraction": 0.0, "random_seed": 1}
    corpus = load_corpus([str(path)], **options)
    monkeypatch.setattr("rnn_cli.language.ngrams.MOST_COUNTED", 400)
    monkeypatch.setattr("rnn_cli.language.ngrams.COUNTED_TOGETHER", 100)
    model, codec = NgramModel.of_corpus(corpus), corpus.codec
    counts = model.tree.counts[1 : len(codec) + 1]
    counted = {codec.decode([symbol]).decode() for symbol in np.flatnonzero(counts)}
    assert counted >= set("never againthe end is here") - {"\n"}
    assert counts.sum() <= 400


@MODES
def test_a_match_takes_its_share_of_the_mixture(line_mode):
    checkpoint = matched(line_mode)
    ids = symbols_of(checkpoint, random_text(900, line_mode)[450:])
    model = ngrams_of(checkpoint)
    buckets, predicted = model.predictions(ids)
    share = np.where(buckets >= 0, model.matches.shares[buckets], 0)
    others = np.exp(-expected_losses(checkpoint, ids))
    expected = -np.log((1 - share) * others + share * (predicted == ids[1:]))
    assert Scorer(checkpoint, 1).read(ids[1:])[0] == pytest.approx(expected, abs=1e-5)
    assert (buckets >= 0).mean() > 0.2
    assert expected.mean() < expected_losses(checkpoint, ids).mean()


@MODES
def test_matches_depend_neither_on_pieces_nor_on_threads(line_mode):
    checkpoint = matched(line_mode)
    ids = symbols_of(checkpoint, random_text(900, line_mode)[300:])[1:]
    for counting in (False, True):
        whole = Scorer(checkpoint, 2, counting=counting).read(ids)[0]
        scorer = Scorer(checkpoint, 1, rows=3, window=3, windows=2, counting=counting)
        parts = [scorer.read(part)[0] for part in np.split(ids, [1, 2, 7, 90, 91, 333])]
        assert np.array_equal(whole, np.concatenate(parts))


def test_samples_and_predictions_use_the_match():
    checkpoint = matched(False)
    prompt = random_text(900, False)[300:340]
    ids = symbols_of(checkpoint, prompt)[1:]
    nats = Scorer(checkpoint, 1).read(ids)[0]
    steps = predictions(checkpoint, prompt, 3)
    assert [step.probability for step in steps[:-1]] == pytest.approx(np.exp(-nats), rel=1e-4)
    for text in Sampler(checkpoint, prompt, SamplingConfig(length=40, random_seed=3)).texts(3):
        every = np.concatenate([ids, np.array(text.symbols, np.int32)])
        scored = Scorer(checkpoint, 1).read(every)[0][len(ids) :]
        assert text.surprise == pytest.approx(scored.mean() / math.log(2), rel=1e-3)
    best = complete(checkpoint, prompt, 1, 1)[0]
    assert best.probability == pytest.approx(steps[-1].expected[0][1], rel=1e-4)


def test_the_share_of_counts_bounds_that_of_a_match():
    checkpoint, alone = matched(False), mixed(False)
    ids = symbols_of(checkpoint, random_text(900, False)[300:])[1:]
    network = make_checkpoint(False)
    assert np.array_equal(Scorer(checkpoint, 1, counts=0.0).read(ids)[0], Scorer(network, 1).read(ids)[0])
    small, without = Scorer(checkpoint, 1, counts=0.1).read(ids)[0], Scorer(alone, 1, counts=0.1).read(ids)[0]
    assert (small - without).max() <= -math.log(0.9) + 1e-5
    assert (small - without).min() < -0.01
    assert not np.array_equal(small, Scorer(checkpoint, 1).read(ids)[0])
    samples = [
        [text.symbols for text in Sampler(each, "", SamplingConfig(counts=0.0)).texts(5)]
        for each in (checkpoint, network)
    ]
    assert samples[0] == samples[1]


def test_a_repeated_text_is_matched_while_it_is_read():
    checkpoint = mixed(False)
    text = random_text(700, False, seed=8)
    ids = symbols_of(checkpoint, text * 2)[1:]
    losses = Scorer(checkpoint, 1, counting=True).read(ids)[0]
    assert losses[len(ids) // 2 + 60 :].mean() < 0.25 * losses[: len(ids) // 2].mean()


def test_a_saved_model_keeps_its_text(tmp_path):
    checkpoint = matched(True)
    save_checkpoint(tmp_path / "model", checkpoint)
    ids = symbols_of(checkpoint, random_text(900, True)[:200])[1:]
    loaded = load_checkpoint(tmp_path / "model")
    assert np.array_equal(Scorer(checkpoint, 1).read(ids)[0], Scorer(loaded, 1).read(ids)[0])
    loaded.counts["text"][3] = 200
    with pytest.raises(CheckpointError, match="text for matches"):
        Scorer(loaded, 1)


def completed(tmp_path, **options):
    """Return the checkpoint and the remarks at the end of a short training on a text that repeats itself."""
    path = tmp_path / "text.txt"
    page = random_text(3000, False)
    path.write_text(page * 3)
    corpus = load_corpus([str(path)], as_bytes=False, line_mode=False, validation_fraction=0.2, random_seed=1)
    config = NetworkConfig.for_symbols(len(corpus.codec), hidden_size=8)
    trainer = Trainer(LanguageTask(corpus, config), TrainingConfig(steps=2, **options), 1)
    list(trainer)
    return trainer.checkpoint(), trainer.task, corpus


def test_a_text_is_kept_only_if_the_user_wants_it(tmp_path):
    checkpoint, task, _ = completed(tmp_path)
    assert not {"text", "match_shares"} & checkpoint.counts.keys()
    assert "`matches`" in task.remarks[-1]
    kept, task, corpus = completed(tmp_path, matches=True)
    assert np.array_equal(kept.counts["text"], corpus.training)
    assert "holds" in task.remarks[-1]
    assert kept.record["mixture"]["loss"] < 0.5 * checkpoint.record["mixture"]["loss"]
    ids = np.asarray(corpus.validation, np.int32)[1:]
    assert Scorer(kept, 1).read(ids)[0].mean() == pytest.approx(kept.record["mixture"]["loss"], rel=0.2)


def test_matches_without_counts_keep_no_text(tmp_path):
    checkpoint, task, _ = completed(tmp_path, matches=True, counts=False)
    assert checkpoint.counts == {}
    assert "the text is not kept" in task.remarks[0]
