"""Gated recurrent unit: Cho et al. 2014, with the reset gate after the product, as in torch.nn.GRU."""

from rnn_cli.cells.activations import sigmoid, tanh
from rnn_cli.cells.cell import Cell


def forward(preact, previous):
    """Mix the previous output with a candidate n; the reset gate r scales what n takes from the previous output.

    r, z = sigmoid(a_r, a_z)    n = tanh(a_n + r u)    h_t = (1 - z) n + z h_(t-1)

    where a_n = x_t W_in + b_in and u = h_(t-1) W_hn + b_hn are the two parts of the candidate's preactivation.
    """
    a_n, a_r, a_z, u = preact
    (h_previous,) = previous
    r = sigmoid(a_r)
    z = sigmoid(a_z)
    n = tanh(a_n + r * u)
    h = (1 - z) * n + z * h_previous
    return (n, r, z, u), (h,)


def backward(gates, previous, grad):
    """Differentiate `forward`, last line first."""
    n, r, z, u = gates
    (h_previous,) = previous
    (grad_h,) = grad
    grad_n = grad_h * (1 - z)  # h = (1 - z) * n + z * h_previous
    grad_z = grad_h * (h_previous - n)
    grad_h_previous = grad_h * z
    grad_a_n = grad_n * (1 - n * n)  # n = tanh(a_n + r * u)
    grad_r = grad_a_n * u
    grad_u = grad_a_n * r
    grad_a_z = grad_z * z * (1 - z)  # z = sigmoid(a_z)
    grad_a_r = grad_r * r * (1 - r)  # r = sigmoid(a_r)
    return (grad_a_n, grad_a_r, grad_a_z, grad_u), (grad_h_previous,)


GRU = Cell(
    name="gru",
    activation="tanh",
    torch_gates=("r", "z", "n"),
    input_gates=("n", "r", "z"),
    recurrent_gates=("r", "z", "n"),
    states=("h",),
    forward=forward,
    backward=backward,
)
