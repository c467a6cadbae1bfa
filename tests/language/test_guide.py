"""Every text that is sampled with a guide matches it, whatever else limits it; what cannot match is refused."""

import itertools
import random
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from random_models import SYMBOLS, make_checkpoint

from rnn_cli.errors import RnnError, UsageError
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.guide import guide_for
from rnn_cli.language.sampling import Sampler, text_of
from rnn_cli.text.codecs import ByteCodec, CharacterCodec, ParagraphCodec, TokenCodec, WordCodec
from rnn_cli.text.fingerprint import Fingerprint

LETTERS = "abc\u00e9\u20ac"
CODECS = {
    "lines": CharacterCodec(SYMBOLS, True),
    "stream": CharacterCodec(SYMBOLS + "\n", False),
    "paragraphs": ParagraphCodec(SYMBOLS + "\n", True),
    "tokens": TokenCodec(("a", "ab", "b", "c", "ca\u00e9", "\u00e9", "\u20ac"), True),
    "bytes": ByteCodec(False),
    "byte lines": ByteCodec(True),
}
ATOMS = ["a", "b", "c", "\u00e9", ".", "[ab]", "[^ab]", "\\w", "\\W", "(?:a|bc)", "(?:ab*|c)", "[b-d]", "\u20ac"]
TIMES = ["", "", "", "*", "+", "?", "{2}", "{1,3}", "{2,}"]


@pytest.fixture(scope="module", params=CODECS)
def checkpoint(request):
    return make_checkpoint(CODECS[request.param].line_mode, codec=CODECS[request.param], boundary_bias=1)


def whole_texts(checkpoint, count, prompt="", threads=1, **config):
    """Return whole texts, and the GeneratedTexts that they come from."""
    prompt = checkpoint.codec.as_read(prompt.encode())
    sampler = Sampler(checkpoint, prompt, SamplingConfig(**{"length": 12, **config}), threads=threads)
    texts = list(sampler.texts(count))
    return [
        checkpoint.codec.decode(text.prompt.ids).decode() + text_of(sampler.codec, text).decode() for text in texts
    ], texts


def random_pattern(generator):
    """Return an expression of a few parts, some of them alternatives."""
    parts = ["".join(generator.choices(ATOMS)) + generator.choice(TIMES) for _ in range(generator.randint(1, 4))]
    cut = generator.randint(0, len(parts))
    return "".join(parts[:cut]) + ("|" if cut and generator.random() < 0.3 else "") + "".join(parts[cut:])


def test_random_expressions_match(checkpoint):
    generator, sampled = random.Random(1), 0
    flags = re.ASCII if checkpoint.codec.reads_bytes else 0
    for _ in range(25):
        pattern, limits = random_pattern(generator), {"length": generator.randint(1, 20)}
        limits |= {"min_length": generator.randint(0, limits["length"])} if generator.random() < 0.3 else {}
        limits |= {"suffix": generator.choice("abc")} if generator.random() < 0.2 else {}
        limits |= {"must_contain": ("a", "bc")} if generator.random() < 0.2 else {}
        limits |= {"forbid": "b"} if generator.random() < 0.2 else {}
        limits |= generator.choice([{}, {"temperature": 0.0}, {"temperature": 20.0}, {"top_k": 2}, {"top_p": 0.5}])
        try:
            texts, _ = whole_texts(checkpoint, 8, pattern=pattern, **limits)
        except UsageError as error:
            if "no text" not in str(error) and "the shortest text" not in str(error):
                raise
            continue
        for text in texts:
            sampled += 1
            assert re.fullmatch(pattern, text, flags), (pattern, text)
            size = len(checkpoint.codec.encode(checkpoint.codec.as_read(text.encode())))
            assert size <= limits["length"] or checkpoint.codec.kind == "tokens"
            assert text.endswith(limits.get("suffix", ""))
            assert all(part in text for part in limits.get("must_contain", ()))
            assert "forbid" not in limits or "b" not in text or checkpoint.codec.kind == "tokens"
    assert sampled > 60


def test_texts_do_not_depend_on_threads_and_rows(checkpoint):
    config = {"pattern": "(a|b|c)+.*", "suffix": "a", "random_seed": 3, "min_length": 5}
    one, two = (whole_texts(checkpoint, 70, threads=threads, **config)[0] for threads in (1, 2))
    assert one == two
    assert len(set(one)) > 10
    sampler = Sampler(checkpoint, checkpoint.codec.as_read(b""), SamplingConfig(length=12, **config))
    rows = [text_of(sampler.codec, text).decode() for text in sampler.texts(5, rows=2, chunk=3)]
    assert rows == one[:5]
    streamed = b"".join(piece.data for piece in sampler.pieces(1, chunk=2))
    assert streamed.decode() == one[0]


def test_the_prompt_is_part_of_the_text(checkpoint):
    texts, _ = whole_texts(checkpoint, 20, "ab", pattern="ab+c.{0,4}")
    assert all(re.fullmatch("ab+c.{0,4}", text) for text in texts)
    with pytest.raises(UsageError, match="begins with the seed"):
        whole_texts(checkpoint, 1, "ab", pattern="b.*")
    with pytest.raises(UsageError, match=r"the shortest text that matches `pattern` has 9 char.* at most 5"):
        whole_texts(checkpoint, 1, "c", pattern="ca{8}", max_length=5)
    texts, _ = whole_texts(checkpoint, 9, "ab", pattern="ab?[abc]{3,}", forbid="b")
    assert all(re.fullmatch("ab[ac]+", text) for text in texts) or checkpoint.codec.kind == "tokens"
    assert whole_texts(checkpoint, 1, "ab", pattern="ab", length=0)[0] == ["ab"]


def test_the_most_probable_symbols_of_a_stream_end_it():
    """In a stream the probability that a text ends is that of all symbols that the expression does not allow."""
    checkpoint = make_checkpoint(False)
    sampler = Sampler(checkpoint, "a", SamplingConfig(length=1, pattern="a[bc]?"))
    ended = np.mean([not text.symbols for text in sampler.texts(4000)])
    free = Sampler(checkpoint, "a", SamplingConfig(length=1))
    left = np.mean([text.symbols[0] not in free.codec.encode("bc") for text in free.texts(4000)])
    assert ended == pytest.approx(left, abs=0.04)
    assert 0.1 < left < 0.95


@pytest.mark.parametrize(
    "line_mode, config",
    [
        (True, {"pattern": "(ab|c)*b?|a.*"}),
        (True, {"suffix": "ab"}),
        (True, {"must_contain": ("ab", "c")}),
        (False, {"pattern": "(ab|c)*b?"}),
        (False, {"suffix": "ab"}),
    ],
    ids=str,
)
def test_texts_are_as_probable_as_among_those_that_match(line_mode, config):
    """With a network for which every symbol is equally probable, what is sampled is p(text | match) exactly."""
    length, size, letters = 5, 3 + line_mode, "abc"
    checkpoint = make_checkpoint(line_mode, codec=CharacterCodec(letters, line_mode))
    checkpoint = replace(checkpoint, parameters={name: 0 * value for name, value in checkpoint.parameters.items()})
    pattern = config.get("pattern") or (".*ab" if "suffix" in config else ".*ab.*c.*|.*c.*ab.*")

    tails = ["".join(parts) for n in range(4) for parts in itertools.product(letters, repeat=n)]

    def probability(text):
        if not re.fullmatch(pattern, text) or ("suffix" in config and not line_mode and "ab" in text[:-1]):
            return 0.0
        allowed = [letter for letter in letters if any(re.fullmatch(pattern, text + letter + rest) for rest in tails)]
        left = 1.0 if "suffix" in config else 1 - len(allowed) / size
        end = 1.0 if len(text) == length else 1 / size if line_mode else left
        return end * size ** -len(text)

    every = ["".join(parts) for n in range(length + 1) for parts in itertools.product(letters, repeat=n)]
    expected = np.array([probability(text) for text in every])
    texts, _ = whole_texts(checkpoint, 5000, length=length, **config)
    counts = np.bincount([every.index(text) for text in texts], minlength=len(every))
    expected /= expected.sum()
    assert not counts[expected == 0].any()
    assert np.abs(counts / len(texts) - expected).max() < 0.025
    common = expected > 0.002
    assert np.abs(counts[common] / len(texts) / expected[common] - 1).mean() < 0.2


@pytest.mark.parametrize("line_mode, config", [(True, {"must_contain": ("ab",)}), (False, {"suffix": "ab"})], ids=str)
def test_candidates_are_resampled_as_the_network_says(line_mode, config, monkeypatch):
    """The shares of texts are near those among free texts that match: nearer than with one candidate for each."""
    length, codec, free, wanted = 3, CharacterCodec("abc", line_mode), Counter(), 2000
    checkpoint = make_checkpoint(line_mode, codec=codec)
    for text in whole_texts(checkpoint, 15_000, length=length, temperature=1.5)[0]:
        text = text if line_mode else text[: text.find("ab") + 2]
        free[text] += "ab" in text

    def distance():
        texts = Counter(whole_texts(checkpoint, wanted, length=length, temperature=1.5, **config)[0])
        return sum(abs(texts[text] / wanted - free[text] / free.total()) for text in {*texts, *free}) / 2

    near = distance()
    monkeypatch.setattr(SamplingConfig, "candidates", 1)
    assert near < 0.7 * distance()


def test_a_stream_ends_at_the_first_suffix():
    texts, found = whole_texts(make_checkpoint(False), 50, length=40, suffix="a", min_length=5)
    assert all(text.endswith("a") and "a" not in text[4:-1] for text in texts)
    assert {text.stopped for text in found} >= {"end"}
    assert min(map(len, texts)) >= 5


def test_long_texts_match():
    pattern = "(a{300}|b{7}){2}.{0,99}"
    texts, _ = whole_texts(make_checkpoint(True), 3, length=900, pattern=pattern, must_contain=("cab",))
    assert all(re.fullmatch(pattern, text) and "cab" in text for text in texts)


def test_repeated_and_known_lines_are_rejected():
    checkpoint = make_checkpoint(True)
    ids = checkpoint.codec.frame(checkpoint.codec.encode("ab\ncb\n"))
    checkpoint = replace(
        checkpoint, record={**checkpoint.record, "fingerprint": Fingerprint.of(ids, line_mode=True).to_dict()}
    )
    texts, _ = whole_texts(checkpoint, 3, pattern="[abc][ab]", unique=True, novel=True, temperature=3.0)
    assert len({*texts, "ab", "cb"}) == 5
    with pytest.raises(RnnError, match="4 of 9 texts were found"):
        whole_texts(checkpoint, 9, pattern="[abc][ab]", unique=True, novel=True, temperature=3.0)


def test_copies_are_short_and_texts_match():
    checkpoint = make_checkpoint(True)
    ids = checkpoint.codec.frame(checkpoint.codec.encode("abcdefgh\n" * 3))
    checkpoint = replace(
        checkpoint, record={**checkpoint.record, "fingerprint": Fingerprint.of(ids, line_mode=True).to_dict()}
    )
    texts, _ = whole_texts(checkpoint, 5, pattern="a[bc]c[d\u00e9]e[fa]g", max_copy=5)
    assert all(re.fullmatch("a[bc]c[d\u00e9]e[fa]g", text) and "abcdef" not in text for text in texts)
    with pytest.raises(RnnError, match="0 of 1 texts were found"):
        whole_texts(checkpoint, 1, pattern="abcdefg", max_copy=5)


@pytest.mark.parametrize(
    "config, words",
    [
        ({"pattern": "[0-9]+"}, "no text of the characters that may be sampled matches `pattern`; change"),
        ({"pattern": "ax"}, "matches `pattern`; the model has never seen 'x'"),
        ({"pattern": "ab", "forbid": "b"}, "no text of the characters"),
        ({"pattern": "a+", "suffix": "b"}, "matches `pattern` and `suffix`"),
        ({"suffix": "x"}, "never seen 'x'.*`suffix`"),
        ({"must_contain": ("a", "x")}, "never seen 'x'.*`must_contain`"),
        ({"pattern": "(aa)*", "min_length": 3, "max_length": 3}, "no text that matches `pattern` has 3 to 3"),
        ({"pattern": "a{30}", "length": 20}, "the shortest text that matches `pattern` has 30 .* at most 20"),
        ({"must_contain": ("abcd" * 20,), "length": 20}, "the shortest text"),
        ({"must_contain": tuple("abcdefgh\u00e9\u20ac") + ("ab" * 9,) * 9 + ("ba" * 9,)}, "states"),
        ({"pattern": "a*", "min_length": 200_000, "length": 300_000}, "`min_length` together need too many states"),
        ({"pattern": 5}, "`pattern` must be a text"),
        ({"must_contain": (5,)}, "`must_contain` must be a text"),
    ],
)
def test_what_cannot_match_is_refused(config, words):
    with pytest.raises(UsageError, match=words):
        Sampler(make_checkpoint(True), "", SamplingConfig(**config))


def test_words_and_stop_texts_are_refused():
    with pytest.raises(UsageError, match="`suffix` is for models of characters"):
        guide_for(WordCodec(("a", "b"), True), SamplingConfig(suffix="a"))
    with pytest.raises(UsageError, match="`stop` would cut"):
        Sampler(make_checkpoint(True), "", SamplingConfig(pattern="a*"), stop="b")


def test_without_an_expression_there_is_no_guide():
    for config in (SamplingConfig(), SamplingConfig(suffix="", must_contain=("",))):
        assert guide_for(CODECS["lines"], config) is None
    assert whole_texts(make_checkpoint(True), 3, pattern="")[0] == ["", "", ""]
