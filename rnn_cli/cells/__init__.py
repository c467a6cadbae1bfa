"""The registry of cells. To add a cell, add a file to this folder and a line here."""

from rnn_cli.cells.cell import Cell
from rnn_cli.cells.gru import GRU
from rnn_cli.cells.lstm import LSTM
from rnn_cli.cells.rnn import RNN_RELU, RNN_SIGMOID, RNN_TANH
from rnn_cli.errors import UsageError

CELLS = (LSTM, GRU, RNN_TANH, RNN_RELU, RNN_SIGMOID)


def find_cell(name: str, activation: str = "tanh") -> Cell:
    """Return the cell with this name and activation. Raises UsageError, which lists the choices, if there is none."""
    for cell in CELLS:
        if (cell.name, cell.activation) == (name, activation):
            return cell
    names = sorted({cell.name for cell in CELLS})
    if name not in names:
        raise UsageError(f"there is no cell '{name}'; choose one of {', '.join(names)}")
    activations = sorted(cell.activation for cell in CELLS if cell.name == name)
    raise UsageError(f"the cell '{name}' has no activation '{activation}'; choose one of {', '.join(activations)}")


__all__ = ["CELLS", "Cell", "find_cell"]
