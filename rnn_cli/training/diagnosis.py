"""What limited a result: more text, more time or a larger model, read from the reports of a run."""

from __future__ import annotations

from collections.abc import Sequence

from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import parameter_count
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.run_state import Report

MIN_EVALUATIONS = 4  # evaluations from which a trend is read
TAIL_SHARE = 0.25  # share of the evaluations that are the last part of a run
RISE = 0.01  # of the validation loss over its best, relative, from which it counts as having turned up
FALL = 0.01  # of the best validation loss within the last part, relative, from which more time would help
DROPOUT = 0.5  # to try if there was less
STRONG = 0.05  # of the training loss over the best validation loss, relative, from which dropout is too strong
GAP = 0.1  # between validation and training loss, relative to the former, from which they are far apart


def diagnosis(history: Sequence[Report], model: NetworkConfig, training: TrainingConfig, units: int) -> str | None:
    """Return a sentence, in two lines, on what limited the result and what to try; None if the reports do not show it.

    If a text of more `units` than the network has parameters is predicted worse in training than the held-out part is,
    dropout holds the network back. If the validation loss rose and the training loss did not, the model overfitted. If
    the validation loss was falling to the end, the run was too short. If it was flat and far above the training loss,
    the text was too short; if flat and close, the model has learned what it can hold. With augmentation the training
    loss is that of another text, and a text that is augmented is short.
    """
    reports = [report for report in history if report.validation_loss is not None]
    if len(reports) < MIN_EVALUATIONS:
        return None
    losses = [report.validation_loss or 0.0 for report in reports]
    late = max(1, round(TAIL_SHARE * len(losses)))
    best, last, trained = min(losses), losses[-1], reports[-1].loss
    restrain = f" or `dropout={DROPOUT}`" if training.dropout < DROPOUT else ""
    if last > best * (1 + RISE):
        if trained >= reports[losses.index(best)].loss:
            return None
        return f"more text would help most, as the model overfitted this one in the end;\ntry more files{restrain}"
    dropout = max(training.dropout, training.recurrent_dropout)
    if dropout and not training.augment and units >= parameter_count(model) and trained > best * (1 + STRONG):
        name = "dropout" if training.dropout else "recurrent_dropout"
        return (
            "less dropout would help most, as the text is large for this network;\n"
            f"try `{name}={round(getattr(training, name) / 2, 2):g}`"
        )
    if min(losses[:-late]) - best > FALL * best:
        lengths = {name: getattr(training, name) for name in ("minutes", "epochs", "steps")}
        if training.most_epochs is not None and reports[-1].epoch > training.most_epochs - 0.01:
            lengths = {"epochs": training.most_epochs}
        name, length = next((name, length) for name, length in lengths.items() if length is not None)
        return f"more time would help most, as the validation loss was falling to the end;\ntry `{name}={2 * length:g}`"
    if training.augment:
        return "more text would help most, as this one is short;\ntry more files"
    if last - trained > GAP * last:
        return f"more text would help most, as the held-out part is predicted much worse;\ntry more files{restrain}"
    return (
        "a larger model would help most, as this one has learned what it can hold;\n"
        f"try `hidden_size={2 * model.hidden_size}`"
    )
