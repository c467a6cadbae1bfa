"""How the gradient of a prediction flows back through time, by backpropagation through network/plain.py.

The state after step s is all that later steps know of the text up to s: h of all layers, and c if the cell has one.
The gradient of the loss at step t in it says how much the prediction at t can learn from what was read t - s steps ago.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rnn_cli.inspect.activations import trace_of
from rnn_cli.inspect.plain_model import PlainModel, Symbols, check_finite, check_length
from rnn_cli.network.plain import NetworkWeights, columns_of, cross_entropy, step_backward, training_step

MOST_PREDICTIONS, MOST_LAGS = 64, 100
CELLS = (("rnn", "tanh"), ("rnn", "relu"), ("rnn", "sigmoid"), ("gru", "tanh"), ("lstm", "tanh"))
SQUARINGS = 24
LEFT, GROWN = 0.01, 10.0  # of the gradient at lag 1: what counts as vanished, and as exploding


@dataclass(frozen=True)
class GradientFlow:
    """The gradients of the losses at some steps in the states before them.

    steps (N)           the predictions
    norms (N, K)        of the gradient of the loss at steps[n] in the state after step steps[n] - k, for k from 1 on;
                        NaN before the text starts
    """

    steps: np.ndarray
    norms: np.ndarray

    @property
    def over_lag(self) -> np.ndarray:
        """The mean norm (K) at each lag, from 1 on."""
        counts = (~np.isnan(self.norms)).sum(axis=0)
        mean: np.ndarray = np.nansum(self.norms, axis=0)[counts > 0] / counts[counts > 0]
        return mean


def gradient_flow(model: PlainModel, symbols: Symbols) -> GradientFlow:
    """Return how the gradient flows back from up to MOST_PREDICTIONS steps of a text, over up to MOST_LAGS steps."""
    scored = np.flatnonzero(symbols.targets >= 0)
    steps = scored[np.unique(np.linspace(0, len(scored) - 1, MOST_PREDICTIONS).round().astype(int))]
    norms, _ = backward(model, symbols, steps)
    return GradientFlow(steps, norms)


def connectivity(model: PlainModel, symbols: Symbols, step: int) -> np.ndarray:
    """Return the norm of the gradient of the loss at a step in the input x_s of each step s up to it: (step + 1).

    x_s is the one-hot vector of a symbol, or its embedding if that is tied to the decoder.
    """
    _, grad_first = backward(model, symbols, np.array([step]), keep_inputs=True)
    weights = model.weights.layers[0][0].weight_ih
    norms: np.ndarray = np.linalg.norm(grad_first @ weights.T, axis=1)
    return norms[: step + 1]


def backward(
    model: PlainModel, symbols: Symbols, steps: np.ndarray, keep_inputs: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Backpropagate the loss of each of `steps` by itself: each is a row of one batch that shares the forward pass.

    Returns the norms of `GradientFlow`, and the gradient of the first of them in the preactivations that the inputs of
    layer 0 add to, at each step (T, gates H), if it is wanted.
    """
    config = model.config
    check_length(symbols, config.num_layers * config.hidden_size * 16 + 2 * config.output_size)
    logits, trace = trace_of(model, symbols)
    _, grad_logits = cross_entropy(logits, symbols.targets)
    layers = [directions[0] for directions in trace.steps]
    rows, last = len(steps), int(steps[-1])
    grad = np.zeros((config.num_layers, len(model.cell.states), rows, config.hidden_size))
    lags = last if keep_inputs else min(MOST_LAGS, last)
    norms = np.full((rows, lags), np.nan)
    inputs = columns_of(model.weights.layers[0][0])[0]
    grad_first = np.zeros((last + 1 if keep_inputs else 0, inputs.stop))
    with np.errstate(over="ignore", invalid="ignore"):
        for s in range(last, -1, -1):
            lag = steps - s
            active = np.flatnonzero((lag >= 0) & (lag <= lags))
            past = active[lag[active] > 0]
            norms[past, lag[past] - 1] = np.sqrt((grad[:, :, past] ** 2).sum(axis=(0, 1, 3)))
            now = active[lag[active] == 0]
            grad_output = np.zeros((len(active), config.hidden_size))
            grad_output[lag[active] == 0] = grad_logits[steps[now]] @ model.weights.decoder_weight.T
            for layer in reversed(range(config.num_layers)):
                weights, own = model.weights.layers[layer][0], grad[layer][:, active]
                own[0] += grad_output
                grad_preact, grad[layer][:, active] = step_backward(model.cell, weights, layers[layer][s], own)
                if layer:
                    grad_output = grad_preact[:, columns_of(weights)[0]] @ weights.weight_ih.T
                elif keep_inputs and len(active):
                    grad_first[s] = grad_preact[0, inputs]
    check_finite(grad)
    return norms, grad_first


def gradient_norm(model: PlainModel, symbols: Symbols) -> tuple[float, NetworkWeights, NetworkWeights]:
    """Return the mean loss of a text (nats), the weights that it uses, and the gradient of that mean in them."""
    weights, inputs = model.for_symbols(symbols.inputs)
    mask = np.ones((model.config.num_layers, 1, model.config.hidden_size))
    batch = inputs[:, None], symbols.starts, symbols.targets[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        loss, grad, _ = training_step(model.cell, weights, batch, model.zero_state, mask)
    return loss, weights, grad


def norm_of(grad: NetworkWeights) -> float:
    """Return the norm of a gradient over all weights."""
    blocks = [array for (layer,) in grad.layers for array in layer]
    return math.sqrt(sum(float((array**2).sum()) for array in [*blocks, grad.decoder_weight, grad.decoder_bias]))


def train_briefly(model: PlainModel, symbols: Symbols, steps: int, rate: float = 0.5, clip: float = 1.0) -> None:
    """Train a network in place on one text: `steps` steps of SGD with the gradient clipped to the norm `clip`."""
    for _ in range(steps):
        _, weights, grad = gradient_norm(model, symbols)
        scale = rate * min(1.0, clip / max(norm_of(grad), 1e-30))
        used = np.unique(symbols.inputs) if model.config.embedding == "none" else slice(None)
        for number, ((own,), (change,)) in enumerate(zip(model.weights.layers, grad.layers)):
            own.weight_ih[slice(None) if number else used] -= scale * change.weight_ih
            own.weight_hh[:] -= scale * change.weight_hh
            own.bias[:] -= scale * change.bias
        model.weights.decoder_weight[:] -= scale * grad.decoder_weight
        model.weights.decoder_bias[:] -= scale * grad.decoder_bias


def compared(
    model: PlainModel, symbols: Symbols, random_seed: int, gain: float = 1.0, train_steps: int = 0
) -> dict[str, GradientFlow]:
    """Return the gradient flow of an untrained, or briefly trained, network of each cell, of the sizes of a model."""
    flows = {}
    for cell, activation in CELLS:
        other = PlainModel.fresh(model.with_sizes(cell, activation), random_seed, gain)
        train_briefly(other, symbols, train_steps)
        flows[cell if cell != "rnn" else f"rnn {activation}"] = gradient_flow(other, symbols)
    return flows


def spectral_radii(model: PlainModel) -> list[dict[str, float]]:
    """Return for each layer the spectral radius of the recurrent matrix of each gate."""
    return [
        {
            gate: spectral_radius(block)
            for gate, block in zip(
                model.cell.recurrent_gates, np.split(layer.weight_hh, len(model.cell.recurrent_gates), axis=1)
            )
        }
        for (layer,) in model.weights.layers
    ]


def spectral_radius(matrix: np.ndarray) -> float:
    """Return the largest absolute eigenvalue, by Gelfand: the limit of |A^n|^(1/n), with n doubled by squaring A^n."""
    power, log, n = matrix, 0.0, 1
    for _ in range(SQUARINGS):
        norm = float(np.linalg.norm(power))
        if norm == 0:
            return 0.0
        log += math.log(norm) / n
        power = power / norm
        power, n = power @ power, 2 * n
    return math.exp(log)


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
