"""The folder loads in torch.nn by the lines of its card, and comes back by rnn import."""

import json
import math

import numpy as np
import pytest
from portable_models import CASES, CHARACTERS, CODECS, HOSTILE, NAMES, plain_answers, plain_logits, random_checkpoint
from safetensors.numpy import save

from rnn_cli.cells import CELLS
from rnn_cli.errors import UsageError
from rnn_cli.export.importing import import_model, read_symbols, read_weights
from rnn_cli.export.targets import Request, export_files
from rnn_cli.language.sampling import sample_texts
from rnn_cli.network.model import Model
from rnn_cli.network.plain import network_forward, weights_of


def exported(checkpoint, folder):
    files, _ = export_files("hub", Request(checkpoint, folder, "mit"))
    for path, data in files.items():
        path.write_bytes(data)


@pytest.mark.parametrize("task, values", CASES, ids=NAMES)
def test_lines_of_the_card_load_the_model(cell, tmp_path, monkeypatch, task, values):
    pytest.importorskip("torch")
    checkpoint = random_checkpoint(task, cell, **values)
    if cell.activation == "sigmoid":
        with pytest.raises(UsageError, match="no sigmoid"):
            exported(checkpoint, tmp_path)
        return
    exported(checkpoint, tmp_path)
    code = (tmp_path / "README.md").read_text("utf-8").split("```python\n")[1].split("```")[0]
    names = {}
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "card", "exec"), names)
    expected = plain_logits(checkpoint, [0, 1], 0 if task == "labelled" else None)
    assert np.abs(names["logits"][:, 0].detach().numpy() - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    "task, values", [("translate", {"directions": 2}), ("translate", {"layers": 1}), ("forecast", {})]
)
def test_lines_of_other_cards_load_the_model(cell, tmp_path, monkeypatch, task, values):
    pytest.importorskip("torch")
    if cell.activation == "sigmoid":
        return
    checkpoint = random_checkpoint(task, cell, CHARACTERS, **values)
    exported(checkpoint, tmp_path)
    code = (tmp_path / "README.md").read_text("utf-8").split("```python\n")[1].split("```")[0]
    names = {}
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "card", "exec"), names)
    found = names["logits"].detach().numpy()
    expected = (
        plain_answers(checkpoint, [1, 2, 0], [1]) if task == "translate" else plain_outputs(checkpoint, 6)[:, None]
    )
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def plain_outputs(checkpoint, steps):
    """Return the outputs (T, V) of a network that reads zeros."""
    model = Model.from_torch(checkpoint.config, checkpoint.parameters)
    x, starts = np.zeros((steps, 1, checkpoint.config.input_size)), np.zeros((steps, 1), bool)
    states = np.zeros((2, 1, len(model.layout.cell.states), 1, 11))
    weights = weights_of(model.layout, model.parameters)
    return network_forward(model.layout.cell, weights, x, starts, states, np.ones((2, 1, 11)))[0][:, 0]


@pytest.mark.parametrize("kind", CODECS)
def test_folder_comes_back(tmp_path, kind):
    checkpoint = random_checkpoint("language", codec=CODECS[kind])
    exported(checkpoint, tmp_path)
    back = import_model(read_weights(tmp_path / "model.safetensors"), read_symbols(tmp_path / "config.json"))
    assert back.codec == checkpoint.codec
    assert all(np.array_equal(back.parameters[name], checkpoint.parameters[name]) for name in checkpoint.parameters)


def test_what_the_record_says_is_no_markup(tmp_path):
    checkpoint = random_checkpoint("language")
    checkpoint.record["corpus"]["name"] = "a`b\n# <script>"
    checkpoint.record["best_score"] = checkpoint.record["best_loss"] = HOSTILE[0]
    exported(checkpoint, tmp_path)
    text = (tmp_path / "README.md").read_text("utf-8")
    assert "- name: `a'b # <script>`\n" in text
    assert "img" not in text


def test_the_card_has_the_figures_of_the_record(tmp_path):
    checkpoint = random_checkpoint("translate", codec=CHARACTERS)
    checkpoint.record.update(best_loss=math.log(2), best_score=0.75, steps=7)
    exported(checkpoint, tmp_path)
    text = (tmp_path / "README.md").read_text("utf-8")
    assert (
        "1.000 bits per symbol; guessing equally would cost 2.322\n- best held-out score: 75.0% of the targets" in text
    )
    assert "- steps of training: `7`\n" in text


def torch_weights(symbols, embedded=True, bias=True):
    """Return weights as a user of torch.nn may have them."""
    generator = np.random.default_rng(1)
    inputs = 4 if embedded else symbols
    shapes = {"lstm.weight_ih_l0": (24, inputs), "lstm.weight_hh_l0": (24, 6), "head.weight": (symbols, 6)}
    if embedded:
        shapes["embedding.weight"] = (symbols, 4)
    if bias:
        shapes |= {"lstm.bias_ih_l0": (24,), "lstm.bias_hh_l0": (24,), "head.bias": (symbols,)}
    return {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("symbols, lines", [(["a", "\n", "b"], True), ([None, "x", "y"], False), (["p", "qr"], False)])
def test_weights_of_torch_are_the_same_network(symbols, lines):
    torch = pytest.importorskip("torch")
    weights = torch_weights(len(symbols))
    back = import_model(weights, symbols, lines)
    boundary = next((k for k, text in enumerate(symbols) if text is None or (lines and text == "\n")), None)
    order = [k for k in range(len(symbols)) if k != boundary]
    ids = np.arange(len(order))
    lstm = torch.nn.LSTM(4, 6)
    lstm.load_state_dict({k.removeprefix("lstm."): torch.tensor(v) for k, v in weights.items() if "lstm" in k})
    y, _ = lstm(torch.tensor(weights["embedding.weight"][order])[:, None])
    expected = y[:, 0].detach().numpy() @ weights["head.weight"].T + weights["head.bias"]
    logits = plain_logits(back, 1 + ids)
    assert np.abs(logits[:, 1:] - expected[:, order]).max() < 1e-5
    list(sample_texts(back))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"lstm.weight_hr_l0": np.zeros((2, 2), np.float32)}, "belongs to nothing"),
        ({"lstm.weight_ih_l0_reverse": np.zeros((24, 4), np.float32)}, "weight_ih_l0_reverse"),
        ({"head.weight": np.zeros((5, 5), np.float32)}, "reads 3 symbols out of 6 units"),
        ({"lstm.bias_ih_l0": np.full(24, np.nan, np.float32)}, "not finite"),
        ({"lstm.weight_hh_l0": np.zeros((24, 5), np.float32)}, "no LSTM, GRU or RNN"),
    ],
)
def test_what_does_not_fit_is_refused(change, words):
    with pytest.raises(UsageError, match=words):
        import_model({**torch_weights(3), **change}, ["a", "b", "c"])


def test_a_pickle_is_not_read(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(UsageError, match="save_file"):
        read_weights(tmp_path / "model.pt")


def test_every_cell_is_recognised(tmp_path):
    for cell in CELLS:
        checkpoint = random_checkpoint("language", cell)
        (tmp_path / "w").write_bytes(save(checkpoint.parameters))
        about = {"task": "language", "codec": checkpoint.codec.to_dict()}
        (tmp_path / "s").write_text(json.dumps(about))
        back = import_model(read_weights(tmp_path / "w"), read_symbols(tmp_path / "s"), activation=cell.activation)
        assert (back.config.cell, back.config.activation) == (cell.name, cell.activation)
