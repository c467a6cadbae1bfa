"""How the gradient of a prediction flows back through time, by `step_backward` of network/plain.py.

The state after step s is all that later steps know of the text up to s: h of all layers, and c if the cell has one.
The gradient of the loss at step t in it says how much the prediction at t can learn from what was read t - s steps ago.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.inspect.activations import Activations, activations
from rnn_cli.inspect.numbers import evenly
from rnn_cli.inspect.plain_model import PlainModel, Symbols, check_finite
from rnn_cli.network.plain import NetworkWeights, Weights, arrays, columns_of, step_backward

MOST_PREDICTIONS, MOST_LAGS = 64, 100
CELLS = (("rnn", "tanh"), ("rnn", "relu"), ("rnn", "sigmoid"), ("gru", "tanh"), ("lstm", "tanh"))
SQUARINGS = 11
LEFT, GROWN = 0.01, 10.0  # of the gradient at lag 1: what counts as vanished, and as exploding


@dataclass(frozen=True)
class GradientFlow:
    """Norms of the gradient of the loss (nats) at some steps; NaN before the text starts.

    steps (N)          the predictions
    states (N, K - 1)  in the state after step steps[n] - k, for k from 1 on
    inputs (N, K)      in what step steps[n] - k reads, for k from 0 on: its one-hot symbol, or a tied embedding
    """

    steps: np.ndarray
    states: np.ndarray
    inputs: np.ndarray


def gradient_flow(model: PlainModel, acts: Activations, steps: np.ndarray, lags: int = MOST_LAGS + 1) -> GradientFlow:
    """Backpropagate the loss of each of `steps` by itself, through up to `lags` steps.

    All run back side by side, as the rows of one batch, one lag at a time: at lag k, row n is at step steps[n] - k.
    """
    config, weights = model.config, model.weights
    first = weights.layers[0][0]
    columns = columns_of(first)[0]
    rows, starts = np.arange(len(steps)), acts.symbols.starts
    norms, scale = np.full((2, len(steps), lags), np.nan), np.ones(len(steps))
    grad_output = grad_logits(acts, steps) @ weights.decoder_weight.T
    grad = np.zeros((config.num_layers, len(model.cell.states), len(steps), config.hidden_size), model.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for lag in range(lags):
            at = steps[rows] - lag
            grad_preact, grad = steps_backward(model, acts, at, grad_output, grad)
            norms[1, rows, lag] = scale * np.linalg.norm(grad_preact[0][:, columns] @ first.weight_ih.T, axis=1)
            kept = ~starts[at]
            rows, grad, scale = rows[kept], grad[:, :, kept], scale[kept]
            # A gradient is linear in the one after it: of size 1, it neither overflows nor underflows.
            size = np.sqrt(np.square(grad, dtype=np.float64).sum(axis=(0, 1, 3)))
            scale = scale * size
            norms[0, rows, lag] = scale
            grad = grad / np.where(size > 0, size, 1).astype(grad.dtype)[:, None]
            grad_output = np.zeros((len(rows), config.hidden_size), model.dtype)
            if not len(rows):
                break
    check_finite(grad)
    return GradientFlow(steps, norms[0, :, :-1], norms[1])


def steps_backward(
    model: PlainModel, acts: Activations, steps: np.ndarray, grad_output: np.ndarray, grad: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Backpropagate through some steps (N), which are rows of one, last layer first.

    Takes the gradients of the last layer's outputs (N, H) and of the states after the steps (L, S, N, H). Returns those
    of the preactivations, for each layer (N, blocks H), and of the states before the steps.
    """
    grad_preact: list[np.ndarray] = []
    grad_before = np.empty_like(grad)
    for layer in reversed(range(len(grad))):
        (weights,) = model.weights.layers[layer]
        own = np.concatenate([grad[layer, :1] + grad_output, grad[layer, 1:]])
        preact, grad_before[layer] = step_backward(model.cell, weights, acts.time_steps(layer, steps), own)
        grad_preact.insert(0, preact)
        if layer:
            grad_output = preact[:, columns_of(weights)[0]] @ weights.weight_ih.T
    return grad_preact, grad_before


def grad_logits(acts: Activations, steps: np.ndarray) -> np.ndarray:
    """Return the gradient of the loss of each of some steps in its logits (N, V)."""
    grad = np.exp(acts.log_probs[steps])
    grad[np.arange(len(steps)), acts.symbols.targets[steps]] -= 1
    return grad


def spread(symbols: Symbols, count: int = MOST_PREDICTIONS) -> np.ndarray:
    """Return up to `count` steps with a target, at equal distances over a text; the last one is among them."""
    return symbols.scored[evenly(len(symbols.scored), count)]


def mean_over_lag(norms: np.ndarray) -> np.ndarray:
    """Return the mean (K') of norms (N, K) at each lag that any of the predictions reaches."""
    counts = (~np.isnan(norms)).sum(axis=0)
    mean: np.ndarray = np.nansum(norms, axis=0)[counts > 0] / counts[counts > 0]
    return mean


def weight_gradient(model: PlainModel, acts: Activations) -> NetworkWeights:
    """Return the gradient of the mean loss (nats) of a text in the weights.

    It is that of `network_backward` in network/plain.py, but the sum over the steps is one product for each weight.
    """
    symbols, layers, weights = acts.symbols, model.config.num_layers, model.weights
    of_logits = np.zeros_like(acts.log_probs)
    of_logits[symbols.scored] = grad_logits(acts, symbols.scored) / len(symbols.scored)
    grad_output = of_logits @ weights.decoder_weight.T
    grad = np.zeros((layers, len(model.cell.states), 1, model.config.hidden_size), model.dtype)
    steps = np.arange(len(symbols.inputs))
    of_preact = [np.zeros((len(steps), len(own.bias)), model.dtype) for (own,) in weights.layers]
    for t in reversed(steps):
        rows, grad = steps_backward(model, acts, steps[t : t + 1], grad_output[t : t + 1], grad)
        for layer, row in enumerate(rows):
            of_preact[layer][t] = row[0]
    of_decoder = acts.states["h"][-1].T @ of_logits
    own_layers = []
    for layer, ((own,), preact) in enumerate(zip(weights.layers, of_preact)):
        inputs, recurrent = columns_of(own)
        of_input = np.zeros_like(own.weight_ih)
        if layer:
            of_input[:] = acts.states["h"][layer - 1].T @ preact[:, inputs]
        elif model.config.embedding == "tied":  # what is read are rows of the decoder's weight
            of_input[:] = weights.decoder_weight[:, symbols.inputs] @ preact[:, inputs]
            np.add.at(of_decoder.T, symbols.inputs, preact[:, inputs] @ own.weight_ih.T)
        else:
            np.add.at(of_input, symbols.inputs, preact[:, inputs])
        of_recurrent = acts.before(layer, steps)[0].T @ preact[:, recurrent]
        own_layers.append([Weights(of_input, of_recurrent, preact.sum(axis=0))])
    return NetworkWeights(own_layers, of_decoder, of_logits.sum(axis=0))


def norm_of(grad: NetworkWeights) -> float:
    """Return the norm of a gradient over all weights."""
    return math.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in arrays(grad)))


def train_briefly(model: PlainModel, symbols: Symbols, steps: int, rate: float = 0.5, clip: float = 1.0) -> None:
    """Train a network in place on one text: `steps` steps of SGD with the gradient clipped to the norm `clip`."""
    for _ in range(steps):
        grad = weight_gradient(model, activations(model, symbols))
        scale = rate * min(1.0, clip / max(norm_of(grad), 1e-30))
        for own, change in zip(arrays(model.weights), arrays(grad)):
            own -= scale * change


def compared(
    model: PlainModel, symbols: Symbols, random_seed: int, gain: float = 1.0, train_steps: int = 0
) -> dict[str, GradientFlow]:
    """Return the gradient flow of an untrained, or briefly trained, network of each cell, of the sizes of a model.

    Raises UsageError if the activations of one overflow.
    """
    flows = {}
    for cell, activation in CELLS:
        name = cell if cell != "rnn" else f"rnn {activation}"
        dtype = np.float64 if activation == "relu" else np.float32  # the others are bounded
        other = PlainModel.fresh(replace(model.config, cell=cell, activation=activation), random_seed, gain, dtype)
        try:
            train_briefly(other, symbols, train_steps)
            flows[name] = gradient_flow(other, activations(other, symbols), spread(symbols))
        except CheckpointError as problem:
            raise UsageError(
                f"the activations of {name} overflow; give a shorter text, a smaller `gain` or fewer `train_steps`"
            ) from problem
    return flows


def spectral_radii(model: PlainModel) -> list[dict[str, float]]:
    """Return for each layer the spectral radius of the recurrent matrix of each gate."""
    gates = model.cell.recurrent_gates
    return [
        {gate: spectral_radius(block) for gate, block in zip(gates, np.split(layer.weight_hh, len(gates), axis=1))}
        for (layer,) in model.weights.layers
    ]


def spectral_radius(matrix: np.ndarray) -> float:
    """Return the largest absolute eigenvalue: by how much |A^n| grows with n, for a large n that doubles by squaring.

    radius = (|A^2n| / |A^n|)^(1/n)
    """
    power, log, log_before = matrix, 0.0, 0.0
    for squaring in range(SQUARINGS + 1):
        power = power @ power if squaring else power
        norm = float(np.linalg.norm(power))
        if norm == 0:
            return 0.0
        log, log_before = 2 * log + math.log(norm), log  # of |A^2n| and |A^n|, as `power` is A^2n / |A^n|^2
        power = power / norm
    return math.exp((log - log_before) / 2 ** (SQUARINGS - 1))


def meaning(over_lag: np.ndarray) -> str:
    """Return one sentence that says what the mean norm over the lag (from 1 on) means."""
    if len(over_lag) < 2:
        return "the text is too short to say how far the gradient reaches back"
    ratios = over_lag / max(float(over_lag[0]), 1e-300)
    if ratios[-1] > GROWN or not np.isfinite(ratios).all():
        return f"the gradient explodes, {len(ratios)} steps back {ratios[-1]:.3g} times that 1 step back"
    gone = np.flatnonzero(ratios < LEFT)
    if len(gone):
        return f"the gradient vanishes, {gone[0] + 1} steps back below 1% of that 1 step back"
    return f"the gradient lasts, {len(ratios)} steps back {ratios[-1]:.0%} of that 1 step back"
