"""Streams: every symbol is a target exactly once, after the symbols that precede it in the text."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_cli.text.batches import IGNORED, LONG_LINE, StreamBatches, row_starts
from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.epoch_order import GATHER, line_blocks, reordered, shuffled

SIZES = {"batch_size": st.integers(1, 40), "sequence_length": st.integers(1, 20)}
SEEDS = st.integers(0, 2**63 - 1)
LINES = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=30).map(tuple), min_size=1, max_size=30)


# From one symbol, which makes each line a block, to a single block; and from one window to all of them.
LIMITS = {"in_memory": st.sampled_from([1, 40, 400, 1 << 24]), "read_ahead": st.sampled_from([0, 50, 100_000])}


def streams_of(in_memory, read_ahead, *arguments):
    """Return streams with other limits of the memory."""
    return StreamBatches(*arguments, in_memory=in_memory, read_ahead=read_ahead)


def text_of_lines(lines):
    return np.array([0, *(symbol for line in lines for symbol in (*line, 0))], np.uint8)


def epoch_of(streams, epoch):
    """Return the inputs and targets of a whole epoch."""
    steps = streams.steps_per_epoch
    windows = [streams.window(step) for step in range(epoch * steps, (epoch + 1) * steps)]
    return [np.concatenate(parts) for parts in zip(*windows)]


def lines_in(inputs, targets):
    """Read the lines back from a layout, and check that each input is the target before it."""
    found = []
    for column, following in zip(inputs.T.tolist(), targets.T.tolist()):
        line = []
        for symbol, target in zip(column, following):
            assert symbol == (line[-1] if line else BOUNDARY)
            if target == BOUNDARY:
                found.append(tuple(line))
                line = []
            elif target != IGNORED:
                line.append(target)
        assert not line
    return found


@settings(deadline=None)
@given(*LIMITS.values(), LINES, *SIZES.values(), SEEDS, st.integers(0, 3))
def test_every_line_is_read_whole_and_once_in_an_epoch(
    in_memory, read_ahead, lines, batch_size, sequence_length, seed, epoch
):
    streams = streams_of(in_memory, read_ahead, text_of_lines(lines), True, batch_size, sequence_length, seed)
    inputs, targets = epoch_of(streams, epoch)
    assert Counter(lines_in(inputs, targets)) == Counter(lines)
    assert (inputs[targets == IGNORED] == BOUNDARY).all()


@settings(deadline=None)
@given(
    *LIMITS.values(),
    st.lists(st.integers(0, 30), min_size=1, max_size=4),
    *SIZES.values(),
    SEEDS,
    st.integers(0, 3),
    st.lists(st.integers(1, 90), max_size=9),
)
def test_every_character_of_a_stream_is_a_target_once(
    in_memory, read_ahead, sizes, batch_size, sequence_length, seed, epoch, breaks
):
    # Each symbol occurs once, so what precedes it is known; documents begin with a boundary.
    numbers = iter(range(1, sum(sizes) + 1))
    ids = np.array([symbol for size in sizes for symbol in (0, *(next(numbers) for _ in range(size)))], np.uint8)
    streams = streams_of(in_memory, read_ahead, ids, False, batch_size, sequence_length, seed, None, breaks)
    inputs, targets = epoch_of(streams, epoch)
    assert sorted(targets[targets != IGNORED].tolist()) == list(range(1, sum(sizes) + 1))
    before = dict(zip(ids[1:].tolist(), ids.tolist()))
    for symbol, target in zip(inputs[1:].ravel().tolist(), targets[1:].ravel().tolist()):
        assert target == IGNORED or symbol == before[target]
    assert (inputs[0] == BOUNDARY).all()


@pytest.mark.parametrize("breaks, found", [((1, 2), {1}), ((2,), {2}), ((8, 2), {2}), ((), {1, 2, 3})])
def test_a_stream_begins_after_the_first_near_break(breaks, found):
    generator = np.random.default_rng(4)
    ids = generator.integers(3, 8, 3000).astype(np.uint8)  # 1 ends a line, 2 a word
    ids[2::5], ids[10::11], ids[0] = 2, 1, BOUNDARY
    streams, before = StreamBatches(ids, False, 8, 32, 1, None, breaks), set()
    for epoch in range(4):
        inputs, targets = epoch_of(streams, epoch)
        for start in targets[:12].T.tolist():
            whole = np.lib.stride_tricks.sliding_window_view(np.append(ids, ids), 12)
            positions = np.flatnonzero((whole == start).all(axis=1))
            if len(positions) and ids[positions[0] - 1] != BOUNDARY:  # not the beginning of the text
                before.add(min(int(ids[positions[0] - 1]), 3))
    assert before == found


@settings(deadline=None)
@given(*LIMITS.values(), LINES, st.booleans(), *SIZES.values(), SEEDS, st.lists(st.integers(0, 200), max_size=10))
def test_any_step_can_be_read_at_any_time(
    in_memory, read_ahead, lines, line_mode, batch_size, sequence_length, seed, steps
):
    ids = text_of_lines(lines) if line_mode else text_of_lines(lines)[:-1]
    streams = streams_of(in_memory, read_ahead, ids, line_mode, batch_size, sequence_length, seed)
    for step in steps:
        fresh = streams_of(in_memory, 0, ids, line_mode, batch_size, sequence_length, seed)
        for ours, others in zip(streams.window(step), fresh.window(step)):
            np.testing.assert_array_equal(ours, others)


@pytest.mark.parametrize("line_mode", [True, False])
def test_windows_have_their_shape_and_own_their_data(line_mode):
    ids = text_of_lines([(1, 2, 3), (4,)])
    streams = StreamBatches(ids, line_mode, 5, 7, 1)
    for array in streams.window(0):
        assert (array.shape, array.dtype, array.flags.c_contiguous) == ((7, 5), np.int32, True)
        array[:] = 99
    assert all((array != 99).all() for array in streams.window(0))


@pytest.mark.parametrize("line_mode", [True, False])
def test_the_order_depends_on_seed_and_epoch(line_mode):
    ids = text_of_lines([(symbol,) for symbol in range(1, 100)])
    orders = [
        epoch_of(StreamBatches(ids, line_mode, 3, 8, seed), epoch)[1].tolist() for seed in (1, 2) for epoch in (0, 1, 2)
    ]
    same = [left == right for left, right in zip(orders[:3], orders[3:])]
    assert same == ([False] * 3 if line_mode else [True, False, False])  # a stream's epoch 0 is not rotated
    assert orders[0] != orders[1] != orders[2]


def test_a_stream_is_read_from_its_start_in_epoch_0():
    inputs, targets = epoch_of(StreamBatches(np.array([0, 1, 2, 3, 4, 5, 6, 7]), False, 2, 3, 1), 0)
    assert inputs.T.tolist() == [[0, 1, 2, 3, 0, 0], [0, 5, 6, 7, 0, 0]]
    assert targets.T.tolist() == [[1, 2, 3, 4, -1, -1], [5, 6, 7, -1, -1, -1]]


def test_one_short_line_is_read_by_one_stream_of_many():
    inputs, targets = epoch_of(StreamBatches(text_of_lines([(1, 2, 3)]), True, 8, 4, 1), 0)
    assert np.count_nonzero((targets != IGNORED).any(axis=0)) == 1
    assert lines_in(inputs, targets) == [(1, 2, 3)]


def test_a_very_long_line_is_cut_but_scored_once():
    size = 8 * LONG_LINE
    ids = np.array([0, *range(1, size + 1), 0, 7, 0], np.int32)
    streams = StreamBatches(ids, True, 16, 64, 1)
    _, targets = epoch_of(streams, 0)
    scored = np.sort(targets[targets != IGNORED])
    np.testing.assert_array_equal(scored, np.sort(ids[1:]))
    assert streams.steps_per_epoch * 64 < size


def test_the_order_of_lines_is_the_same_in_every_version():
    ids = text_of_lines([(symbol,) for symbol in range(1, 11)])
    targets = [epoch_of(StreamBatches(ids, True, 2, 10, 5), epoch)[1].T for epoch in (0, 1)]
    assert [epoch[epoch > 0].tolist() for epoch in targets] == [
        [3, 5, 1, 10, 6, 9, 7, 4, 2, 8],
        [5, 6, 2, 4, 10, 9, 7, 3, 8, 1],
    ]


def test_lines_of_a_large_text_move_far():
    ids = text_of_lines([(symbol,) for symbol in range(1, 201)])
    orders = [epoch_of(streams_of(40, 0, ids, True, 2, 8, 1), epoch)[1].T.ravel() for epoch in (0, 1)]
    orders = [order[order > 0].tolist() for order in orders]
    assert orders[0] != orders[1]
    for order in orders:  # mostly far from its neighbours in the text
        assert np.median(np.abs(np.diff(order))) > 2
        assert np.corrcoef(order, np.arange(200))[0, 1] < 0.5


@settings(deadline=None)
@given(LINES, st.integers(1, 50), st.sampled_from([1, 7, 1 << 18]))
def test_blocks_are_whole_lines(lines, size, piece):
    ids = text_of_lines(lines)
    blocks, longest = line_blocks(ids, size, piece)
    assert longest == 1 + max(map(len, lines))
    assert (blocks[0], blocks[-1]) == (0, len(ids) - 1)
    assert not ids[blocks].any()
    for start, end in pairwise(blocks):
        count = np.count_nonzero(ids[start:end] == 0)
        assert end > start
        assert count == 1 or end - start < 3 * size
        assert count == 1 or np.diff(np.flatnonzero(ids[start : end + 1] == 0)).max() <= size


def test_a_very_long_line_is_not_copied():
    ids = text_of_lines([(1, 2), (2,), (3,) * 1000, (4, 5), (5,)])
    blocks, _ = line_blocks(ids, 100)
    assert blocks.tolist() == [0, 5, 1006, 1011]
    order = shuffled(ids, blocks, [1], 3)
    segments = [order._segment(index) for index in range(3)]
    assert sorted((len(segment), np.shares_memory(segment, ids)) for segment in segments) == [
        (6, False),
        (6, False),
        (1002, True),
    ]


def test_reordering_moves_whole_lines_across_chunks():
    lengths = [GATHER // 2 + 3, 5, GATHER + 7, 1, GATHER // 3]
    lines = [np.full(length, symbol, np.uint8) for symbol, length in enumerate(lengths, 1)]
    end = np.zeros(1, np.uint8)
    ids = np.concatenate([end, *(part for line in lines for part in (line, end))])
    order = np.array([3, 2, 0, 4, 1])
    sequence = reordered(ids, np.flatnonzero(ids == 0), order)
    expected = np.concatenate([end, *(part for index in order for part in (lines[index], end))])
    np.testing.assert_array_equal(sequence, expected)


def test_cuts_move_to_the_next_line_within_reach():
    starts = np.array([0, 2, 9, 10])
    assert row_starts(10, 3).tolist() == [0, 4, 8, 10]
    assert row_starts(10, 3, starts, 9).tolist() == [0, 9, 9, 10]
    assert row_starts(10, 3, starts, 4).tolist() == [0, 4, 9, 10]


def test_blocks_of_lines_have_another_order_in_each_epoch():
    lines = [(1 + block,) * 3 for block in range(8) for _ in range(4)]
    streams = streams_of(16, 0, text_of_lines(lines), True, 1, 8, 5)
    orders = []
    for epoch in range(4):
        found = [line[0] for line in lines_in(*epoch_of(streams, epoch))]
        orders.append(tuple(dict.fromkeys(found)))
        assert sorted(found) == sorted(line[0] for line in lines)
    assert sum(symbol != following for symbol, following in pairwise(found)) < 16, "lines stay in their block"
    assert len(set(orders)) == 4


def test_a_stream_is_rotated_by_any_offset():
    ids = np.arange(201, dtype=np.uint8)
    streams = StreamBatches(ids, False, 1, 201, 7)
    first = [int(streams.window(epoch)[1][0, 0]) for epoch in range(100)]
    assert first[0] == 1
    quarters = Counter((symbol - 1) // 50 for symbol in first[1:] if symbol != IGNORED)
    assert sorted(quarters) == [0, 1, 2, 3]
    assert min(quarters.values()) > 10


def test_lines_of_equal_blocks_are_shuffled_apart():
    """Blocks with the same lines have them in different orders."""
    lines = [(1 + line, 1 + line) for line in range(5)] * 8
    streams = streams_of(15, 0, text_of_lines(lines), True, 1, 5, 5)
    found = lines_in(*epoch_of(streams, 0))
    assert len({tuple(found[first : first + 5]) for first in range(0, 40, 5)}) > 4
