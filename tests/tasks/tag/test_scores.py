"""Scores of tags, against plain implementations."""

import numpy as np
import pytest

from rnn_cli.tasks.tag.scores import accuracy_of, baseline_tags, evaluate_tags, span_scores

TAGS = ["O", "B-a", "I-a", "B-b", "I-b"]


def plain_spans(tags):
    """Return the spans of a valid sequence, by walking from each B to the last I of its kind."""
    found = set()
    for first, tag in enumerate(tags):
        if tag[0] == "B":
            last = first + 1
            while last < len(tags) and tags[last] == "I" + tag[1:]:
                last += 1
            found.add((tag[2:], first, last))
    return found


def random_tags(generator):
    tags = []
    for _ in range(12):
        choices = ["O", "B-a", "B-b"] + ([f"I-{tags[-1][2:]}"] * 2 if tags and tags[-1] != "O" else [])
        tags.append(str(generator.choice(choices)))
    return tags


@pytest.mark.parametrize("seed", range(20))
def test_f1_is_that_of_a_plain_implementation(seed):
    generator = np.random.default_rng(seed)
    actual, found = ([random_tags(generator) for _ in range(5)] for _ in range(2))
    pairs = [(plain_spans(a), plain_spans(b)) for a, b in zip(actual, found)]
    right, of_actual, of_found = (sum(n) for n in zip(*((len(a & b), len(a), len(b)) for a, b in pairs)))
    scores = span_scores(actual, found)
    assert (scores.precision, scores.recall) == (right / of_found, right / of_actual)
    expected = 2 * scores.precision * scores.recall / (scores.precision + scores.recall) if right else 0
    assert scores.f1 == pytest.approx(expected)


def test_no_spans_have_no_f1():
    assert span_scores([["O"]], [["O"]]).to_dict() == {"precision": 0, "recall": 0, "f1": 0}


def test_all_figures():
    tokens, actual = [["a", "b"], ["c", "a"]], [["X", "Y"], ["Y", "X"]]
    found = [["X", "X"], ["Y", "X"]]
    baseline = [baseline_tags({"a": "X", "b": "Z"}, "X", words) for words in tokens]
    scores = evaluate_tags(tokens, actual, found, {"a", "b"}, baseline, bio=False)
    assert scores["tokens"] == 4
    assert scores["accuracy"] == accuracy_of(actual, found) == 0.75
    assert scores["unknown"] == {"tokens": 1, "accuracy": 1.0}
    assert scores["baseline"]["accuracy"] == 0.5
    assert "spans" not in scores
    assert scores["per_tag"]["X"] == {"precision": 2 / 3, "recall": 1.0, "f1": 0.8, "tokens": 2}
    assert scores["per_tag"]["Y"]["recall"] == 0.5


def test_without_unknown_tokens_there_is_no_accuracy_of_them():
    scores = evaluate_tags([["a"]], [["B-a"]], [["B-a"]], {"a"}, [["O"]], bio=True)
    assert scores["unknown"] == {"tokens": 0, "accuracy": None}
    assert scores["spans"]["f1"] == 1
    assert scores["baseline"]["spans"]["f1"] == 0
