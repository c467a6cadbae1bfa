"""What a mixture of models samples has the mean of their probabilities, whatever the order of their symbols."""

from dataclasses import replace

import numpy as np
import pytest
from random_models import SYMBOLS, make_checkpoint

from rnn_cli.cells import CELLS
from rnn_cli.errors import UsageError
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.mixing import check_shares
from rnn_cli.language.ngrams import NgramModel
from rnn_cli.language.prediction import predictions
from rnn_cli.language.sampling import Sampler
from rnn_cli.text.codecs import ByteCodec, CharacterCodec
from rnn_cli.text.fingerprint import Fingerprint

TEXT = "abc\nbca\nhgf\n" * 9
REVERSED = CharacterCodec(SYMBOLS[::-1], True)


def with_counts(checkpoint):
    """Return a checkpoint with n-gram counts of TEXT."""
    codec = checkpoint.codec
    ngrams = NgramModel.of(codec.frame(codec.encode(TEXT)), len(codec), True, 3)
    return replace(checkpoint, counts=ngrams.to_tensors())


@pytest.fixture(scope="module")
def models():
    """Return two models whose symbols have other numbers and whose cells differ, one of them with counts."""
    other = next(cell for cell in CELLS if cell.name == "gru")
    return with_counts(make_checkpoint(True)), make_checkpoint(True, cell=other, codec=REVERSED)


def sampled(models, count, prompt="ab", threads=1, share=0.3, **config):
    """Return texts of the mixture."""
    config = SamplingConfig(**{"length": 12, **config})
    sampler = Sampler(models[0], prompt, config, threads=threads, others=[(models[1], share)])
    return list(sampler.texts(count))


def probabilities_after(checkpoint, text):
    """Return the probability of each symbol, by its name."""
    expected = predictions(checkpoint, text, len(checkpoint.codec))[-1].expected
    return {checkpoint.codec.name(symbol): probability for symbol, probability in expected}


def test_probabilities_are_the_weighted_mean(models):
    one, other = (probabilities_after(model, "abca") for model in models)
    texts = sampled(models, 6000, "abca", length=1)
    names = [models[0].codec.name(text.symbols[0] if text.symbols else 0) for text in texts]
    for name in one:
        expected = 0.7 * one[name] + 0.3 * other[name]
        assert names.count(name) / len(names) == pytest.approx(expected, abs=0.03)
    text = next(text for text in texts if text.symbols)
    name = models[0].codec.name(text.symbols[0])
    assert np.exp(-text.losses[0]) == pytest.approx(0.7 * one[name] + 0.3 * other[name], rel=1e-4)


def test_a_text_does_not_depend_on_others_or_threads(models):
    texts = sampled(models, 70)
    assert sampled(models, 70, threads=2) == texts
    assert sampled(models, 5) == texts[:5]
    assert len({tuple(text.symbols) for text in texts}) > 20


def test_a_mixture_of_a_model_with_itself_is_that_model(models):
    alone = list(Sampler(models[0], "ab", SamplingConfig(length=12)).texts(20))
    assert [text.symbols for text in sampled([models[0]] * 2, 20)] == [text.symbols for text in alone]


def test_guides_hold_in_a_mixture(models):
    decode = models[0].codec.decode
    texts = [b"ab" + decode(text.symbols) for text in sampled(models, 20, pattern="ab+[c-f]{2,5}", suffix="f")]
    assert all(text.decode()[-1] == "f" and text.startswith(b"ab") for text in texts)


def test_models_of_other_symbols_are_refused(models):
    other = make_checkpoint(True, codec=CharacterCodec(SYMBOLS + "xy", True))
    for first, second, words in (
        (models[0], other, "only another has 'x', 'y'"),
        (other, models[0], "only the first has 'x', 'y'"),
        (models[0], make_checkpoint(False), "one reads characters, lines, another characters, a stream"),
        (models[0], make_checkpoint(True, codec=ByteCodec(True)), "another bytes, lines"),
    ):
        with pytest.raises(UsageError, match=words):
            sampled((first, second), 1)


def test_the_text_of_one_model_is_not_that_of_all(models):
    ids = models[0].codec.frame(models[0].codec.encode(TEXT))
    record = {"fingerprint": Fingerprint.of(ids, line_mode=True).to_dict()}
    with pytest.raises(UsageError, match="`novel` and `max_copy` know the text of one model"):
        sampled((replace(models[0], record=record), models[1]), 1, novel=True)


def test_shares_add_up_to_one():
    assert check_shares([0.7, 0.3]) == check_shares([7, 3]) == [0.7, 0.3]
    for shares in ([0.7, 0.0], [1.0, -1.0], [float("nan")], [float("inf"), 1.0]):
        with pytest.raises(UsageError, match="finite number above 0"):
            check_shares(shares)
