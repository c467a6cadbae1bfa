"""The mutations of `mutation.py`: small changes of the program, each with the tests that should notice it."""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """A change of a file: `old`, which occurs once, becomes `new`. `tests` are in tests/, apart by blanks.

    `reason` says why the program does the same with it, if it does.
    """

    file: str
    old: str
    new: str
    tests: str
    reason: str = ""


MUTATIONS = ()
