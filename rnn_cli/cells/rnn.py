"""The plain recurrent network: Elman 1990, with a choice of activation."""

from rnn_cli.cells.activations import relu, sigmoid, step, tanh, zeros_like
from rnn_cli.cells.cell import Cell


def tanh_forward(preact, previous):
    """h_t = tanh(a)."""
    (a,) = preact
    h = tanh(a)
    return (h,), (h,)


def tanh_backward(gates, previous, grad):
    """Differentiate `tanh_forward`."""
    (h,) = gates
    (grad_h,) = grad
    grad_a = grad_h * (1 - h * h)  # h = tanh(a)
    return (grad_a,), (zeros_like(grad_h),)


def relu_forward(preact, previous):
    """h_t = max(a, 0)."""
    (a,) = preact
    h = relu(a)
    return (h,), (h,)


def relu_backward(gates, previous, grad):
    """Differentiate `relu_forward`."""
    (h,) = gates
    (grad_h,) = grad
    grad_a = grad_h * step(h)  # h = relu(a)
    return (grad_a,), (zeros_like(grad_h),)


def sigmoid_forward(preact, previous):
    """h_t = sigmoid(a)."""
    (a,) = preact
    h = sigmoid(a)
    return (h,), (h,)


def sigmoid_backward(gates, previous, grad):
    """Differentiate `sigmoid_forward`."""
    (h,) = gates
    (grad_h,) = grad
    grad_a = grad_h * h * (1 - h)  # h = sigmoid(a)
    return (grad_a,), (zeros_like(grad_h),)


def plain_rnn(activation, forward, backward):
    """Return the plain cell with this activation."""
    return Cell(
        name="rnn",
        activation=activation,
        torch_gates=("h",),
        input_gates=("h",),
        recurrent_gates=("h",),
        states=("h",),
        forward=forward,
        backward=backward,
    )


RNN_TANH = plain_rnn("tanh", tanh_forward, tanh_backward)
RNN_RELU = plain_rnn("relu", relu_forward, relu_backward)
RNN_SIGMOID = plain_rnn("sigmoid", sigmoid_forward, sigmoid_backward)
