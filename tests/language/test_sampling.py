"""Sampling: a text depends on its index alone, and its symbols have the probabilities of the model."""

from itertools import islice

import numpy as np
import pytest
from random_models import SYMBOLS, make_checkpoint

from rnn_cli.cells import CELLS
from rnn_cli.errors import RnnError, UsageError
from rnn_cli.kernels import shared_row
from rnn_cli.kernels.shared_row import team_for
from rnn_cli.kernels.simd.cpu import HAS_BFLOAT16
from rnn_cli.kernels.text.generate import uniform
from rnn_cli.kernels.threads import Team
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.evaluation import evaluate_texts
from rnn_cli.language.prediction import predictions
from rnn_cli.language.sampling import Sampler, sample_texts
from rnn_cli.language.scorer import Scorer
from rnn_cli.language.stepper import Stepper
from rnn_cli.network import workspace
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import BOUNDARY, ByteCodec, CharacterCodec
from rnn_cli.text.fingerprint import Fingerprint
from rnn_cli.text.graphemes import clusters

needs_bfloat16 = pytest.mark.skipif(not HAS_BFLOAT16, reason="the processor has no bfloat16")
PRECISIONS = pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
MODES = pytest.mark.parametrize("line_mode", [False, True], ids=["stream", "lines"])


def draw(checkpoint, count, seed="ab", threads=1, stop="", **config):
    """Return texts as lists of symbols."""
    sampler = Sampler(checkpoint, seed, SamplingConfig(**{"length": 20, **config}), stop=stop, threads=threads)
    return [text.symbols for text in sampler.texts(count)]


def expected_after(checkpoint, text):
    """Return the probabilities of all symbols that may follow a text, normalised, by symbol."""
    expected = predictions(checkpoint, text, len(checkpoint.codec))[-1].expected
    probabilities = np.zeros(len(checkpoint.codec))
    for symbol, probability in expected:
        probabilities[symbol] = probability
    return probabilities / probabilities.sum()


def chi_square(counts, probabilities):
    """Return the number of standard deviations by which the statistic exceeds its mean."""
    possible = probabilities > 0
    assert not counts[~possible].any()
    expected = counts.sum() * probabilities[possible]
    assert expected.min() >= 5
    statistic = np.sum((counts[possible] - expected) ** 2 / expected)
    freedom = possible.sum() - 1
    return (statistic - freedom) / np.sqrt(2 * freedom)


@pytest.mark.parametrize("name", sorted({cell.name for cell in CELLS}))
@PRECISIONS
@MODES
def test_a_text_does_not_depend_on_others_or_threads(name, line_mode, precision, monkeypatch):
    cell = next(cell for cell in CELLS if cell.name == name)
    checkpoint = make_checkpoint(line_mode, cell)
    config = SamplingConfig(length=80, random_seed=4, precision=precision)

    def texts(count, threads, chunk=None):
        return list(Sampler(checkpoint, "ab", config, threads=threads).texts(count, chunk=chunk))

    many = texts(200, 1)
    assert len({tuple(text.symbols) for text in many}) > 150
    for count, threads in ((200, 2), (200, 3), (70, 2), (3, 1), (3, 2), (1, 1)):
        assert texts(count, threads) == many[:count]
    for chunk in (1, 7):
        assert texts(70, 2, chunk) == many[:70]
    monkeypatch.setattr(shared_row, "PARAMETERS_OF_A_THREAD", 1)  # so that threads share one row
    for threads, chunk in ((2, None), (3, 1), (5, 7)):
        assert texts(1, threads, chunk) == many[:1]


@needs_bfloat16
def test_bfloat16_has_nearly_the_same_probabilities():
    """The losses differ by more than the rounding of float32, and by no more than operands of 8 bits explain."""
    checkpoint, ids = make_checkpoint(False), np.arange(200) % len(SYMBOLS) + 1
    model = Model.from_torch(checkpoint.config, checkpoint.parameters)
    readers = [Stepper(model, 1, Team(1), SamplingConfig(precision=name)) for name in ("float32", "bfloat16")]
    exact, rounded = (reader.read(ids) for reader in readers)
    assert 1e-6 < np.abs(rounded - exact).max() < 0.05


def test_bfloat16_is_refused_if_the_cpu_lacks_it(monkeypatch):
    monkeypatch.setattr(workspace, "HAS_BFLOAT16", False)
    with pytest.raises(UsageError, match=r"no products in bfloat16.*`precision=\"float32\"`"):
        draw(make_checkpoint(False), 1, precision="bfloat16")


def test_a_random_seed_repeats_a_text():
    checkpoint = make_checkpoint(False)
    first, again, other = (draw(checkpoint, 5, random_seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert all(one != another for one, another in zip(first, other))
    assert draw(checkpoint, 2, random_seed=2**63 - 1) == draw(checkpoint, 2, random_seed=2**63 - 1)


@pytest.mark.parametrize("seed", ["", "abc"])
@MODES
def test_greedy_takes_the_most_probable_symbol(line_mode, seed):
    checkpoint = make_checkpoint(line_mode)
    (text,) = Sampler(checkpoint, seed, SamplingConfig(temperature=0.0, length=30)).texts(1)
    written = seed + checkpoint.codec.decode(text.symbols).decode()
    steps = predictions(checkpoint, written, 1)[len(seed) :]
    likeliest = [step.expected[0][0] for step in steps]
    assert likeliest[: len(text.symbols)] == text.symbols.tolist()
    assert len(text.symbols) == 30 or likeliest[-1] == BOUNDARY


@pytest.mark.parametrize(
    "config", [{"top_k": 1}, {"temperature": 1e-30}, {"temperature": 1e-39}, {"temperature": 1e-320}]
)
@MODES
def test_the_limits_of_sampling_are_greedy(line_mode, config):
    checkpoint = make_checkpoint(line_mode)
    for seed in ("", "a", "dd", "hgf"):
        assert draw(checkpoint, 3, seed, **config) == draw(checkpoint, 3, seed, temperature=0.0)


@pytest.mark.parametrize("config", [{}, {"temperature": 0.5}, {"temperature": 2.0}, {"top_k": 3}], ids=str)
@MODES
def test_symbols_have_the_probabilities_of_the_model(line_mode, config):
    checkpoint = make_checkpoint(line_mode)
    plain = expected_after(checkpoint, "ab")
    probabilities = plain ** (1 / config.get("temperature", 1))
    if "top_k" in config:
        probabilities[np.argsort(-plain)[config["top_k"] :]] = 0
    probabilities /= probabilities.sum()
    texts = draw(checkpoint, 20_000, length=1, random_seed=8, **config)
    counts = np.bincount([text[0] if text else BOUNDARY for text in texts], minlength=len(plain))
    assert chi_square(counts, probabilities) < 4
    if config:
        assert chi_square(counts, plain) > 10  # the test can detect another distribution


def test_later_symbols_have_the_probabilities_too():
    checkpoint = make_checkpoint(False)
    texts = draw(checkpoint, 20_000, length=2, random_seed=8)
    for first in ("a", "c"):
        (symbol,) = checkpoint.codec.encode(first)
        seconds = [text[1] for text in texts if text[0] == symbol]
        counts = np.bincount(seconds, minlength=len(checkpoint.codec))
        assert len(seconds) > 500
        assert chi_square(counts, expected_after(checkpoint, "ab" + first)) < 4


@pytest.mark.parametrize("top_k", [2, 5])
@MODES
def test_top_k_samples_from_the_most_probable_only(line_mode, top_k):
    checkpoint = make_checkpoint(line_mode)
    allowed = set(np.argsort(-expected_after(checkpoint, "ab"))[:top_k].tolist())
    drawn = {text[0] if text else BOUNDARY for text in draw(checkpoint, 2000, length=1, top_k=top_k, temperature=9.0)}
    assert drawn == allowed


@MODES
def test_a_top_k_of_all_symbols_changes_nothing(line_mode):
    checkpoint = make_checkpoint(line_mode)
    plain = draw(checkpoint, 20)
    for top_k in (len(checkpoint.codec), 1_000_000):
        assert draw(checkpoint, 20, top_k=top_k) == plain


@MODES
def test_a_high_temperature_samples_everything(line_mode):
    drawn = draw(make_checkpoint(line_mode), 300, length=50, temperature=100.0)
    assert {symbol for text in drawn for symbol in text} == set(range(1, len(SYMBOLS) + 1))


@MODES
def test_losses_are_those_of_the_evaluation(line_mode):
    checkpoint = make_checkpoint(line_mode)
    config = SamplingConfig(length=60, temperature=1.7, top_k=9)
    scorer = Scorer(checkpoint, 1)
    texts = list(Sampler(checkpoint, "", config).texts(20))
    assert max(len(text.symbols) for text in texts) > 10
    for text in filter(lambda text: text.symbols, texts):
        scorer.start()
        losses, _ = scorer.read(np.array(text.symbols, np.int32))
        assert text.losses.tolist() == pytest.approx(losses, rel=1e-5, abs=1e-6)
        assert text.bits_per_char == pytest.approx(losses.mean() / np.log(2), rel=1e-5)


def test_bits_per_char_is_that_of_the_evaluated_text():
    checkpoint = make_checkpoint(False)
    (text,) = Sampler(checkpoint, "", SamplingConfig(length=500)).texts(1)
    written = checkpoint.codec.decode(text.symbols).decode()
    assert text.bits_per_char == pytest.approx(evaluate_texts(checkpoint, [written]).bits_per_char, rel=1e-6)


def joined_pieces(sampler, chunk):
    """Return a streamed text and the bytes of its pieces."""
    pieces = list(sampler.pieces(1, chunk))
    assert [piece.first for piece in pieces] == [True, *[False] * (len(pieces) - 1)]
    assert [piece.last for piece in pieces] == [*[False] * (len(pieces) - 1), True]
    return pieces[-1].text, [piece.data for piece in pieces]


def stream(checkpoint, chunk, stop="", length=150):
    """Return a streamed text and the bytes of its pieces."""
    return joined_pieces(Sampler(checkpoint, "ab", SamplingConfig(length=length, random_seed=3), stop=stop), chunk)


@pytest.mark.parametrize("chunk", [1, 7, 64])
@MODES
def test_pieces_are_the_first_text(line_mode, chunk):
    checkpoint = make_checkpoint(line_mode, boundary_bias=-2)
    (expected,) = Sampler(checkpoint, "ab", SamplingConfig(length=150, random_seed=3)).texts(1)
    text, parts = stream(checkpoint, chunk)
    assert text == expected
    assert b"".join(parts) == checkpoint.codec.decode(expected.symbols)
    if chunk == 1:
        shown = [checkpoint.codec.decode([symbol]) for symbol in text.symbols]
        assert [part for part in parts if part] == shown


@pytest.mark.parametrize("chunk", [1, 7, 64])
@pytest.mark.parametrize(
    "start, end", [(0, 3), (5, 9), (6, 8), (12, 30), (61, 66), (63, 64), (64, 68), (140, 150), (149, 150)]
)
def test_a_stop_text_ends_a_text_at_any_position(chunk, start, end):
    checkpoint = make_checkpoint(False)
    (free,) = draw(checkpoint, 1, random_seed=3, length=150)
    whole = checkpoint.codec.decode(free).decode()
    stop = whole[start:end]
    text, parts = stream(checkpoint, chunk, stop)
    assert b"".join(parts).decode() == whole[: whole.index(stop)]
    assert (text.symbols, text.stopped) == (free[: whole.index(stop)], "stop")
    assert len(text.losses) == len(text.symbols)
    assert draw(checkpoint, 2, random_seed=3, length=150, stop=stop)[0] == text.symbols


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_prefix_of_a_stop_text_is_kept(chunk):
    checkpoint = make_checkpoint(False)
    (free,) = draw(checkpoint, 1, random_seed=3, length=150)
    whole = checkpoint.codec.decode(free).decode()
    stop = whole[-3:] + "abcdefgh"
    text, parts = stream(checkpoint, chunk, stop)
    assert b"".join(parts).decode() == whole
    assert (text.symbols, text.stopped) == (free, "length")


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 150])
def test_texts_have_their_length(length):
    checkpoint = make_checkpoint(False)
    sampler = Sampler(checkpoint, "ab", SamplingConfig(length=length))
    for text in sampler.texts(3):
        assert len(text.symbols) == len(text.losses) == length
        assert text.stopped == "length"
        assert (text.bits_per_char is None) == (length == 0)
    assert len(b"".join(joined_pieces(sampler, 64)[1]).decode()) == length


def test_count_0_gives_an_empty_list():
    assert draw(make_checkpoint(False), 0) == []


def test_a_line_ends_where_the_model_ends_it():
    checkpoint = make_checkpoint(True)
    texts = list(Sampler(checkpoint, "ab", SamplingConfig(length=30)).texts(300))
    assert {text.stopped for text in texts} == {"end", "length"}
    for text in texts:
        assert BOUNDARY not in text.symbols
        assert (text.stopped == "length") == (len(text.symbols) == 30)
    for text in Sampler(make_checkpoint(True, boundary_bias=40), "ab").texts(3):
        assert (text.symbols.tolist(), text.stopped, text.bits_per_char) == ([], "end", None)


@pytest.mark.parametrize(
    "config", [{"temperature": 0.0}, {}, {"temperature": 100.0}, {"top_k": 1}, {"top_k": 3}], ids=str
)
def test_a_stream_never_shows_the_boundary(config):
    checkpoint = make_checkpoint(False, boundary_bias=40)
    for text in draw(checkpoint, 50, length=30, **config):
        assert len(text) == 30
        assert BOUNDARY not in text
    assert BOUNDARY not in dict(predictions(checkpoint, "ab", 100)[-1].expected)


def test_a_prompt_is_continued():
    checkpoint = make_checkpoint(False)
    (whole,) = draw(checkpoint, 1, "", temperature=0.0, length=40)
    for cut in (1, 17):
        seed = checkpoint.codec.decode(whole[:cut]).decode()
        assert draw(checkpoint, 1, seed, temperature=0.0, length=40 - cut) == [whole[cut:]]


def test_an_unknown_character_is_named_with_its_position():
    checkpoint = make_checkpoint(False)
    with pytest.raises(UsageError, match=r"'X' \(U\+0058\), character 3 of the seed"):
        Sampler(checkpoint, "abXcY")
    skipping = Sampler(checkpoint, "abXcY", unknown="skip")
    assert skipping.prompts[0].ids.tolist() == checkpoint.codec.encode("abc").tolist()
    assert list(skipping.texts(2)) == list(Sampler(checkpoint, "abc").texts(2))


def test_an_unknown_character_of_the_stop_text_is_named():
    with pytest.raises(UsageError, match=r"'X' \(U\+0058\), character 2 of the stop text"):
        Sampler(make_checkpoint(False), "abc", stop="aX")


def test_a_stop_text_with_an_unknown_character_is_refused():
    """It could never occur, whatever `unknown` says about the prompt."""
    with pytest.raises(UsageError, match=r"'X' .* of the stop text"):
        Sampler(make_checkpoint(False), "ab", SamplingConfig(length=100), stop="aX", unknown="skip")


def test_sample_texts_gives_bytes():
    checkpoint = make_checkpoint(False)
    config = SamplingConfig(length=30)
    texts = list(sample_texts(checkpoint, "ab", 3, config=config))
    assert texts == [checkpoint.codec.decode(symbols) for symbols in draw(checkpoint, 3, length=30)]
    assert all(len(text.decode()) == 30 for text in texts)


def make_byte_checkpoint(line_mode=False):
    return make_checkpoint(line_mode, codec=ByteCodec(line_mode), boundary_bias=3)


def test_a_model_of_bytes_may_write_any_byte():
    config = SamplingConfig(length=300, temperature=100.0, valid_utf8=False)
    texts = list(sample_texts(make_byte_checkpoint(), b"\xff\x00", 20, config=config))
    assert {len(text) for text in texts} == {300}
    assert set(b"".join(texts)) == set(range(256))


@pytest.mark.parametrize("seed", [b"", b"a\xe2\x82", b"\xf0\x9f", b"\xff", b"\xe2\x82\xac"])
@MODES
def test_model_of_bytes_samples_valid_utf8(line_mode, seed):
    beginning = seed.replace(b"\xff", b"")
    for length in (1, 2, 3, 50):
        config = SamplingConfig(length=length, temperature=100.0)
        texts = list(Sampler(make_byte_checkpoint(line_mode), seed, config).texts(100))
        for text in texts:
            written = make_byte_checkpoint(line_mode).codec.decode(text.symbols)
            assert len(text.losses) == len(written) <= length
            if written or not beginning or beginning.endswith(b"\xac"):
                (beginning + written).decode()
        assert all(text.stopped in ("length", "end") for text in texts)
    assert any(max(text.symbols) > 0xC2 for text in texts)


def test_pieces_of_bytes_end_between_characters():
    checkpoint = make_byte_checkpoint()
    for random_seed in range(30):
        config = SamplingConfig(length=20, temperature=100.0, random_seed=random_seed)
        sampler = Sampler(checkpoint, "", config)
        text, parts = joined_pieces(sampler, 1)
        assert "".join(part.decode() for part in parts).encode() == checkpoint.codec.decode(text.symbols)
        assert text == next(sampler.texts(1))


# Allowed symbols, and lengths


@pytest.mark.parametrize("config", [{}, {"temperature": 0.0}, {"temperature": 100.0}, {"top_k": 2}], ids=str)
@MODES
def test_forbidden_characters_never_occur(line_mode, config):
    checkpoint = make_checkpoint(line_mode)
    forbidden = set(checkpoint.codec.encode("bcd\u20ac").tolist())
    texts = draw(checkpoint, 100, "bc", forbid="bcd\u20ac?", **config)
    assert max(map(len, texts)) > 0
    assert not forbidden & {symbol for text in texts for symbol in text}


def test_allowed_characters_keep_their_probabilities():
    checkpoint = make_checkpoint(True)
    expected = expected_after(checkpoint, "ab")
    expected[checkpoint.codec.encode("bce")] = 0
    counts = np.bincount(
        [text[0] if text else BOUNDARY for text in draw(checkpoint, 20_000, length=1, forbid="bce")],
        minlength=len(expected),
    )
    assert chi_square(counts, expected / expected.sum()) < 4


@pytest.mark.parametrize("seed", ["", "ab"])
def test_the_limits_of_length_include_the_prompt(seed):
    checkpoint = make_checkpoint(True, boundary_bias=1)
    texts = list(Sampler(checkpoint, seed, SamplingConfig(min_length=4, max_length=9)).texts(300))
    sizes = [len(seed) + len(text.symbols) for text in texts]
    assert set(sizes) == {4, 5, 6, 7, 8, 9}
    assert {text.stopped for text in texts} == {"end", "length"}
    assert all((size == 9) == (text.stopped == "length") for size, text in zip(sizes, texts))


def test_only_the_last_line_of_a_prompt_counts():
    checkpoint = make_checkpoint(True, boundary_bias=1)
    config = SamplingConfig(min_length=4, max_length=9)
    sizes = {len(text.symbols) for text in Sampler(checkpoint, "abcdefgh\nab", config).texts(300)}
    assert sizes == {2, 3, 4, 5, 6, 7}


def test_no_stop_text_ends_a_short_text():
    checkpoint = make_checkpoint(False)
    texts = list(Sampler(checkpoint, "ab", SamplingConfig(length=100, min_length=10), stop="a").texts(100))
    (symbol,) = checkpoint.codec.encode("a")
    assert {text.stopped for text in texts} >= {"stop"}
    assert all(len(text.symbols) >= 8 and symbol not in text.symbols[8:] for text in texts)
    assert any(symbol in text.symbols[:8] for text in texts)


@pytest.mark.parametrize(
    "config, words",
    [
        ({"min_length": 5, "max_length": 4}, "`max_length=4`"),
        ({"max_length": 2}, "the seed has 3 characters"),
        ({"min_length": 9, "length": 5}, "`min_length=9` cannot be reached"),
        ({"forbid": SYMBOLS}, "`forbid`"),
    ],
)
def test_limits_that_leave_no_text_are_refused(config, words):
    with pytest.raises(UsageError, match=words):
        Sampler(make_checkpoint(True), "abc", SamplingConfig(**config))


# Several prompts


def test_several_prompts_are_continued_as_each_alone():
    checkpoint = make_checkpoint(True, boundary_bias=-1)
    seeds = ["ab", "", "abcdefgh" * 9, "c", "ab"] * 20
    sampler = Sampler(checkpoint, seeds, SamplingConfig(length=40, random_seed=3), threads=2)
    texts = list(sampler.texts(2))
    assert [text.prompt.ids.tolist() for text in texts] == [
        checkpoint.codec.encode(seed).tolist() for seed in seeds for _ in range(2)
    ]
    assert texts[:2] == list(Sampler(checkpoint, "ab", SamplingConfig(length=40, random_seed=3)).texts(2))
    assert texts[8:10] != texts[:2]  # the same prompt in another line
    assert texts[::2] == list(Sampler(checkpoint, seeds, sampler.config).texts(1))
    greedy = SamplingConfig(length=40, temperature=0)
    alone = [next(Sampler(checkpoint, seed, greedy).texts(1)) for seed in seeds[:5]]
    assert list(Sampler(checkpoint, seeds, greedy).texts(1)) == alone * 20


def test_an_unknown_character_of_a_line_is_named():
    with pytest.raises(UsageError, match="character 2 of the seed in line 2"):
        Sampler(make_checkpoint(True), ["ab", "aX"])


# Unique and novel texts


def with_fingerprint(checkpoint, lines):
    """Give a checkpoint the fingerprint of these lines."""
    ids = checkpoint.codec.frame(checkpoint.codec.encode("\n".join(lines)))
    ids = ids[ids >= 0]
    checkpoint.record["fingerprint"] = Fingerprint.of(ids, line_mode=checkpoint.codec.line_mode).to_dict()
    return checkpoint


def test_unique_rejects_repeated_texts():
    checkpoint = make_checkpoint(True, boundary_bias=1)
    plain = [tuple(text) for text in draw(checkpoint, 600, max_length=5)]
    assert len(set(plain)) < 500
    unique = [tuple(text) for text in draw(checkpoint, 200, max_length=5, unique=True)]
    assert unique == list(dict.fromkeys(plain))[:200]


def test_unique_compares_whole_texts():
    checkpoint = make_checkpoint(True, boundary_bias=1)
    sampler = Sampler(checkpoint, ["a", "ab"], SamplingConfig(max_length=4, unique=True))
    wholes = [(*text.prompt.ids.tolist(), *text.symbols) for text in sampler.texts(60)]
    assert len(set(wholes)) == len(wholes) == 120


def test_novel_rejects_lines_of_the_corpus():
    checkpoint = make_checkpoint(True, boundary_bias=1)
    config = {"max_length": 4, "random_seed": 2}
    plain = draw(checkpoint, 400, **config)
    known = [tuple(text) for text in plain[::2]]
    decode = checkpoint.codec.decode
    with_fingerprint(checkpoint, [("ab" + decode(text).decode()) for text in known])
    expected = [tuple(text) for text in plain if tuple(text) not in known]
    assert len(expected) > 20
    assert [tuple(text) for text in draw(checkpoint, len(expected), novel=True, **config)] == expected


@pytest.mark.parametrize("options", [{"unique": True}, {"novel": True}, {"best_of": 3}, {"unique": True, "best_of": 2}])
def test_the_kept_texts_do_not_depend_on_the_rows(options):
    checkpoint = with_fingerprint(make_checkpoint(True, boundary_bias=1), ["abc", "aba", "ab", "a", "abab", "b"])
    config = SamplingConfig(max_length=5, **options)
    seeds = ["a", "ab", "b"]
    expected = list(Sampler(checkpoint, seeds, config).texts(40))
    for rows, ahead, threads in ((1, 1, 1), (7, 10, 2), (64, 1024, 3)):
        sampler = Sampler(checkpoint, seeds, config, threads=threads)
        assert list(sampler.texts(40, rows=rows, max_pending=ahead)) == expected
    few = list(Sampler(checkpoint, "a", config).texts(10))
    assert few == expected[:10]


def test_too_many_rejections_end_the_search():
    checkpoint = make_checkpoint(True, boundary_bias=1, codec=CharacterCodec("abc", line_mode=True))
    found = []
    texts = Sampler(checkpoint, ["", "a"], SamplingConfig(max_length=4, unique=True)).texts(1000, max_rejected=200)
    with pytest.raises(RnnError, match="of 2,000 texts were found, and then 200 in a row") as caught:
        found.extend(texts)
    assert caught.value.exit_code == 1
    assert f"{len(found):,} of" in str(caught.value)
    assert 60 < len(found) <= 1 + 3 + 9 + 27 + 81
    greedy = Sampler(checkpoint, "", SamplingConfig(temperature=0, unique=True))
    assert len(list(zip(range(1), greedy.texts(2)))) == 1
    with pytest.raises(RnnError, match="1 of 2 texts"):
        list(greedy.texts(2))


def test_best_of_keeps_the_most_probable_per_character():
    checkpoint = make_checkpoint(True)
    plain = list(Sampler(checkpoint, "ab", SamplingConfig(length=30)).texts(60))
    best = list(Sampler(checkpoint, "ab", SamplingConfig(length=30, best_of=6)).texts(10))
    assert best == [min(plain[k : k + 6], key=lambda text: text.surprise) for k in range(0, 60, 6)]


@pytest.mark.parametrize("line_mode", [False, True])
@pytest.mark.parametrize("max_copy", [5, 8, 11, 12, 20])
def test_no_more_than_max_copy_characters_are_copied(line_mode, max_copy):
    checkpoint = make_checkpoint(line_mode, boundary_bias=-4)
    corpus = "\n".join(decode_all(checkpoint, draw(checkpoint, 50, "", length=60, temperature=0.3, random_seed=1)))
    with_fingerprint(checkpoint, corpus.split("\n"))
    config = {"length": 60, "temperature": 0.3, "random_seed": 1}
    free = decode_all(checkpoint, draw(checkpoint, 50, "", **config))
    assert max(copied(text, corpus) for text in free) > max_copy
    kept = decode_all(checkpoint, draw(checkpoint, 50, "", max_copy=max_copy, **config))
    assert max(copied(text, corpus) for text in kept) in range(max_copy - 1, max_copy + 1)
    assert np.mean([len(text) for text in kept]) > 30
    seed = corpus[: max_copy - 2]
    more = decode_all(checkpoint, draw(checkpoint, 50, seed, max_copy=max_copy, **config))
    assert max(copied(seed + text, corpus) for text in more) <= max_copy


def decode_all(checkpoint, texts):
    return [checkpoint.codec.decode(text).decode() for text in texts]


def copied(text, corpus):
    """Return the length of the longest part of a text that is in the corpus."""
    sizes = range(len(text), 0, -1)
    return next((n for n in sizes if any(text[k : k + n] in corpus for k in range(len(text) - n + 1))), 0)


def test_a_text_that_could_only_copy_ends():
    checkpoint = make_checkpoint(False, codec=CharacterCodec("a", line_mode=False))
    with_fingerprint(checkpoint, ["a" * 50])
    (text,) = Sampler(checkpoint, "", SamplingConfig(max_copy=7)).texts(1)
    assert (len(text.symbols), text.stopped) == (7, "copy")


def test_novel_and_max_copy_need_a_fingerprint():
    checkpoint = make_checkpoint(True)
    for options in ({"novel": True}, {"max_copy": 5}):
        with pytest.raises(UsageError, match="needs the fingerprint"):
            Sampler(checkpoint, "", SamplingConfig(**options))
    with pytest.raises(UsageError, match="`novel` is for a model of lines"):
        Sampler(make_checkpoint(False), "", SamplingConfig(novel=True))


@MODES
def test_predictions_are_a_distribution_at_each_step(line_mode):
    checkpoint = make_checkpoint(line_mode)
    steps = predictions(checkpoint, "abca", 100)
    ids = checkpoint.codec.encode("abca").tolist()
    assert [step.read for step in steps] == [None, *ids]
    assert [step.came for step in steps] == [*ids, None]
    for step in steps:
        values = [probability for _, probability in step.expected]
        assert values == sorted(values, reverse=True)
        assert len(step.expected) == len(checkpoint.codec) - (not line_mode)
        assert sum(values) == pytest.approx(1) if line_mode else sum(values) < 1
        assert step.probability == (None if step.came is None else dict(step.expected)[step.came])
    assert steps[1].expected != steps[4].expected  # after the same letter
    assert [step.expected for step in predictions(checkpoint, "abca", 2)] == [step.expected[:2] for step in steps]


@pytest.mark.parametrize("wrong", [{"temperature": -0.1}, {"temperature": float("nan")}, {"top_k": -1}, {"length": -1}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError):
        SamplingConfig(**wrong)


def test_random_numbers_are_uniform_and_independent():
    numbers = np.array(
        [[uniform(seed, text, position) for position in range(50)] for seed in range(20) for text in range(20)]
    )
    assert (numbers >= 0).all()
    assert (numbers < 1).all()
    assert len(np.unique(numbers)) == numbers.size
    flat = np.full(16, 1 / 16)
    assert abs(chi_square(np.bincount((numbers.ravel() * 16).astype(int), minlength=16), flat)) < 4
    neighbours = [
        (numbers[:, :-1], numbers[:, 1:]),  # positions
        (numbers[:-1], numbers[1:]),  # texts
        (numbers[:-20], numbers[20:]),  # seeds
    ]
    for one, other in neighbours:
        cells = (one.ravel() * 4).astype(int) * 4 + (other.ravel() * 4).astype(int)
        assert abs(chi_square(np.bincount(cells, minlength=16), flat)) < 4


def test_pieces_come_while_the_text_is_generated():
    checkpoint = make_checkpoint(False)
    sampler = Sampler(checkpoint, "ab", SamplingConfig(length=10**9))
    pieces = list(islice(sampler.pieces(1, 8), 4))
    assert [len(piece.data.decode()) for piece in pieces] == [0, 8, 8, 8]
    assert len(pieces[-1].text.symbols) == 24


@pytest.mark.parametrize("count, options", [(2, {}), (1, {"best_of": 2}), (1, {"unique": True})])
def test_texts_that_may_be_rejected_come_whole(count, options):
    sampler = Sampler(make_checkpoint(True), "ab", SamplingConfig(length=40, **options))
    pieces = list(sampler.pieces(count, 1))
    assert [piece.text for piece in pieces] == list(sampler.texts(count))
    assert all(piece.first and piece.last for piece in pieces)
    assert [piece.data for piece in pieces] == [sampler.codec.decode(piece.text.symbols) for piece in pieces]


@pytest.mark.parametrize("count", [1, 3])
def test_an_empty_prompt_of_a_stream_is_a_hidden_newline(count):
    checkpoint = make_checkpoint(False, codec=CharacterCodec("\nabcdefgh", False))
    config = SamplingConfig(length=40, random_seed=2)
    texts, behind = (list(Sampler(checkpoint, seed, config).texts(count)) for seed in ("", "\n"))
    assert [text.symbols for text in texts] == [text.symbols for text in behind]
    assert all(len(text.prompt.ids) == 0 for text in texts)
    assert all(len(text.prompt.ids) == 1 for text in behind)
    _, parts = joined_pieces(Sampler(checkpoint, "", config), 7)
    assert b"".join(parts) == checkpoint.codec.decode(texts[0].symbols)
    for model in (make_checkpoint(True, codec=CharacterCodec("abcdefgh", True)), make_checkpoint(False)):
        assert not Sampler(model, "").prompts[0].lead


def test_texts_of_two_prompts_share_no_random_numbers():
    """Beyond the 256th text of the first prompt, too: the prompts are equal, so their texts would be."""
    config = SamplingConfig(length=30, temperature=3.0, random_seed=4)
    texts = Sampler(make_checkpoint(False), ["ab", "ab"], config, threads=2).texts(300)
    assert len({tuple(text.symbols) for text in texts}) == 600


def test_a_prompt_of_the_maximum_length_is_not_continued():
    config = SamplingConfig(max_length=3)
    (text,) = Sampler(make_checkpoint(True), "abc", config).texts(1)
    assert (text.symbols.tolist(), text.stopped) == ([], "length")
    with pytest.raises(UsageError, match="4 characters"):
        Sampler(make_checkpoint(True), "abca", config)


FAMILY, FLAG = "\U0001f469\u200d\U0001f467", "\U0001f1eb\U0001f1ee"


def make_cluster_checkpoint(line_mode=False):
    symbols = "".join(sorted(set("ab\u0301\u0323" + FAMILY + FLAG)))
    return make_checkpoint(line_mode, boundary_bias=-3.0, codec=CharacterCodec(symbols, line_mode))


@pytest.mark.parametrize("line_mode", [False, True])
@pytest.mark.parametrize("limit", [{"length": 7}, {"max_length": 8}])
def test_no_length_cuts_a_grapheme_cluster(line_mode, limit):
    checkpoint = make_cluster_checkpoint(line_mode)
    decode = checkpoint.codec.decode
    long = draw(checkpoint, 40, seed="a", length=60)
    for short, whole in zip(draw(checkpoint, 40, seed="a", **limit), long):
        text = "a" + decode(whole).decode()
        ends = np.cumsum([len(cluster) for cluster in clusters(text)])
        fitting = max([end for end in ends if end <= 8], default=1)
        assert "a" + decode(short).decode() == text[:fitting]


def test_cut_at_a_cluster_does_not_depend_on_chunks():
    checkpoint = make_cluster_checkpoint()
    for seed in range(20):
        config = SamplingConfig(length=9, random_seed=seed)
        (expected,) = sample_texts(checkpoint, "a", config=config)
        for chunk in (1, 2, 3, 9, 10, 256):
            assert b"".join(joined_pieces(Sampler(checkpoint, "a", config), chunk)[1]) == expected


def test_a_minimum_length_may_cut_a_cluster():
    texts = draw(make_cluster_checkpoint(), 30, seed="a", min_length=8, max_length=8)
    assert set(map(len, texts)) == {7}


def rows_read(model, threads):
    """Return the states and the logits after some symbols that so many threads read on one row."""
    reader = Stepper(model, 1, Team(threads))
    reader.read(np.arange(40) % model.config.input_size)
    return reader.window.state.copy(), reader.window.logits.copy()


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(
    "others",
    [{"num_layers": 3}, {"members": 3}, {"embedding": "tied"}, {"num_layers": 2, "members": 2}],
    ids=["layers", "members", "tied", "layers and members"],
)
def test_threads_that_share_a_row_compute_the_same_bits(name, others):
    config = NetworkConfig.for_symbols(45, cell=name, hidden_size=83, **others)
    model = Model.initialised(config, np.random.default_rng(1))
    alone = rows_read(model, 1)
    for threads in (2, 3, 7):
        assert all(np.array_equal(a, b) for a, b in zip(alone, rows_read(model, threads)))


def test_threads_share_a_row_only_if_each_has_enough_to_do():
    assert [team_for(rows, 30_000, 4).threads for rows in (1, 3, 64)] == [1, 3, 4]
    assert [team_for(rows, 1_000_000, 4).threads for rows in (1, 3, 64)] == [4, 3, 4]
