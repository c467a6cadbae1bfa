"""Long short-term memory: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""

from rnn_cli.cells.activations import sigmoid, tanh, zeros_like
from rnn_cli.cells.cell import Cell


def forward(preact, previous):
    """Compute the gates, then the cell state c and the output h.

    i, f, o = sigmoid(a_i, a_f, a_o)    g = tanh(a_g)
    c_t = f c_(t-1) + i g               h_t = o tanh(c_t)
    """
    a_i, a_f, a_g, a_o = preact
    h_previous, c_previous = previous
    i = sigmoid(a_i)
    f = sigmoid(a_f)
    g = tanh(a_g)
    o = sigmoid(a_o)
    c = f * c_previous + i * g
    h = o * tanh(c)
    return (i, f, g, o), (h, c)


def backward(gates, previous, grad):
    """Differentiate `forward`, last line first. The whole gradient in h_(t-1) comes through W_hh, so here it is 0."""
    i, f, g, o = gates
    h_previous, c_previous = previous
    grad_h, grad_c = grad
    tanh_c = tanh(f * c_previous + i * g)
    grad_o = grad_h * tanh_c  # h = o * tanh(c)
    grad_c = grad_c + grad_h * o * (1 - tanh_c * tanh_c)
    grad_i = grad_c * g  # c = f * c_previous + i * g
    grad_f = grad_c * c_previous
    grad_g = grad_c * i
    grad_c_previous = grad_c * f
    grad_a_o = grad_o * o * (1 - o)  # o = sigmoid(a_o)
    grad_a_g = grad_g * (1 - g * g)  # g = tanh(a_g)
    grad_a_f = grad_f * f * (1 - f)  # f = sigmoid(a_f)
    grad_a_i = grad_i * i * (1 - i)  # i = sigmoid(a_i)
    return (grad_a_i, grad_a_f, grad_a_g, grad_a_o), (zeros_like(grad_h), grad_c_previous)


LSTM = Cell(
    name="lstm",
    activation="tanh",
    torch_gates=("i", "f", "g", "o"),
    input_gates=("i", "f", "g", "o"),
    recurrent_gates=("i", "f", "g", "o"),
    states=("h", "c"),
    forward=forward,
    backward=backward,
    initial_bias=(("f", 1.0),),
)
