"""A slow recurrent network in NumPy that the kernels are compared with; it imports nothing of the package.

One row and one step at a time, in the names and the layout of torch.nn.LSTM, GRU and RNN. A state is a tuple
of vectors (H): h, and c where the cell has one.
"""

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


def forward(step, weights, inputs, targets, state, mask):
    """Run a network over inputs (T, B); return losses (T, B), logits (T, B, V) and the last state.

    The first step starts from state (L, S, B, H); the input 0 starts from the zero state in every layer.
    mask (L, B, H) multiplies what a layer passes up, not what it passes on in time.
    """
    vocab_size = len(weights["decoder.bias"])
    length, batch = inputs.shape
    state = np.array(state)
    losses = np.zeros((length, batch))
    logits = np.zeros((length, batch, vocab_size))
    for row in range(batch):
        for t in range(length):
            if inputs[t, row] == 0:
                state[:, :, row] = 0
            x = np.eye(vocab_size)[inputs[t, row]]
            for layer in range(len(state)):
                names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                layer_weights = [weights[f"rnn.{name}_l{layer}"] for name in names]
                state[layer, :, row] = step(x, tuple(state[layer, :, row]), *layer_weights)
                x = state[layer, 0, row] * mask[layer, row]
            logits[t, row] = weights["decoder.weight"] @ x + weights["decoder.bias"]
            losses[t, row] = cross_entropy(logits[t, row], targets[t, row])
    return losses, logits, state
