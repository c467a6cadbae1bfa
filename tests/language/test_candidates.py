"""A stop text ends a text at its first occurrence, and the end that may still be removed is known."""

from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_cli.language.candidates import GeneratedText, PromptQueue, overlap
from rnn_cli.language.stepper import Prompt

FOLLOW = np.zeros((1, 3), np.uint8)  # everything may follow
SYMBOLS = st.lists(st.integers(1, 2), max_size=60)
STOPS = st.lists(st.integers(1, 2), max_size=5)


@given(sampled=SYMBOLS, wanted=STOPS, shortest=st.integers(0, 9), chunk=st.integers(1, 60))
def test_the_first_stop_text_after_the_minimum_ends_a_text(sampled, wanted, shortest, chunk):
    text, stop = GeneratedText(Prompt(np.zeros(0, np.int32), shortest, longest=100)), array("i", wanted)
    certain = array("i")
    for start in range(0, len(sampled), chunk):
        if text.stopped is None:
            part = np.array(sampled[start : start + chunk], np.int32)
            text.add(part, np.zeros(len(part)), [stop], FOLLOW)
            assert text.symbols[: len(certain)] == certain  # what was certain stays
            certain = text.symbols[: len(text.symbols) - text.uncertain([stop], FOLLOW)]
    ends = [k for k in range(shortest, len(sampled)) if wanted and sampled[k : k + len(wanted)] == wanted]
    assert text.stopped == ("stop" if ends else None)
    assert text.symbols.tolist() == (sampled[: ends[0]] if ends else sampled)
    assert len(text.losses) == len(text.symbols)


@given(SYMBOLS, STOPS)
def test_overlap_is_the_longest_matching_suffix(symbols, wanted):
    lengths = [k for k in range(len(wanted)) if symbols[len(symbols) - k :] == wanted[:k] and k <= len(symbols)]
    assert overlap(array("i", symbols), array("i", wanted)) == max(lengths, default=0)


@given(SYMBOLS, SYMBOLS, st.integers(1, 7))
def test_the_prompt_is_read_before_the_text(given_symbols, sampled, chunk):
    prompt = Prompt(np.array(given_symbols, np.int32), longest=100)
    text = GeneratedText(prompt, prompt.ids)
    steps = np.array(given_symbols + sampled, np.int32)
    for start in range(0, len(steps), chunk):
        part = steps[start : start + chunk]
        assert text.remaining == 100 + len(given_symbols) - start
        text.add(part, np.zeros(len(part)), [array("i")], FOLLOW)
    assert text.symbols.tolist() == sampled


@pytest.mark.parametrize(
    "losses, kept",
    [([[], [9.0]], [[9.0]]), ([[9.0], []], [[9.0]]), ([[], []], [[]]), ([[2.0], [1.0, 1.0]], [[1.0, 1.0]]),
     ([[1.0, 2.0], [1.0], [], [3.0]], [[1.0], [3.0]])],
)  # fmt: skip
def test_the_best_of_several_is_empty_only_if_all_are(losses, kept):
    prompt = Prompt(np.zeros(0, np.int32), longest=100)
    queue = PromptQueue(prompt, first=7, wanted=len(losses), best_of=2)
    for text in losses:
        index = queue.begin()
        queue.complete(index, GeneratedText(prompt, symbols=array("i", [1] * len(text)), losses=array("f", text)))
    assert [text.losses.tolist() for text in queue.kept(lambda text: True)] == kept


def test_candidates_are_judged_in_proportion_to_their_worth():
    prompt, worths = Prompt(np.zeros(0, np.int32), longest=100), np.log([1.0, 3.0, 6.0])
    queue = PromptQueue(prompt, first=5, wanted=2000, max_pending=10_000, candidates=3, seed=2)
    while queue.needs_text:
        index = queue.begin()
        queue.complete(index, GeneratedText(prompt, worth=worths[(index - 5) % 3]))
    kept = [text.worth for text in queue.kept(lambda text: text.worth > 0)]
    assert np.bincount(np.searchsorted(worths, kept), minlength=3) / len(kept) == pytest.approx(
        [0, 1 / 3, 2 / 3], abs=0.04
    )
    while queue.needs_text:  # in place of those that were rejected
        index = queue.begin()
        queue.complete(index, GeneratedText(prompt, worth=worths[(index - 5) % 3]))
    assert len(kept) + len(list(queue.kept(lambda text: True))) == 2000
    assert queue.done
