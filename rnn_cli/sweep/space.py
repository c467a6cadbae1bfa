"""What a sweep varies, and within which limits."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from rnn_cli.errors import UsageError

if TYPE_CHECKING:
    from optuna.trial import Trial

Value = str | int | float


class Names(NamedTuple):
    """One of some names."""

    names: tuple[str, ...]

    def suggest(self, trial: Trial, name: str) -> None:
        """Let the study choose."""
        trial.suggest_categorical(name, self.names)

    def settled(self, found: Any) -> Value | None:
        """Return the value that a study chose, None if it is not a possible one."""
        return found if isinstance(found, str) and found in self.names else None


class Whole(NamedTuple):
    """A whole number that is a multiple of `step`; with `log`, half and double are as far apart everywhere."""

    low: int
    high: int
    step: int = 1
    log: bool = False

    def suggest(self, trial: Trial, name: str) -> None:
        """Let the study choose."""
        trial.suggest_int(name, self.low, self.high, log=self.log)

    def settled(self, found: Any) -> Value | None:
        """Return the multiple that is nearest to what a study chose, None if that is not a possible value."""
        if not isinstance(found, int) or not self.low <= found <= self.high:
            return None
        return self.step * round(found / self.step)


class Number(NamedTuple):
    """A number with `digits` significant digits; with `log`, half and double are as far apart everywhere."""

    low: float
    high: float
    digits: int
    log: bool = False

    def suggest(self, trial: Trial, name: str) -> None:
        """Let the study choose."""
        trial.suggest_float(name, self.low, self.high, log=self.log)

    def settled(self, found: Any) -> Value | None:
        """Return what a study chose in few digits, None if that is not a possible value."""
        if not isinstance(found, int | float) or not self.low <= found <= self.high:
            return None
        return float(f"{found:.{self.digits}g}")


# By the names of NetworkConfig and TrainingConfig. Larger networks rarely pay on a processor.
SPACE: dict[str, Names | Whole | Number] = {
    "cell": Names(("lstm", "gru")),
    "hidden_size": Whole(32, 512, step=16, log=True),
    "num_layers": Whole(1, 3),
    "learning_rate": Number(5e-4, 2e-2, digits=3, log=True),
    "dropout": Number(0.0, 0.6, digits=2),
}
FIXED_BY_A_MODEL = {"cell", "hidden_size", "num_layers"}  # that the trainings start from


class About(NamedTuple):
    """What a study is about: the arguments of each training, and the names of what is varied beside them."""

    arguments: list[str]
    names: list[str]
    random_seed: int


def varied(given: Collection[str]) -> list[str]:
    """Return the names of what is varied if some values are given. Raises UsageError if nothing is left."""
    fixed = {*given, *(FIXED_BY_A_MODEL if "base" in given else ())}
    names = [name for name in SPACE if name not in fixed]
    if not names:
        raise UsageError(f"nothing is left to vary; leave one of {', '.join(f'`{name}`' for name in SPACE)} out")
    return names


def suggest(trial: Trial, names: Collection[str]) -> None:
    """Let the study choose values for a trial."""
    for name in names:
        SPACE[name].suggest(trial, name)


def settled(params: dict[str, Any], names: Collection[str]) -> dict[str, Value]:
    """Return the values of a trial as its training takes them. Raises UsageError if they are not possible ones.

    A study is a file, which may hold anything.
    """
    values = {name: SPACE[name].settled(params.get(name)) for name in names}
    if params.keys() != set(names) or None in values.values():
        raise UsageError("the study holds values that no sweep has; name another file with `study`")
    return {name: value for name, value in values.items() if value is not None}
