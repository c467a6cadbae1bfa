"""States, gates and predictions: those of PyTorch and of the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from random_models import make_checkpoint, random_text
from torch_models import torch_network

from rnn_cli.errors import UsageError
from rnn_cli.inspect.activations import GATES, activations, find_unit
from rnn_cli.inspect.plain_model import PlainModel, pieces_of, read_symbols
from rnn_cli.language.evaluation import make_scorer, score_texts
from rnn_cli.language.prediction import predictions
from rnn_cli.text.codecs import ByteCodec

TEXT = "abcahcabfdeab"


def test_states_and_gates_are_those_of_pytorch(model: Any, cell: Any) -> None:
    if cell.activation == "sigmoid":
        return  # which PyTorch lacks; test_predictions_are_those_of_the_kernels has it
    torch = pytest.importorskip("torch")
    network, symbols = model
    acts, parameters = activations(network, symbols), make_checkpoint(False, cell).parameters
    layers, readout = torch_network(torch, network.config, parameters)
    x = torch.eye(network.config.input_size).double()[torch.from_numpy(symbols.inputs.astype(np.int64))]
    with torch.no_grad():
        output, _ = layers(x)
        np.testing.assert_allclose(acts.states["h"][1], output, atol=1e-6)
        log_probs = torch.log_softmax(readout(output), dim=-1)
        np.testing.assert_allclose(acts.log_probs, log_probs, atol=1e-5)
        for t in range(len(x)):
            _, final = layers(x[: t + 1])
            for name, state in zip(cell.states, final if cell.name == "lstm" else (final,)):
                np.testing.assert_allclose(acts.states[name][:, t], state, atol=1e-6)
    assert list(acts.gates) == ([] if cell.name == "rnn" else list(cell.input_gates))
    assert GATES[cell.name].keys() <= acts.gates.keys()
    own, before = acts.states["h"][0], np.vstack([np.zeros(16), acts.states["h"][1, :-1]])
    from_input = own @ parameters["rnn.weight_ih_l1"].T + parameters["rnn.bias_ih_l1"]
    from_state = before @ parameters["rnn.weight_hh_l1"].T + parameters["rnn.bias_hh_l1"]
    parts = (np.split(part, len(cell.torch_gates), axis=1) for part in (from_input, from_state))
    for gate, a, b in zip(cell.torch_gates, *parts):
        if gate in GATES[cell.name]:
            np.testing.assert_allclose(acts.gates[gate][1], 1 / (1 + np.exp(-a - b)), atol=1e-6)
        elif cell.name != "rnn":  # the candidate
            reset = acts.gates["r"][1] if cell.name == "gru" else 1
            np.testing.assert_allclose(acts.gates[gate][1], np.tanh(a + reset * b), atol=1e-6)


def test_predictions_are_those_of_the_kernels(cell: Any) -> None:
    checkpoint = make_checkpoint(True, cell)
    acts = activations(PlainModel.of_checkpoint(checkpoint), read_symbols(checkpoint.codec, TEXT))
    for step, expected in enumerate(predictions(checkpoint, TEXT, 3)):
        ours = acts.expected(step, 3)
        assert [symbol for symbol, _ in ours] == [symbol for symbol, _ in expected.expected]
        assert ours[0][1] == pytest.approx(expected.expected[0][1], abs=1e-5)
        if expected.probability is not None:
            assert 2 ** -acts.bits[step] == pytest.approx(expected.probability, abs=1e-5)


@pytest.mark.parametrize("line_mode", [True, False])
def test_bits_and_ranks_are_those_of_the_kernels(line_mode: bool) -> None:
    checkpoint, text = make_checkpoint(line_mode), random_text(80, line_mode).rstrip("\n") + "\n" * line_mode
    symbols = read_symbols(checkpoint.codec, text)
    acts = activations(PlainModel.of_checkpoint(checkpoint), symbols)
    scores = score_texts(make_scorer(checkpoint, 1), [text])
    assert len(symbols.scored) == scores.characters
    assert acts.bits[symbols.scored].mean() == pytest.approx(scores.bits_per_char, rel=1e-4)
    assert (acts.ranks[symbols.scored] == 1).mean() == pytest.approx(scores.top1_accuracy)
    assert np.isnan(acts.bits[len(symbols.scored) :]).all()
    assert not acts.ranks[len(symbols.scored) :].any()


def test_float32_agrees_with_float64(cell: Any) -> None:
    checkpoint = make_checkpoint(False, cell)
    symbols = read_symbols(checkpoint.codec, TEXT)
    networks = (PlainModel.of_checkpoint(checkpoint, dtype) for dtype in (np.float64, np.float32))
    fine, coarse = (activations(network, symbols) for network in networks)
    assert coarse.states["h"].dtype == coarse.log_probs.dtype == np.float32
    np.testing.assert_allclose(coarse.log_probs, fine.log_probs, atol=1e-3)


def test_unknown_characters_can_be_left_out() -> None:
    codec = make_checkpoint(False).codec
    with pytest.raises(UsageError, match="'X'"):
        read_symbols(codec, "aXb")
    symbols = read_symbols(codec, "aXb", "skip")
    assert symbols.first(9).targets.tolist() == codec.encode("ab").tolist()
    assert symbols.first(1).targets.tolist() == codec.encode("a").tolist()


def test_unit_out_of_range_is_refused() -> None:
    states = {"h": np.zeros((2, 3, 8))}
    assert find_unit("2:8", states) == ("h", 1, 7)
    for name in ("3:1", "0:1", "1:9", "1", "1:1:c", "a:b", "1:\u0663"):
        with pytest.raises(UsageError, match="`unit` is L:K"):
            find_unit(name, states)


def test_character_of_several_bytes_is_one_piece() -> None:
    codec = ByteCodec(True)
    assert pieces_of(codec, read_symbols(codec, "\u00e9a\nb").inputs) == ["", "", "\u00e9", "a", "\n", "b"]
