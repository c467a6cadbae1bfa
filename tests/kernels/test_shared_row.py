"""A shared row: the faster of one thread and all is chosen, and a change is noticed. That the bits are equal is tested
where rows are sampled and scored.
"""

from rnn_cli.kernels.shared_row import RowTeam
from rnn_cli.kernels.threads import Team


class Machine:
    """A clock that a kernel advances: `costs` are the seconds of a symbol on one thread, and on two."""

    def __init__(self, alone, together):
        self.costs, self.now, self.calls = {1: alone, 2: together}, 0.0, []
        self.team = RowTeam(Team(2), lambda: self.now)

    def compute(self, part, parts, symbols):
        if part == 0:
            self.calls.append(parts)
            self.now += self.costs[parts] * symbols

    def run(self, seconds, symbols=(100,)):
        """Make calls for so long; return the share of them that were on all threads."""
        end, before = self.now + seconds, len(self.calls)
        while self.now < end:
            for count in symbols:
                self.team.run(count, self.compute, count)
        made = self.calls[before:]
        return made.count(2) / len(made)


def test_the_faster_way_is_chosen_and_the_other_tried_rarely():
    assert 0.97 < Machine(2e-5, 1e-5).run(60) < 1
    assert 0 < Machine(1e-5, 4e-5).run(60) < 0.03


def test_a_machine_that_becomes_busy_is_noticed_at_once():
    machine = Machine(2e-5, 1e-5)
    machine.run(60)
    machine.costs[2] = 9e-5
    assert machine.run(1) < 0.15
    machine.costs[2] = 1e-5
    machine.run(4)
    assert machine.run(10) > 0.9


def test_calls_of_any_length_are_compared_by_symbol():
    assert Machine(2e-5, 1e-5).run(60, (1, 1000, 7, 300)) > 0.97
