"""A character-level LSTM in PyTorch, trained for a given time as well as we know how.

One-hot input, torch.nn.LSTM, dropout between layers and before the readout, truncated backpropagation through time with
carried state over streams that start at another offset in each epoch, AdamW with fused=True, clipping by norm, a short
warm-up, and a decay to 0 exactly at the end of the time. The model with the best validation loss is scored.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch

SCORED_WINDOW = 512  # steps of the held-out text in one call
FORGET_BIAS = 1.0


@dataclass(frozen=True)
class Setting:
    """The settings that can be tuned, written as `hidden=256,rate=0.005`."""

    hidden: int = 256
    layers: int = 1
    batch: int = 32
    window: int = 96
    rate: float = 0.005
    dropout: float = 0.2
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    schedule: str = "cosine"
    warm_up: float = 0.02
    bfloat16: int = 0
    input_bound: float = 0.0  # bound of the initial input weights; 0: PyTorch's default

    @classmethod
    def parse(cls, text: str) -> Setting:
        """Read `name=value,...`; the others keep their defaults. Raises ValueError if a name or value is unknown."""
        kinds = {field.name: type(field.default) for field in fields(cls)}
        pairs = [part.partition("=") for part in text.split(",") if part]
        if unknown := [name for name, _, _ in pairs if name not in kinds]:
            raise ValueError(f"{unknown[0]} is not one of {', '.join(kinds)}")
        setting = cls(**{name: kinds[name](value) for name, _, value in pairs})
        if setting.schedule not in SCHEDULES:
            raise ValueError(f"the schedule {setting.schedule} is not one of {', '.join(SCHEDULES)}")
        return setting


# From the fraction of time passed since the warm-up to the fraction of the peak rate.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda passed: (1 + math.cos(math.pi * passed)) / 2,
    "linear": lambda passed: 1 - passed,
}


class Network(torch.nn.Module):
    """One-hot symbols -> LSTM -> dropout -> logits."""

    def __init__(self, vocab_size: int, setting: Setting) -> None:
        super().__init__()
        between = setting.dropout if setting.layers > 1 else 0.0
        self.lstm = torch.nn.LSTM(vocab_size, setting.hidden, setting.layers, dropout=between)
        self.dropout = torch.nn.Dropout(setting.dropout)
        self.decoder = torch.nn.Linear(setting.hidden, vocab_size)
        with torch.no_grad():
            for layer in range(setting.layers):
                getattr(self.lstm, f"bias_ih_l{layer}")[setting.hidden : 2 * setting.hidden] = FORGET_BIAS
            if setting.input_bound:
                self.lstm.weight_ih_l0.uniform_(-setting.input_bound, setting.input_bound)

    def forward(self, inputs: torch.Tensor, state: object) -> tuple[torch.Tensor, object]:
        """Return the logits (T, B, V) for ids (T, B), and the final state."""
        one_hot = torch.zeros(*inputs.shape, self.decoder.out_features).scatter_(2, inputs.unsqueeze(2), 1)
        output, state = self.lstm(one_hot, state)
        return self.decoder(self.dropout(output)), state


def score(network: Network, ids: torch.Tensor, streams: int) -> float:
    """Return the mean loss in nats of ids 1, 2, ..., in `streams` streams with carried state, from the zero state."""
    length = (len(ids) - 1) // streams
    inputs = ids[: length * streams].reshape(streams, length).T
    targets = ids[1 : length * streams + 1].reshape(streams, length).T
    network.eval()
    state, total = None, 0.0
    with torch.inference_mode():
        for start in range(0, length, SCORED_WINDOW):
            logits, state = network(inputs[start : start + SCORED_WINDOW], state)
            target = targets[start : start + SCORED_WINDOW].flatten()
            total += torch.nn.functional.cross_entropy(logits.flatten(0, 1), target, reduction="sum").item()
    network.train()
    return total / (length * streams)


class Run:
    """A training of `seconds` on ids 0 .. vocab_size - 1. Validation time is not counted."""

    def __init__(self, ids: np.ndarray, vocab_size: int, setting: Setting, seconds: float, seed: int) -> None:
        self.clock = -time.perf_counter()
        torch.manual_seed(seed)
        self.generator = np.random.default_rng(seed)
        self.ids = torch.from_numpy(ids.astype(np.int64))
        self.setting, self.seconds = setting, seconds
        self.network = Network(vocab_size, setting)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), setting.rate, weight_decay=setting.weight_decay, fused=True
        )
        self.state: tuple[torch.Tensor, ...] | None = None
        self.steps = 0
        self.start_epoch()

    @property
    def elapsed(self) -> float:
        """The counted seconds so far."""
        return self.clock + time.perf_counter()

    def start_epoch(self) -> None:
        """Cut the text into streams from a random offset, and reset the state."""
        setting = self.setting
        first = int(self.generator.integers(0, setting.window))
        length = (len(self.ids) - 1 - first) // setting.batch
        used = length * setting.batch
        self.inputs = self.ids[first : first + used].reshape(setting.batch, length).T.contiguous()
        self.targets = self.ids[first + 1 : first + 1 + used].reshape(setting.batch, length).T.contiguous()
        self.position, self.state = 0, None

    def step(self) -> None:
        """Train on the next window, at the current learning rate."""
        setting, passed = self.setting, min(self.elapsed / self.seconds, 1.0)
        rising = passed / setting.warm_up if setting.warm_up else 1.0
        falling = SCHEDULES[setting.schedule](max(passed - setting.warm_up, 0.0) / (1 - setting.warm_up))
        for group in self.optimizer.param_groups:
            group["lr"] = setting.rate * min(rising, falling)
        if self.position + setting.window > len(self.inputs):
            self.start_epoch()
        window = slice(self.position, self.position + setting.window)
        with torch.autocast("cpu", torch.bfloat16, enabled=bool(setting.bfloat16)):
            logits, state = self.network(self.inputs[window], self.state)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), self.targets[window].flatten())
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), setting.clip_norm)
        self.optimizer.step()
        self.state = tuple(part.detach() for part in state)
        self.position += setting.window
        self.steps += 1

    def train(self, held_out: np.ndarray, validations: int) -> tuple[list[tuple[float, float]], float]:
        """Return the curve (seconds, validation loss), and the loss of the best model in one stream."""
        ids = torch.from_numpy(held_out.astype(np.int64))
        curve: list[tuple[float, float]] = []
        best = copy.deepcopy(self.network.state_dict())
        for index in range(1, validations + 1):
            while self.elapsed < self.seconds * index / validations:
                self.step()
            paused = time.perf_counter()
            curve.append((self.elapsed, score(self.network, ids, self.setting.batch)))
            if curve[-1][1] == min(loss for _, loss in curve):
                best = copy.deepcopy(self.network.state_dict())
            self.clock -= time.perf_counter() - paused
        self.network.load_state_dict(best)
        return curve, score(self.network, ids, 1)
