"""Models of words: the figures are those of a plain computation, and `<unk>` is never sampled or suggested."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from commands import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_models import make_checkpoint

from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.language.baselines import baseline_bits
from rnn_cli.language.beam_search import complete, largest
from rnn_cli.language.classification import Classifier
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.evaluation import evaluate_texts
from rnn_cli.language.line_scores import score_lines
from rnn_cli.language.networks import network_for
from rnn_cli.language.prediction import predictions
from rnn_cli.language.sampling import Sampler, sample_texts
from rnn_cli.language.scorer import LOGITS, Scorer, fitting
from rnn_cli.text.codecs import WordCodec
from rnn_cli.text.codecs.words import UNKNOWN_WORD
from rnn_cli.text.kneser_ney import ngram_bits

WORDS = ("the", "cat", "dog", "sleeps", "runs", "and", "d\u00f6g")
TEXT = "the cat sleeps\nthe zebra runs and the dog\n\nd\u00f6g sleeps here"
SENTENCES = [f"the {who} {what} and {what}" for who in ("cat", "dog", "old dog") for what in ("runs", "sleeps", "eats")]
CORPUS = "".join(f"{sentence}\n" for sentence in SENTENCES * 5)
SMALL = ["--hidden-size", "8", "--batch-size", "4", "--sequence-length", "8", "--random-seed", "1", "--quiet"]


@pytest.fixture(scope="module", params=[True, False], ids=["lines", "stream"])
def checkpoint(request):
    return make_checkpoint(request.param, codec=WordCodec(WORDS, request.param))


def plain_nats(checkpoint, text):
    """Return the symbols of a text and the cost of each, one step at a time."""
    codec = checkpoint.codec
    ids = codec.frame(codec.encode(text)).tolist()
    scorer = Scorer(checkpoint, 1, rows=1, window=1, windows=1)
    costs = [float(scorer.read(np.array([symbol], np.int32))[0][0]) for symbol in ids[1:]]
    return np.array(ids[1:]), np.array(costs)


def test_scores_are_those_of_a_plain_computation(checkpoint):
    ids, nats = plain_nats(checkpoint, TEXT)
    scores = evaluate_texts(checkpoint, [TEXT])
    known = ids != UNKNOWN_WORD
    assert (scores.words, scores.unknown) == (len(ids), 2)
    assert (scores.characters, scores.bytes) == (len(TEXT), len(TEXT.encode()))
    assert scores.sentences == (4 if checkpoint.codec.line_mode else 3)
    assert scores.perplexity == pytest.approx(math.exp(nats.mean()), rel=1e-5)
    assert scores.perplexity_without_unknown == pytest.approx(math.exp(nats[known].mean()), rel=1e-5)
    assert scores.bits_per_word == pytest.approx(nats.mean() / math.log(2), rel=1e-5)
    assert scores.bits_per_char * len(TEXT) == pytest.approx(scores.bits_per_word * len(ids))
    assert scores.bits_per_byte * len(TEXT.encode()) == pytest.approx(scores.bits_per_word * len(ids))


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 60), max_size=4))
def test_lines_add_up_however_they_come(checkpoint, cuts):
    data = TEXT.encode()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [(data[start:end], end == len(data)) for start, end in pairwise(places)]
    scored = list(score_lines(Scorer(checkpoint, 1), pieces))
    bits = np.concatenate([part.symbol_bits for part in scored])
    _, nats = plain_nats(checkpoint, TEXT)
    assert bits == pytest.approx(nats / math.log(2), rel=1e-5)
    assert sum(part.bits.sum() for part in scored) == pytest.approx(bits.sum())
    (whole,) = score_lines(Scorer(checkpoint, 1), [(data, True)])
    assert whole.lines == TEXT.split("\n")
    assert whole.characters.tolist() == ([4, 7, 1, 4] if checkpoint.codec.line_mode else [4, 7, 1, 3])
    assert whole.unknown.tolist() == [0, 1, 0, 1]


def test_blanks_after_the_last_line_are_nothing(checkpoint):
    (scored,) = score_lines(Scorer(checkpoint, 1), [(b"the cat\n \t ", True)])
    assert (scored.lines, len(scored.bits)) == (["the cat"], 1)
    assert list(score_lines(Scorer(checkpoint, 1), [(b"  ", True)])) == []


def test_unknown_is_never_sampled_or_suggested(checkpoint):
    checkpoint.parameters["decoder.bias"][UNKNOWN_WORD] = 50  # all that a model would say
    try:
        texts = list(sample_texts(checkpoint, "the", 40, config=SamplingConfig(length=20, random_seed=3)))
        assert not any(b"<unk>" in text for text in texts)
        assert all(
            b"<unk>" not in checkpoint.codec.decode(found.symbols) for found in complete(checkpoint, "the", 5, 4)
        )
        for step in predictions(checkpoint, "the cat", 100):
            assert UNKNOWN_WORD not in [symbol for symbol, _ in step.expected]
    finally:
        checkpoint.parameters["decoder.bias"][UNKNOWN_WORD] = 0


def test_a_text_continues_its_prompt_with_a_blank(checkpoint):
    config = SamplingConfig(length=6, min_length=6, random_seed=1)
    (text,) = sample_texts(checkpoint, "the  cat ", config=config)
    assert text[:1] in (b" ", b"\n")
    streamed = list(Sampler(checkpoint, "the cat", config).pieces(1, 1))
    assert b"".join(piece.data for piece in streamed) == text
    (free,) = sample_texts(checkpoint, "", config=config)
    assert free[:1] != b" "


def test_lengths_count_words(checkpoint):
    config = SamplingConfig(length=5, min_length=5, max_length=5, random_seed=2, forbid="cat unheard")
    for text in Sampler(checkpoint, "the dog", config).texts(10):
        assert len(text.symbols) == 3
        assert checkpoint.codec.encode("cat")[0] not in text.symbols
    with pytest.raises(UsageError, match="has 6 words"):
        Sampler(checkpoint, "the cat and the d\u00f6g runs", config)


def test_a_stop_text_is_words(checkpoint):
    config = SamplingConfig(length=9, random_seed=2)
    free = list(Sampler(checkpoint, "", config).texts(20))
    index = next(index for index, text in enumerate(free) if len(set(text.symbols[:3])) == 3)
    stop = checkpoint.codec.decode(free[index].symbols[1:3]).decode()
    text = list(Sampler(checkpoint, "", config, stop=stop).texts(20))[index]
    assert (text.stopped, len(text.symbols)) == ("stop", 1)


def test_five_grams_have_the_same_vocabulary(checkpoint):
    codec = checkpoint.codec
    found = baseline_bits(codec, [TEXT], 0.0, [CORPUS])
    assert set(found) == {"uniform", "unigram", "5-gram"}
    ids, learned = (codec.frame(codec.encode(text)) for text in (TEXT, CORPUS))
    assert found["5-gram"] == pytest.approx(ngram_bits(ids, len(codec), codec.line_mode, 5, learned).mean())
    assert evaluate_texts(checkpoint, [TEXT]).words == len(ngram_bits(ids, len(codec), codec.line_mode))


def test_only_one_vocabulary_is_compared(checkpoint):
    Classifier([checkpoint, checkpoint]).bits([b"the cat", b"", b"zebra the"])
    with pytest.raises(UsageError, match="one vocabulary"):
        Classifier([checkpoint, make_checkpoint(checkpoint.codec.line_mode)])


def test_windows_of_a_large_vocabulary_are_small():
    assert fitting(64, 8, 100) == (64, 8)
    for size in (10_000, 50_000, 1_000_000, 10**8):
        rows, steps = fitting(64, 8, size)
        assert rows * steps == 1 or 4 * rows * steps * size <= LOGITS


@given(st.lists(st.integers(-5, 5), min_size=1), st.integers(1, 70))
def test_largest_is_a_stable_sort(values, count):
    values = np.array(values, np.float64)
    assert largest(values, count).tolist() == np.argsort(-values, kind="stable")[:count].tolist()


def test_the_embedding_is_tied():
    assert network_for(WordCodec(WORDS, True)).embedding == "tied"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    (folder / "text.txt").write_text(CORPUS)
    done = run("train", "text.txt", "--words", "-m", "m", "--epochs", "2", *SMALL, cwd=folder)
    assert done.code == 0, done.stderr
    return folder


def test_train_says_which_words_it_knows(folder):
    done = run(
        "train", "text.txt", "--words", "-m", "new", "--steps", "2", *SMALL[:-1], "--vocabulary", "3", cwd=folder
    )
    assert done.code == 0, done.stderr
    assert "4 different words: the 3 commonest of 8 different ones; they cover" in done.stderr
    assert "words to train on" in done.stderr
    assert "bits/word" in done.stderr


def test_commands_by_words(folder):
    scores = json.loads(run("evaluate", "text.txt", "-m", "m", "--json", "--baselines", cwd=folder).text)
    assert {"words", "bits_per_word", "perplexity_without_unknown", "baselines"} <= set(scores)
    assert run("evaluate", "text.txt", "-m", "m", "--per-char", cwd=folder).text.split("\n")[0].endswith("\tthe")
    rows = run("evaluate", "text.txt", "-m", "m", "--jsonl", cwd=folder).text.splitlines()
    assert json.loads(rows[0])["words"] == len(SENTENCES[0].split()) + 1
    sampled = run("sample", "-m", "m", "--seed", "the cat", "--jsonl", "--random-seed", "1", cwd=folder)
    assert set(json.loads(sampled.text)) == {"seed", "text", "words", "bits_per_word", "stopped"}
    refused = run("sample", "-m", "m", "--seed", "the cta", cwd=folder)
    assert (refused.code, "near words are 'cat'" in refused.stderr) == (2, True)
    assert "the cat sleeps\n" in run("complete", "the cat", "-m", "m", "--plain", cwd=folder).text
    assert run("predict", "--each", "the cat", "-m", "m", cwd=folder).code == 0
    facts = json.loads(run("info", "-m", "m", "--json", cwd=folder).text)
    assert (facts["kind"], facts["vocabulary"].split()[0]) == ("words", "and")


def test_a_stopped_run_goes_on_with_the_same_bits(folder):
    whole = load_checkpoint(folder / "m")
    from rnn_cli.cli.train.request import TrainRequest
    from rnn_cli.cli.train.start import resume_run, start_run
    from rnn_cli.display.progress import TrainingDisplay

    values = {"epochs": 2, "hidden_size": 8, "batch_size": 4, "sequence_length": 8}
    request = TrainRequest(files=(str(folder / "text.txt"),), words=True, random_seed=1, values=values)
    with TrainingDisplay(True) as display:
        trainer, request = start_run(request, 1, display)
        trainer.stop = lambda: trainer.progress.step >= 5
        for _ in trainer:
            pass
        stopped = trainer.checkpoint()
        stopped.source = request.to_source()
        save_checkpoint(folder / "stopped", stopped)
        trainer, _ = resume_run(folder / "stopped", TrainRequest(), 2, display)
        for _ in trainer:
            pass
    for name, tensor in trainer.checkpoint().parameters.items():
        assert np.array_equal(tensor, whole.parameters[name]), name


def test_fine_tuning_keeps_the_known_words(folder):
    (folder / "more.txt").write_text("the bird runs\nthe bird eats once\n")
    done = run("train", "more.txt", "--from", "m", "-m", "tuned", "--steps", "3", "--quiet", cwd=folder)
    assert done.code == 0, done.stderr
    before, after = (load_checkpoint(folder / name).codec.words for name in ("m", "tuned"))
    assert after == (*before, "bird")


@pytest.mark.parametrize(
    "options, message",
    [
        (["--words", "--bytes"], "--words has neither bytes"),
        (["--words", "--paragraphs"], "--words has neither bytes"),
        (["--vocabulary", "5"], "--vocabulary is for --words"),
        (["--words", "--vocabulary", "0"], "--vocabulary"),
        (["--from", "m", "--bytes"], "--bytes contradicts the model"),
    ],
)
def test_options_that_contradict_words(folder, options, message):
    done = run("train", "text.txt", "-m", "new2", "--steps", "1", *options, cwd=folder)
    assert done.code == 2
    assert message in done.stderr
