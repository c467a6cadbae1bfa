"""States are those of reading the whole text, however it was edited and however few are kept."""

import numpy as np
import pytest
from random_models import make_checkpoint

from rnn_cli.cells import CELLS
from rnn_cli.kernels.threads import Team
from rnn_cli.language.stepper import Stepper
from rnn_cli.network.model import Model
from rnn_cli.writing.states import DENSE, OVERHEAD, SPACING, KeptStates, Reader


def make_stepper(cell):
    checkpoint = make_checkpoint(False, cell)
    return Stepper(Model.from_torch(checkpoint.config, checkpoint.parameters), 1, Team(1))


def whole(cell, ids):
    """Return the state after symbols and the losses of all of them, read by a new stepper in one call."""
    stepper = make_stepper(cell)
    losses = stepper.read(ids)
    return stepper.state(0), losses


def edited(generator, ids):
    """Return symbols after an edit: cut off, extended, or changed in the middle."""
    place = int(generator.integers(0, len(ids) + 1))
    new = generator.integers(1, 12, int(generator.integers(0, 90))).astype(np.int32)
    kind = generator.integers(0, 3)
    return ids[:place] if kind == 0 else np.concatenate([ids, new] if kind == 1 else [ids[:place], new, ids[place:]])


@pytest.mark.parametrize("count", [3, 40, 10_000])
def test_states_are_those_of_the_whole_text(cell, count):
    stepper, generator = make_stepper(cell), np.random.default_rng(count)
    size = stepper.window.state[:, :, 0].nbytes + OVERHEAD
    reader, ids = Reader(stepper, KeptStates(count * size)), np.zeros(0, np.int32)
    for _ in range(12):
        ids = edited(generator, ids)
        kept = reader.read(ids)
        state, losses = whole(cell, ids)
        assert np.array_equal(kept.read.network, state.network)
        assert kept.read.symbol == state.symbol
        known = reader.losses[: len(ids)]
        assert np.array_equal(known[~np.isnan(known)], losses[~np.isnan(known)])
        assert reader.states.bytes <= max(count, 2) * size


def test_what_was_read_is_not_read_again(monkeypatch):
    stepper = make_stepper(CELLS[0])
    reader, ids = Reader(stepper), np.arange(2000, dtype=np.int32) % 11 + 1
    read = []
    run = stepper.read
    monkeypatch.setattr(stepper, "read", lambda symbols: read.append(len(symbols)) or run(symbols))

    def symbols_read(wanted):
        read.clear()
        reader.read(wanted)
        return sum(read)

    assert symbols_read(ids) == 2000
    assert symbols_read(ids) == symbols_read(ids[: 2000 - DENSE // 2]) == symbols_read(ids) == 0  # back and forth
    assert symbols_read(np.append(ids, np.int32(3))) == 1  # a keystroke
    assert symbols_read(ids) == 0  # undone
    assert symbols_read(ids[:999]) < SPACING  # the cursor goes far back
    branch = np.append(ids[:1999], np.int32(ids[1999] % 11 + 1))
    assert (symbols_read(branch), symbols_read(ids), symbols_read(branch)) == (1, 0, 0)


def test_reading_is_given_up_when_cancelled():
    reader, ids = Reader(make_stepper(CELLS[0])), np.arange(2000, dtype=np.int32) % 11 + 1
    looks = iter([False] * 20 + [True])
    assert reader.read(ids, lambda: next(looks)) is None
    assert np.array_equal(reader.read(ids).read.network, whole(CELLS[0], ids)[0].network)


def test_states_used_last_are_kept():
    states, kept = KeptStates(8 * (400 + OVERHEAD)), Reader(make_stepper(CELLS[0]))._start
    kept = kept._replace(read=kept.read._replace(network=np.zeros((2, 1, 50)).astype(np.float32)))
    for number in range(6):
        states.put(bytes([number]), kept, number + 1)
    assert states.get(b"\0")
    states.put(b"new", kept, 7)
    assert b"\0" in states
    assert b"\1" not in states
    states.put(b"spaced", kept, SPACING)
    for number in range(100, 200):
        states.put(bytes([number]), kept, SPACING + 1)
    assert b"spaced" in states
