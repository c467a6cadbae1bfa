"""Evaluation: every character is scored once, and neither rows, windows nor threads change a bit."""

import math

import numpy as np
import pytest
import reference
from random_models import CHARACTERS, make_checkpoint, random_text

from rnn_cli.cells import CELLS
from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.kernels import shared_row
from rnn_cli.kernels.simd.cpu import HAS_BFLOAT16
from rnn_cli.kernels.threads import Team
from rnn_cli.language.evaluation import evaluate_texts, make_scorer, score_texts
from rnn_cli.language.prediction import predictions
from rnn_cli.language.scorer import SCALAR_VALUES, Scorer, unknown_nats
from rnn_cli.language.stepper import Stepper
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import UNKNOWN, ByteCodec, CharacterCodec

MODES = pytest.mark.parametrize("line_mode", [False, True], ids=["stream", "lines"])


def read_losses(checkpoint, text):
    """Return the losses of a text, read symbol by symbol."""
    codec = checkpoint.codec
    reader = Stepper(Model.from_torch(checkpoint.config, checkpoint.parameters), 1, Team(1))
    ids = codec.frame(codec.encode(text))[1:]
    return np.concatenate([reader.read([symbol]) for symbol in ids])


def score(checkpoint, text, threads=1, **sizes):
    """Return the losses and ranks of all symbols of a text."""
    codec = checkpoint.codec
    symbols = codec.frame(codec.encode(text))[1:]
    return Scorer(checkpoint, threads, **sizes).read(symbols, with_ranks=True)


@MODES
def test_every_character_is_scored_once_given_those_before(cell, line_mode):
    checkpoint = make_checkpoint(line_mode, cell)
    text = random_text(600, line_mode)
    losses, _ = score(checkpoint, text)
    assert len(losses) == 600 + (line_mode and not text.endswith("\n"))
    assert losses == pytest.approx(read_losses(checkpoint, text), rel=1e-5, abs=1e-5)


@MODES
def test_losses_and_ranks_are_those_of_the_reference(cell, line_mode):
    checkpoint = make_checkpoint(line_mode, cell)
    text = random_text(200, line_mode)
    losses, ranks = score(checkpoint, text)
    framed = checkpoint.codec.frame(checkpoint.codec.encode(text))
    inputs, targets = framed[:-1, None], framed[1:, None]
    weights = {name: tensor.astype(np.float64) for name, tensor in checkpoint.parameters.items()}
    states = np.zeros((2, len(cell.states), 1, 16))
    step = reference.STEPS[cell.name, cell.activation]
    expected, logits, _ = reference.forward(step, weights, inputs, targets, states, np.ones((2, 1, 16)))
    assert losses == pytest.approx(expected[:, 0], rel=1e-5, abs=1e-5)
    above = logits[:, 0] - np.take_along_axis(logits[:, 0], targets, axis=1)
    assert ((above > 1e-4).sum(axis=1) <= ranks).all()
    assert (ranks <= (above > -1e-4).sum(axis=1) - 1).all()  # the target itself is not above


@pytest.mark.parametrize("name", sorted({cell.name for cell in CELLS}))
@MODES
def test_rows_windows_and_threads_change_no_bit(name, line_mode, monkeypatch):
    monkeypatch.setattr(shared_row, "PARAMETERS_OF_A_THREAD", 1)  # so that threads share a single row
    cell = next(cell for cell in CELLS if cell.name == name)
    checkpoint = make_checkpoint(line_mode, cell)
    text = random_text(700, line_mode)
    losses, ranks = score(checkpoint, text)
    for streams, window, threads in [
        (1, 1, 1),
        (1, 128, 2),
        (1, 7, 3),
        (1, 1, 5),
        (3, 7, 1),
        (3, 128, 3),
        (64, 1, 2),
        (64, 7, 3),
        (64, 128, 2),
    ]:
        others = score(checkpoint, text, threads, rows=streams, window=window)
        assert np.array_equal(losses, others[0])
        assert np.array_equal(ranks, others[1])


PRECISIONS = pytest.mark.parametrize(
    "precision",
    ["float32", pytest.param("bfloat16", marks=pytest.mark.skipif(not HAS_BFLOAT16, reason="there is no bfloat16"))],
)


@MODES
@PRECISIONS
def test_pieces_and_threads_change_no_bit(line_mode, precision):
    checkpoint = make_checkpoint(line_mode)
    text = random_text(700, line_mode) + "XaY"
    symbols = checkpoint.codec.frame(checkpoint.codec.encode(text))[1:]
    whole, ranks = Scorer(checkpoint, 2, precision=precision).read(symbols, with_ranks=True)
    for size in (1, 7, 256):
        scorer = Scorer(checkpoint, 1, precision=precision)
        parts = [scorer.read(symbols[start : start + size], with_ranks=True) for start in range(0, len(symbols), size)]
        assert np.array_equal(whole, np.concatenate([losses for losses, _ in parts]))
        assert np.array_equal(ranks, np.concatenate([ranks for _, ranks in parts]))
    scores = score_texts(make_scorer(checkpoint, precision=precision), [text])
    in_pieces = score_texts(make_scorer(checkpoint, precision=precision), [text], piece_size=50)
    assert in_pieces.nats_per_char == pytest.approx(scores.nats_per_char, rel=1e-12)
    assert in_pieces.top5_accuracy == scores.top5_accuracy
    assert scores.nats_per_char == pytest.approx(evaluate_texts(checkpoint, [text]).nats_per_char, rel=1e-2)


@pytest.mark.skipif(not HAS_BFLOAT16, reason="there is no bfloat16")
def test_adapting_in_bfloat16_is_close_to_float32():
    checkpoint, text = make_checkpoint(False), random_text(900, False)
    losses = {}
    for precision in ("float32", "bfloat16"):
        scorer = make_scorer(checkpoint, adapt_rate=0.005, precision=precision)
        losses[precision] = score_texts(scorer, [text]).nats_per_char
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=1e-2)


@pytest.mark.parametrize("every", [1, 5, 64, 10_000])
def test_a_reset_leaves_one_character_of_context(every):
    checkpoint = make_checkpoint(False)
    text = random_text(300, False)
    symbols = checkpoint.codec.encode(text)
    expected = []
    for start in range(0, len(text), every):
        scorer = Scorer(checkpoint, 1)
        scorer._last = symbols[start - 1 : start] if start else scorer._last
        expected.append(scorer.read(symbols[start : start + every])[0])
    assert np.array_equal(Scorer(checkpoint, 2, every).read(symbols)[0], np.concatenate(expected))
    scorer = Scorer(checkpoint, 2, every)
    parts = [scorer.read(symbols[start : start + 37])[0] for start in range(0, 300, 37)]
    assert np.array_equal(np.concatenate(parts), np.concatenate(expected))
    scores = score_texts(make_scorer(checkpoint, reset_every=every), [text])
    assert scores.nats_per_char == pytest.approx(np.concatenate(expected).mean())
    assert scores.state == f"reset every {every:,} characters"


def test_the_losses_of_a_line_do_not_depend_on_other_lines():
    checkpoint = make_checkpoint(True)
    lines = [line + "\n" for line in random_text(400, True).split("\n")]
    together, _ = score(checkpoint, "".join(lines))
    alone = [score(checkpoint, line)[0] for line in lines]
    assert np.array_equal(together, np.concatenate(alone))
    assert {1, 2, 5} <= set(map(len, lines))


@MODES
def test_the_scores_follow_from_the_losses(line_mode):
    checkpoint = make_checkpoint(line_mode)
    text = random_text(300, line_mode)
    losses, ranks = score(checkpoint, text)
    scores = evaluate_texts(checkpoint, [text], threads=2)
    assert scores.characters == len(losses)
    assert (scores.bytes, scores.unknown) == (len(text.encode()), 0)
    assert scores.nats_per_char == pytest.approx(losses.mean())
    assert scores.bits_per_char == pytest.approx(losses.mean() / math.log(2))
    assert scores.bits_per_byte == pytest.approx(losses.sum() / math.log(2) / len(text.encode()))
    assert scores.bits_per_byte < scores.bits_per_char
    assert scores.perplexity == pytest.approx(math.exp(losses.mean()))
    assert scores.top1_accuracy == np.mean(ranks == 0)
    assert scores.top5_accuracy == np.mean(ranks < 5)
    assert 0 < scores.top1_accuracy < scores.top5_accuracy < 1
    assert scores.state == ("reset at each line" if line_mode else "carried")
    assert scores == evaluate_texts(checkpoint, [text], threads=1)


@MODES
def test_the_scores_agree_with_the_predictions(line_mode):
    checkpoint = make_checkpoint(line_mode)
    text = random_text(40, False)
    steps = predictions(checkpoint, text, 100)[: len(text)]
    losses, ranks = score(checkpoint, text)
    assert losses[:40] == pytest.approx([-math.log(step.probability) for step in steps], rel=1e-5, abs=1e-5)
    if line_mode:  # in a stream, the boundary has a rank but is not shown
        shown = [[symbol for symbol, _ in step.expected].index(step.came) for step in steps]
        assert ranks[:40].tolist() == shown


@MODES
def test_several_texts_are_independent_and_counted_together(line_mode):
    checkpoint = make_checkpoint(line_mode)
    texts = [random_text(size, line_mode, size) for size in (90, 1, 40)]
    scores = [evaluate_texts(checkpoint, [text]) for text in texts]
    counts = [score.characters for score in scores]
    together = evaluate_texts(checkpoint, [*texts, ""])
    assert (together.characters, together.bytes) == (sum(counts), sum(score.bytes for score in scores))
    for name in ("nats_per_char", "bits_per_char", "top1_accuracy", "top5_accuracy"):
        mean = np.average([getattr(score, name) for score in scores], weights=counts)
        assert getattr(together, name) == pytest.approx(mean)
    if not line_mode:
        assert together.nats_per_char != pytest.approx(evaluate_texts(checkpoint, ["".join(texts)]).nats_per_char)


@MODES
def test_unknown_characters_are_counted_and_scored(line_mode):
    checkpoint = make_checkpoint(line_mode)
    price = math.log(CHARACTERS + 1) + math.log(SCALAR_VALUES - len(checkpoint.codec))
    assert unknown_nats(checkpoint) == pytest.approx(price)
    known, mixed = evaluate_texts(checkpoint, ["abcabc"]), evaluate_texts(checkpoint, ["XabcYabX\u0928c"])
    assert (mixed.unknown, mixed.characters) == (4, known.characters + 4)
    assert mixed.bytes == 12
    nats = known.nats_per_char * known.characters + 4 * price
    assert mixed.nats_per_char * mixed.characters == pytest.approx(nats)
    assert mixed.top5_accuracy * mixed.characters == pytest.approx(known.top5_accuracy * known.characters)
    strange = evaluate_texts(checkpoint, ["XYZ"])
    assert (strange.unknown, strange.characters) == (3, 3 + line_mode)  # the end of a line is always scored
    end = evaluate_texts(checkpoint, ["\n"]).nats_per_char if line_mode else 0
    assert strange.nats_per_char * strange.characters == pytest.approx(3 * price + end)


@pytest.mark.parametrize(
    "record", [{}, {"corpus": {}}, {"corpus": {"characters": "7"}}, {"corpus": {"characters": -5}}]
)
def test_the_cost_of_unknown_characters_needs_no_record(record):
    checkpoint = make_checkpoint(False)
    checkpoint.record = record
    assert unknown_nats(checkpoint) == pytest.approx(math.log(SCALAR_VALUES - len(checkpoint.codec)))
    everything = CharacterCodec("".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)])), line_mode=False)
    assert unknown_nats(Checkpoint.of_language(checkpoint.config, everything, {})) == 0


@MODES
def test_a_model_of_bytes_scores_bytes(line_mode):
    checkpoint = make_checkpoint(line_mode, codec=ByteCodec(line_mode))
    data = np.random.default_rng(2).integers(0, 256, 500, np.uint8).tobytes() + b"a"
    scores = evaluate_texts(checkpoint, [data])
    assert (scores.characters, scores.bytes, scores.unknown) == (501 + line_mode, 501, 0)
    assert scores.bits_per_byte == pytest.approx(scores.bits_per_char * scores.characters / 501)
    assert scores.nats_per_char == pytest.approx(read_losses(checkpoint, data).mean(), rel=1e-5)
    accented = "\u00e9\u20ac"
    assert evaluate_texts(checkpoint, [accented.encode()]) == evaluate_texts(checkpoint, [accented])


@pytest.mark.parametrize("texts", [[], [""], ["", ""]], ids=str)
@MODES
def test_an_empty_text_is_refused(line_mode, texts):
    with pytest.raises(UsageError, match="empty"):
        evaluate_texts(make_checkpoint(line_mode), texts)


def test_an_empty_line_is_scored_as_its_end():
    checkpoint = make_checkpoint(True)
    assert evaluate_texts(checkpoint, ["\n"]).characters == 1
    assert evaluate_texts(checkpoint, ["\n\n"]) != evaluate_texts(checkpoint, ["\n"])
    assert evaluate_texts(checkpoint, ["ab"]).nats_per_char == evaluate_texts(checkpoint, ["ab\n"]).nats_per_char


def test_a_very_bad_model_has_a_finite_perplexity():
    checkpoint = make_checkpoint(False)
    checkpoint.parameters["decoder.bias"][1] = -5000
    scores = evaluate_texts(checkpoint, ["aaaa"])
    assert scores.nats_per_char > 4000
    assert math.isfinite(scores.perplexity)


@MODES
def test_progress_reports_every_scored_character(line_mode):
    scorer, seen = Scorer(make_checkpoint(line_mode), 1, windows=2), []
    scores = score_texts(scorer, [random_text(900, line_mode), "abc"], seen.append)
    assert sum(seen) == scores.characters
    assert len(seen) > 2


def test_only_known_characters_count_towards_a_reset():
    checkpoint = make_checkpoint(False)
    symbols = checkpoint.codec.encode(random_text(60, False))
    plain = make_scorer(checkpoint, reset_every=7).read(symbols)[0]
    mixed, known = np.insert(symbols, [3, 11, 12, 40], UNKNOWN), np.insert(np.ones(60, bool), [3, 11, 12, 40], False)
    scorer = make_scorer(checkpoint, reset_every=7)
    parts = [scorer.read(part)[0] for part in np.split(mixed, [5, 13, 30])]
    assert np.array_equal(np.concatenate(parts)[known], plain)


def test_ties_are_ranked_in_the_order_of_the_symbols():
    checkpoint = make_checkpoint(False)
    for name in ("decoder.weight", "decoder.bias"):
        checkpoint.parameters[name][:] = 0
    symbols = np.arange(1, len(checkpoint.codec), dtype=np.int32)
    assert Scorer(checkpoint, 1).read(symbols, with_ranks=True)[1].tolist() == symbols.tolist()


def test_an_unknown_symbol_and_a_single_text_are_refused():
    checkpoint = make_checkpoint(False)
    with pytest.raises(UsageError, match="no symbol 12"):
        Scorer(checkpoint, 1).read(np.array([1, len(checkpoint.codec)], np.int32))
    with pytest.raises(UsageError, match="list of texts"):
        evaluate_texts(checkpoint, "abc")


def test_an_unknown_character_is_one_of_all_of_unicode():
    assert SCALAR_VALUES == 0x110000 - 0x800  # code points without surrogates
