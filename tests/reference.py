"""A slow recurrent network in NumPy that the kernels are compared with; it imports nothing of the package.

One row, one text and one step at a time, in the names and the layout of torch.nn.LSTM, GRU and RNN. A state is a
tuple of vectors (H): h, and c if the cell has one.
"""

from itertools import pairwise

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    h, c = state
    a_i, a_f, a_g, a_o = np.split(weight_ih @ x + bias_ih + weight_hh @ h + bias_hh, 4)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    c = f * c + i * g
    return o * np.tanh(c), c


def gru_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    (h,) = state
    x_r, x_z, x_n = np.split(weight_ih @ x + bias_ih, 3)
    h_r, h_z, h_n = np.split(weight_hh @ h + bias_hh, 3)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    n = np.tanh(x_n + r * h_n)
    return ((1 - z) * n + z * h,)


def rnn_step(activation):
    def step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
        (h,) = state
        return (activation(weight_ih @ x + bias_ih + weight_hh @ h + bias_hh),)

    return step


STEPS = {
    ("lstm", "tanh"): lstm_step,
    ("gru", "tanh"): gru_step,
    ("rnn", "tanh"): rnn_step(np.tanh),
    ("rnn", "relu"): rnn_step(lambda x: np.maximum(x, 0)),
    ("rnn", "sigmoid"): rnn_step(sigmoid),
}


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def cross_entropy(logits, target):
    """Return -log softmax(logits)[target] in nats; a target of -1 is not scored."""
    if target == -1:
        return 0.0
    above = logits - logits.max()
    return np.log(np.exp(above).sum()) - above[target]


def run_text(step, weights, steps, state):
    """Run one layer over the steps (an iterable of vectors) of one text; return its outputs and the last state."""
    outputs = []
    for x in steps:
        state = step(x, state, *weights)
        outputs.append(state[0])
    return outputs, state


def run_layer(step, weights, xs, starts, state, reverse):
    """Run one layer over a row xs (T, I) that holds pieces of texts; return the outputs (T, H) and the last state.

    `starts` (T) says where a text starts. The given state is that of a text that began before the row; or, in reverse,
    of a text that ends after the row.
    """
    cuts = [0, *(t for t in range(1, len(xs)) if starts[t]), len(xs)]
    texts = [list(xs[first:last]) for first, last in pairwise(cuts)]
    zero = tuple(np.zeros_like(part) for part in state)
    outputs = []
    if reverse:
        for number, text in enumerate(texts[::-1]):
            backward, state = run_text(step, weights, text[::-1], zero if number else state)
            outputs = backward[::-1] + outputs
    else:
        for number, text in enumerate(texts):
            forward, state = run_text(step, weights, text, zero if number or starts[0] else state)
            outputs = outputs + forward
    return np.array(outputs), state


def forward(step, weights, inputs, targets, state, mask, starts=None):
    """Run a network over symbols (T, B) or vectors (T, B, I); return losses (T, B), logits (T, B, V), the last state.

    Without `starts` (T, B) a text starts at each symbol 0. The names in `weights` say whether layers have a reverse
    direction. state (L D, S, B, H) has PyTorch's order: layer 0, its reverse, layer 1, ... mask (L, B, D H) multiplies
    what a layer passes up, not what it passes on in time.
    """
    directions = ["", "_reverse"] if "rnn.weight_ih_l0_reverse" in weights else [""]
    starts = inputs == 0 if starts is None else starts
    length, batch = inputs.shape[:2]
    state = np.array(state)
    losses = np.zeros((length, batch))
    logits = np.zeros((length, batch, len(weights["decoder.bias"])))
    for row in range(batch):
        x = np.eye(weights["rnn.weight_ih_l0"].shape[1])[inputs[:, row]] if inputs.ndim == 2 else inputs[:, row]
        for layer in range(len(state) // len(directions)):
            outputs = []
            for number, suffix in enumerate(directions):
                names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                layer_weights = [weights[f"rnn.{name}_l{layer}{suffix}"] for name in names]
                run = layer * len(directions) + number
                output, last = run_layer(
                    step, layer_weights, x, starts[:, row], tuple(state[run, :, row]), suffix == "_reverse"
                )
                state[run, :, row] = last
                outputs.append(output)
            x = np.concatenate(outputs, axis=1) * mask[layer, row]
        for t in range(length):
            logits[t, row] = weights["decoder.weight"] @ x[t] + weights["decoder.bias"]
            losses[t, row] = cross_entropy(logits[t, row], targets[t, row])
    return losses, logits, state
