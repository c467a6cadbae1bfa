"""The progress of the commands on stderr: live on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from rnn_cli.display.report_line import live_line, plain_line, validation_line
from rnn_cli.display.screen import Screen, fitted
from rnn_cli.display.stdout import visible

MOST_PLOTTED = 2000  # reports


class TrainingDisplay(Screen):
    """Shows the reports of a training, its choices, and samples.

    `wording` rewrites each note, as for the options. `unit` is what a loss of the reports is per. With
    `plotted` the curve of the losses is shown: live on a terminal, at the end elsewhere.
    """

    def __init__(
        self,
        quiet: bool,
        wording: Callable[[str], str] = lambda line: line,
        *,
        plotted: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(quiet, clock=clock)
        self._wording = wording
        self.unit = "character"
        self._validation: float | None = None
        self._score: float | None = None
        self._unprinted: str | None = None
        self._plotted, self._reports = plotted, list[dict[str, Any]]()

    def note(self, line: str) -> None:
        """Print a line that stays, above the live one."""
        self.print(fitted(visible(self._wording(line)), sys.stderr))

    def sample(self, text: str) -> None:
        """Print a sample of the model, set off by a bar."""
        for line in text.removesuffix("\n").split("\n"):
            self.print(f"  | {visible(line)}")

    def report(
        self, values: Mapping[str, Any], fraction: float | None = None, remaining_seconds: float | None = None
    ) -> None:
        """Show the newest values if it is time; on a terminal, each validation gets a line that stays.

        `values` are those of a Report: its losses are in nats per unit, None if there was no validation. `fraction` is
        the part of the run that is done, from 0 to 1.
        """
        if self._plotted:
            self._remember(values)
        measured = values["validation_loss"]
        if measured is not None:
            self._validation, self._score = measured, values.get("validation_score")
        if self.animated:
            line = live_line(values, fraction, remaining_seconds, self._validation, self.width, self._score)
            self._unprinted = line if measured is None else None
            if measured is not None:
                self.print(validation_line(values, self.unit))
            if self.is_due():
                self.redraw("\n".join([*self._curve(), line]))
        else:
            self._unprinted = plain_line(values, fraction, remaining_seconds, self._validation, self._score, self.unit)
            if self.is_due():
                self._print_values()

    def close(self) -> None:
        """Remove the live line, and print the last values if they are not printed yet."""
        super().close()
        self._print_values()
        for line in self._curve():
            self.print(line)
        self._reports = []

    def _remember(self, values: Mapping[str, Any]) -> None:
        """Keep a report for the curve; of many, every second one without a validation goes."""
        self._reports.append(dict(values))
        if len(self._reports) > MOST_PLOTTED:
            self._reports = [r for i, r in enumerate(self._reports) if i % 2 == 0 or r["validation_loss"] is not None]

    def _curve(self) -> list[str]:
        """Return the lines of the curve of the losses; none before there are two reports, or if none is wanted."""
        if len(self._reports) < 2 or self.quiet:
            return []
        from rnn_cli.display.plots import plot
        from rnn_cli.inspect.runs import Run, panels_of

        return plot(panels_of([Run("", self._reports, self.unit)])[:1], min(self.width, 100)).splitlines()

    def _print_values(self) -> None:
        if self._unprinted is not None:
            self.print(self._unprinted)
            self._unprinted = None


class ScoringDisplay(Screen):
    """Shows how much of a text is scored, or what else is `done`. `total` is the number of its `symbols`."""

    def __init__(
        self,
        quiet: bool,
        total: int,
        symbols: str = "characters",
        done: str = "scored",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(quiet, clock=clock)
        self._total, self._what = total, f"{symbols} {done}"
        self._done = 0

    def advance(self, count: int) -> None:
        """Add `count` symbols to those that are done."""
        self._done += count
        if self.is_due():
            line = f"{min(self._done / max(self._total, 1), 1):.0%} of {self._total:,} {self._what}"
            if self.animated:
                self.redraw(line)
            else:
                self.print(line)
