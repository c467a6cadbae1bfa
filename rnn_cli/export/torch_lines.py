"""The lines of Python that load a model with torch.nn, for a model card."""

from __future__ import annotations

from rnn_cli.checkpoint.checkpoint import TRANSLATE
from rnn_cli.export.portable import Portable
from rnn_cli.network.config import NetworkConfig
from rnn_cli.tasks.forecast.forecaster import FORECAST

MODULES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


def torch_lines(model: Portable) -> str:
    """Return the lines of Python that load the model with torch.nn and run it."""
    if model.task == TRANSLATE:
        return pair_lines(model)
    config = model.config
    width, tied = config.directions * config.hidden_size, config.embedding == "tied"
    reads = config.hidden_size if tied else config.input_size
    lines = [
        "import torch",
        "from safetensors.torch import load_file",
        "",
        'tensors = load_file("model.safetensors")',
        *['tensors["decoder.weight"] = tensors["encoder.weight"]'] * tied,
        "net = torch.nn.ModuleDict({",
        *[f'    "encoder": torch.nn.Embedding({config.input_size}, {reads}),'] * tied,
        f'    "rnn": {module(config, reads, config.directions)},',
        f'    "decoder": torch.nn.Linear({width}, {config.output_size}),',
        "})",
        "net.load_state_dict(tensors)",
    ]
    if model.task == FORECAST:
        lines.append(
            f"x = torch.zeros({model.details['context']}, 1, {config.input_size})  # (T, B, inputs), see above"
        )
    else:
        lines.append("ids = torch.tensor([[0], [1]])  # (T, B): the boundary, then the symbols of a text")
    if tied:
        lines.append('x = net["encoder"](ids)')
    elif model.task != FORECAST:
        lines.append(f"x = torch.nn.functional.one_hot(ids, {config.input_size}).float()")
    if model.labels:
        lines.append(f"x[:, :, {len(model.symbols)} + 0] = 1  # label 0")
    lines.append('y, state = net["rnn"](x)')
    if config.readout == "mean":
        lines.append("y = y.cumsum(0) / torch.arange(1, 1 + len(y))[:, None, None]")
    lines.append('logits = net["decoder"](y)  # (T, B, outputs)')
    return "\n".join(lines)


def module(config: NetworkConfig, reads: int, directions: int) -> str:
    """Return how torch.nn makes the recurrent layers."""
    options = f", num_layers={config.num_layers}" + ", bidirectional=True" * (directions == 2)
    if config.cell == "rnn":
        options += f', nonlinearity="{config.activation}"'
    return f"torch.nn.{MODULES[config.cell]}({reads}, {config.hidden_size}{options})"


def pair_lines(model: Portable) -> str:
    """Return the lines of Python that load an encoder with a decoder with torch.nn and run it."""
    config, states = model.config, len(model.cell.states)
    layers, units, read = config.num_layers, config.hidden_size, config.directions * config.hidden_size
    end = "torch.cat([read[-1, :H], read[0, H:]])" if config.directions == 2 else "read[-1]"
    state = "tuple(start)" if config.cell == "lstm" else "start[0]"
    return f"""import torch
from safetensors.torch import load_file

H = {units}
net = torch.nn.ModuleDict({{
    "encoder": {module(config, config.input_size, config.directions)},
    "decoder": {module(config, config.output_size, 1)},
    "attention": torch.nn.Linear({read}, H, bias=False),
    "combine": torch.nn.Linear({units + read}, H),
    "bridge": torch.nn.Linear({read}, {layers * states * units}),
    "output": torch.nn.Linear(H, {config.output_size}),
}})
net.load_state_dict(load_file("model.safetensors"))
one_hot = torch.nn.functional.one_hot
source = torch.tensor([1, 2, 0])  # the symbols of a source, then 0
target = torch.tensor([0, 1])  # 0, then what is known of the target
read, _ = net["encoder"](one_hot(source, {config.input_size}).float())
start = net["bridge"]({end}).tanh().view({layers}, {states}, H).transpose(0, 1).contiguous()
d, state = net["decoder"](one_hot(target, {config.output_size}).float(), {state})
weights = (d @ net["attention"](read).T).softmax(-1)
z = net["combine"](torch.cat([d, weights @ read], -1)).tanh()
logits = net["output"](z)  # (T, outputs)"""
