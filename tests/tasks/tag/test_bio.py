"""BIO tags: valid sequences, the best of them, and spans."""

from itertools import product

import numpy as np
import pytest

from rnn_cli.tasks.tag.bio import Span, allowed_after, best_valid, is_bio, spans_of

TAGS = ["O", "B-city", "I-city", "B-day", "I-day"]


def is_valid(tags):
    """Say whether each I-x continues a span of x, in a way of its own."""
    before = "O"
    for tag in tags:
        if tag[0] == "I" and before not in ("B" + tag[1:], tag):
            return False
        before = tag
    return True


@pytest.mark.parametrize(
    "tags, answer",
    [
        (TAGS, True),
        (["O", "B-x"], True),
        (["B-x", "I-x"], True),
        (["O", "NOUN"], False),
        (["O"], False),
        (["O", "I-x"], False),
        (["O", "B-"], False),
        (["O", "B-x", "I-y"], False),
    ],
)
def test_bio_is_recognised(tags, answer):
    assert is_bio(tags) == answer


def test_what_may_follow_is_as_the_definition_says():
    allowed = allowed_after(TAGS)
    for before, after in product(range(len(TAGS)), repeat=2):
        assert allowed[before, after] == is_valid([TAGS[before].replace("I-", "B-"), TAGS[after]])
    assert allowed[-1].tolist() == [True, True, False, True, False]


@pytest.mark.parametrize("seed", range(40))
def test_the_best_valid_sequence_is_found(seed):
    """It is valid, and no valid sequence is more probable: compared with all sequences."""
    generator = np.random.default_rng(seed)
    log_probs = np.log(generator.dirichlet(np.ones(len(TAGS)), int(generator.integers(0, 6))))
    found = best_valid(log_probs, allowed_after(TAGS)).tolist()
    assert is_valid([TAGS[tag] for tag in found])
    steps = range(len(log_probs))
    valid = [s for s in product(range(len(TAGS)), repeat=len(steps)) if is_valid([TAGS[tag] for tag in s])]
    best = max(valid, key=lambda s: sum(log_probs[t, s[t]] for t in steps))
    assert tuple(found) == best


@pytest.mark.parametrize(
    "tags, spans",
    [
        ("O O", []),
        ("B-x O B-x", [("x", 0, 1), ("x", 2, 3)]),
        ("B-x I-x I-x", [("x", 0, 3)]),
        ("B-x B-x I-x", [("x", 0, 1), ("x", 1, 3)]),
        ("B-x I-y O", [("x", 0, 1), ("y", 1, 2)]),
        ("O I-x I-x", [("x", 1, 3)]),
    ],
)
def test_spans_are_found(tags, spans):
    assert spans_of(tags.split()) == [Span(*span) for span in spans]
