"""A checkpoint comes back as it was and opens in PyTorch; whatever else a file holds is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_cli.cells import CELLS, Cell
from rnn_cli.checkpoint.checkpoint import HEADER_LIMIT, Checkpoint, load_checkpoint, save_checkpoint, to_bytes
from rnn_cli.errors import CheckpointError, RnnError
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import torch_shapes
from rnn_cli.text.codecs import ByteCodec, CharacterCodec

RECORD = {
    "corpus": {"name": "names.txt", "digest": "00ff", "characters": 1234, "validation_characters": 123},
    "history": [
        {"step": 100, "loss": 1.5, "validation_loss": None},
        {"step": 200, "loss": 1.25, "validation_loss": 1.3},
    ],
}


def make_checkpoint(cell: Cell = CELLS[0], layers: int = 2, finished: bool = False) -> Checkpoint:
    """Return a small checkpoint with random values, some of them of a kind that is easily lost."""
    codec = CharacterCodec("\nabc\u0926\U0001f600", line_mode=False)
    config = NetworkConfig.for_symbols(
        len(codec), cell=cell.name, activation=cell.activation, hidden_size=5, num_layers=layers
    )
    generator = np.random.default_rng(1)
    parameters = {
        name: generator.standard_normal(shape, dtype=np.float32) for name, shape in torch_shapes(config).items()
    }
    parameters["decoder.bias"][:2] = -0.0, 1e-45
    checkpoint = Checkpoint.of_language(config, codec, parameters, json.loads(json.dumps(RECORD)))
    if not finished:
        checkpoint.progress = {"step": 200, "state": 2**128 - 1, "best_loss": 0.1}
        checkpoint.source = {"paths": ["/texts/names.txt"], "random_seed": 7}
        checkpoint.training = {
            "moment1": generator.standard_normal(77, dtype=np.float32),
            "total": np.array(0.1),
            "positions": np.array([[2**62, -1]]),
        }
    return checkpoint


def same(left: Checkpoint, right: Checkpoint) -> bool:
    """Say whether two checkpoints are the same, their tensors bit for bit."""

    def content(checkpoint: Checkpoint) -> Any:
        tensors = {name: (t.dtype, t.shape, t.tobytes()) for name, t in checkpoint.tensors().items()}
        others = checkpoint.task, checkpoint.record, checkpoint.progress, checkpoint.source
        return checkpoint.config, *others, tensors

    return content(left) == content(right)


def pack(header: dict[str, Any] | bytes, data: bytes) -> bytes:
    """Return a safetensors file of any header and data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def unpack(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header and the data of a safetensors file."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def load_bytes(directory: Path, content: bytes) -> Checkpoint:
    """Return the checkpoint that a file of this content holds."""
    path = directory / "model.safetensors"
    path.write_bytes(content)
    return load_checkpoint(path)


@pytest.mark.parametrize("finished", [False, True])
def test_round_trips_bit_for_bit(tmp_path: Path, cell: Cell, finished: bool) -> None:
    checkpoint = make_checkpoint(cell, finished=finished)
    path = tmp_path / "model.safetensors"
    assert save_checkpoint(path, checkpoint) == path.stat().st_size
    loaded = load_checkpoint(str(path))
    assert same(loaded, checkpoint)
    assert to_bytes(loaded) == path.read_bytes()
    loaded.parameters["decoder.bias"] += 1  # arrays of its own, that can be trained on


def test_byte_codec_round_trips(tmp_path: Path) -> None:
    codec = ByteCodec(True)
    config = NetworkConfig.for_symbols(len(codec), cell="gru", hidden_size=1)
    parameters = {name: np.ones(shape, np.float32) for name, shape in torch_shapes(config).items()}
    checkpoint = Checkpoint.of_language(config, codec, parameters)
    assert same(load_bytes(tmp_path, to_bytes(checkpoint)), checkpoint)


def test_noncontiguous_arrays_round_trip(tmp_path: Path) -> None:
    checkpoint = make_checkpoint()
    expected = to_bytes(checkpoint)
    for tensors in (checkpoint.parameters, checkpoint.training):
        for name, tensor in tensors.items():
            wide = np.zeros((*tensor.shape, 3), tensor.dtype)
            wide[..., 1] = tensor
            tensors[name] = np.asfortranarray(tensor) if tensor.ndim == 2 else wide[..., 1]
    assert not checkpoint.parameters["decoder.weight"].flags.c_contiguous
    assert to_bytes(checkpoint) == expected


def test_the_same_content_gives_the_same_bytes() -> None:
    first, second = make_checkpoint(), make_checkpoint()
    for name in ("parameters", "training", "record", "progress"):
        setattr(second, name, dict(reversed(getattr(second, name).items())))
    assert to_bytes(first) == to_bytes(second)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(record=st.dictionaries(st.text(), JSON, max_size=4))
def test_any_record_round_trips(tmp_path_factory: pytest.TempPathFactory, record: dict[str, Any]) -> None:
    checkpoint = make_checkpoint()
    checkpoint.record = checkpoint.progress = {"any": record}
    assert same(load_bytes(tmp_path_factory.getbasetemp(), to_bytes(checkpoint)), checkpoint)


def test_opens_in_a_plain_torch_module(tmp_path: Path, cell: Cell) -> None:
    torch = pytest.importorskip("torch")
    if cell.activation == "sigmoid":
        pytest.skip("PyTorch has no such cell")
    from safetensors.torch import load_file

    checkpoint = make_checkpoint(cell, finished=True)
    config = checkpoint.config
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell.name]
    others = {"nonlinearity": cell.activation} if cell.name == "rnn" else {}
    module = torch.nn.Module()
    module.rnn = kind(config.output_size, config.hidden_size, config.num_layers, **others)
    module.decoder = torch.nn.Linear(config.hidden_size, config.output_size)
    save_checkpoint(tmp_path / "model.safetensors", checkpoint)
    module.load_state_dict(load_file(tmp_path / "model.safetensors"))
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), checkpoint.parameters[name])


def replace_tensor(name: str, value: np.ndarray) -> Callable[[Checkpoint], None]:
    """Return a change of a checkpoint: another tensor of this name."""

    def change(checkpoint: Checkpoint) -> None:
        tensors = checkpoint.training if name in checkpoint.training else checkpoint.parameters
        tensors[name] = value

    return change


UNFIT = {
    "NaN": (replace_tensor("decoder.bias", np.full(7, np.nan, np.float32)), "not finite"),
    "infinity in the training": (replace_tensor("moment1", np.array([np.inf])), "not finite"),
    "a type": (replace_tensor("decoder.bias", np.zeros(7)), "float64"),
    "a byte order": (replace_tensor("decoder.bias", np.zeros(7, ">f4")), ">f4"),
    "a shape": (replace_tensor("decoder.bias", np.zeros(8, np.float32)), r"\(8,\)"),
    "a type of the training": (replace_tensor("total", np.zeros(3, np.float16)), "float16"),
    "an empty tensor": (replace_tensor("total", np.zeros((3, 0))), r"\(3, 0\)"),
    "an unknown tensor": (replace_tensor("other", np.zeros(7, np.float32)), "'other' is unknown"),
    "a missing tensor": (lambda c: c.parameters.pop("decoder.bias"), "'decoder.bias' is missing"),
    "the vocabulary": (lambda c: c.task.update(codec=CharacterCodec("abc", line_mode=False).to_dict()), "vocabulary"),
    "the cell": (lambda c: setattr(c, "config", NetworkConfig.for_symbols(7, activation="relu")), "no activation"),
    "a number": (lambda c: c.record.update(loss=float("nan")), "JSON"),
    "a long number": (lambda c: c.record.update(loss=10**50), "51 digits"),
    "the history": (lambda c: c.record.update(history={}), "'history'"),
}


@pytest.mark.parametrize("change, words", UNFIT.values(), ids=UNFIT.keys())
def test_unloadable_model_never_replaces_a_good_one(
    tmp_path: Path, change: Callable[[Checkpoint], Any], words: str
) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, make_checkpoint())
    before = path.read_bytes()
    checkpoint = make_checkpoint()
    change(checkpoint)
    with pytest.raises(RnnError, match=words) as caught:
        save_checkpoint(path, checkpoint)
    assert caught.value.exit_code == 1
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_refuses_to_save_over_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnn_cli.checkpoint.checkpoint.FILE_LIMIT", 1000)
    with pytest.raises(RnnError, match="limits"):
        to_bytes(make_checkpoint())


def in_header(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    """Return a change of a file: one of its header."""

    def damage(content: bytes) -> bytes:
        header, data = unpack(content)
        change(header)
        return pack(header, data)

    return damage


def in_tensor(**values: Any) -> Callable[[bytes], bytes]:
    """Return a change of a file: other values in the entry of decoder.bias."""
    return in_header(lambda header: header["decoder.bias"].update(values))


def in_description(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    """Return a change of a file: one of the JSON in its metadata."""

    def damage(header: dict[str, Any]) -> None:
        description = json.loads(header["__metadata__"]["rnn"])
        change(description)
        header["__metadata__"]["rnn"] = json.dumps(description)

    return in_header(damage)


def in_text(old: str, new: str) -> Callable[[bytes], bytes]:
    """Return a change of a file: a replacement in the text of the JSON in its metadata."""

    def damage(header: dict[str, Any]) -> None:
        text = header["__metadata__"]["rnn"]
        assert old in text
        header["__metadata__"]["rnn"] = text.replace(old, new, 1)

    return in_header(damage)


def in_model(**values: Any) -> Callable[[bytes], bytes]:
    """Return a change of a file: other values in the configuration of the model."""
    return in_description(lambda description: description["network"].update(values))


def name_twice(content: bytes) -> bytes:
    """Give the header a second entry of the same name."""
    header, data = unpack(content)
    text = json.dumps(header)[:-1] + ', "decoder.bias": ' + json.dumps(header["decoder.bias"]) + "}"
    return pack(text.encode(), data)


def swap_names(header: dict[str, Any]) -> None:
    """Let two tensors of different shapes change their names."""
    header["decoder.bias"], header["decoder.weight"] = header["decoder.weight"], header["decoder.bias"]


def with_nan(content: bytes) -> bytes:
    """Write NaN over the first value of decoder.bias."""
    header, data = unpack(content)
    start = header["decoder.bias"]["data_offsets"][0]
    return pack(header, data[:start] + np.float32(np.nan).tobytes() + data[start + 4 :])


DAMAGE = {
    "empty": (lambda c: b"", "not a safetensors file"),
    "a text": (lambda c: b"It was a dark and stormy night.\n" * 100, "not a safetensors file"),
    "a header over the limit": (
        lambda c: (HEADER_LIMIT + 1).to_bytes(8, "little") + c[8:],
        "not a safetensors file",
    ),
    "a header longer than the file": (lambda c: len(c).to_bytes(8, "little") + c[8:], "cut off"),
    "a header that is no JSON": (lambda c: pack(b"\x80abc", b""), "damaged"),
    "a header that is a list": (lambda c: pack(b"[]", b""), "damaged"),
    "a header that is deep": (lambda c: pack(b"[" * 1_000_000, b""), "nested too deeply"),
    "a header that is rather deep": (
        lambda c: pack(b'{"a":' * 40 + b"1" + b"}" * 40, b""),
        "nested too deeply",
    ),
    "more data": (lambda c: c + b"\0\0\0\0", "cut off or altered"),
    "less data": (lambda c: c[:-1], "cut off or altered"),
    "of another program": (in_header(lambda h: h.pop("__metadata__")), "another program"),
    "metadata of another program": (
        in_header(lambda h: h.update(__metadata__={"format": "pt"})),
        "another program",
    ),
    "metadata that are a list": (in_header(lambda h: h.update(__metadata__=["rnn"])), "another program"),
    "a tensor twice": (name_twice, "a name comes twice"),
    "a tensor missing": (in_header(lambda h: h.pop("decoder.bias")), "begin"),
    "a tensor unknown": (
        in_header(lambda h: h.update(extra=h.pop("decoder.bias"))),
        "'decoder.bias' is missing",
    ),
    "a tensor of another shape": (in_tensor(shape=[1, 7]), r"shape \(1, 7\)"),
    "tensors under each other's name": (in_header(swap_names), "decoder"),
    "a shape that lies": (in_tensor(shape=[8]), "invalid header entry for tensor 'decoder.bias'"),
    "a shape with an empty side": (in_tensor(shape=[0, 2**62], data_offsets=[0, 0]), "invalid header entry"),
    "a shape beyond all limits": (in_tensor(shape=[2**62, 2**62]), "invalid header entry"),
    "a shape of many dimensions": (in_tensor(shape=[7] + [1] * 100), "invalid header entry"),
    "a negative shape": (in_tensor(shape=[-1, -7]), "invalid header entry"),
    "a shape of fractions": (in_tensor(shape=[7.0]), "invalid header entry"),
    "a shape that is a text": (in_tensor(shape="7"), "invalid header entry"),
    "an unknown type": (in_tensor(dtype="BF16"), "invalid header entry"),
    "another type": (in_tensor(dtype="F64"), "invalid header entry"),
    "another type of the same size": (in_tensor(dtype="I64", shape=[7, 1, 1]), "invalid header entry"),
    "offsets past the end": (in_tensor(data_offsets=[10**9, 10**9 + 28]), "begin"),
    "offsets over another tensor": (in_tensor(data_offsets=[0, 28]), "begin"),
    "negative offsets": (in_tensor(data_offsets=[-28, 0]), "begin"),
    "three offsets": (in_tensor(data_offsets=[0, 28, 28]), "invalid header entry"),
    "an unknown field": (in_tensor(compression="gzip"), "invalid header entry"),
    "an entry that is no object": (in_header(lambda h: h.update(extra=1)), "invalid header entry"),
    "NaN": (with_nan, "'decoder.bias' holds values that are not finite"),
    "a newer format": (
        in_description(lambda d: d.update(format=3, novelty=1)),
        r"written by a newer rnn \(format 3\); this one reads format 2",
    ),
    "an older format": (in_description(lambda d: d.update(format=0)), "damaged parts"),
    "a format that is no number": (in_description(lambda d: d.update(format=[])), "damaged parts"),
    "a part missing": (in_description(lambda d: d.pop("record")), "damaged parts"),
    "a part unknown": (in_description(lambda d: d.update(extra=1)), "damaged parts"),
    "a model that is a list": (in_description(lambda d: d.update(network=[])), "damaged parts"),
    "a task that is a text": (in_description(lambda d: d.update(task="language")), "damaged parts"),
    "a task without a name": (in_description(lambda d: d["task"].pop("name")), "damaged parts"),
    "a task with a name of two lines": (in_description(lambda d: d["task"].update(name="a\nb")), "damaged parts"),
    "a task with a long name": (in_description(lambda d: d["task"].update(name="a" * 41)), "damaged parts"),
    "a task without a codec": (in_description(lambda d: d["task"].pop("codec")), "task has missing or unknown"),
    "a task with an unknown field": (in_description(lambda d: d["task"].update(extra=1)), "task has missing or"),
    "a codec that is a text": (in_description(lambda d: d["task"].update(codec="abc")), "vocabulary has missing"),
    "a source that is a list": (in_description(lambda d: d.update(source=[])), "damaged parts"),
    "a language model of numbers": (in_model(inputs="numbers"), "not one that a language model can have"),
    "a language model of other inputs": (in_model(input_size=8), "not one that a language model can have"),
    "a language model of two directions": (in_model(directions=2), "not one that a language model can have"),
    "the parts of format 1": (in_description(lambda d: d.update(format=1)), "damaged parts"),
    "a record that is a list": (in_description(lambda d: d.update(record=[])), "damaged parts"),
    "a progress that is a number": (in_description(lambda d: d.update(progress=1)), "damaged parts"),
    "a corpus that is a number": (in_description(lambda d: d["record"].update(corpus=1)), "'corpus'"),
    "another vocabulary": (in_description(lambda d: d["task"]["codec"].update(symbols="abc")), "vocabulary"),
    "a vocabulary with a character twice": (
        in_description(lambda d: d["task"]["codec"].update(symbols="abcdea")),
        "vocabulary",
    ),
    "an unknown cell": (in_model(cell="elman"), "`cell` must be one of"),
    "a cell that is a list": (in_model(cell=["lstm"]), "impossible model"),
    "an unknown activation": (in_model(activation="step"), "`activation` must be one of"),
    "a large model in a tiny file": (in_model(hidden_size=8192, num_layers=16), "missing"),
    "a large layer in a tiny file": (in_model(hidden_size=8192), "not float32 of shape"),
    "too large a model": (in_model(hidden_size=8193), "hidden_size"),
    "a very large model": (in_text('"hidden_size":5', '"hidden_size":1' + "0" * 400), "401 digits"),
    "a fraction of a model": (in_model(hidden_size=5.0), "hidden_size"),
    "an unknown field of the model": (in_model(size=1), "size"),
    "another number of layers": (in_model(num_layers=1), "unknown"),
    "a name twice in the description": (in_text('"format":2', '"format":2,"format":2'), "a name comes twice"),
    "a description that is deep": (in_text('"step":100', '"step":' + "[" * 10**6), "nested too deeply"),
    "a description that is rather deep": (in_text("100", "[" * 99 + "1" + "]" * 99), "nested too deeply"),
    "NaN in the description": (in_text("1.5", "NaN"), "a number is nan"),
    "infinity in the description": (in_text("1.5", "1e999"), "a number is inf"),
    "a description that is cut off": (in_text("}", ""), "damaged"),
}


@pytest.mark.parametrize("damage, words", DAMAGE.values(), ids=DAMAGE.keys())
def test_refuses_damaged_and_hostile_files(tmp_path: Path, damage: Callable[[bytes], bytes], words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        load_bytes(tmp_path, damage(to_bytes(make_checkpoint())))
    message = str(caught.value)
    assert str(tmp_path / "model.safetensors") in message
    assert len(message) < 1000


def test_refuses_a_file_that_is_cut_off_anywhere(tmp_path: Path) -> None:
    content = to_bytes(make_checkpoint())
    for size in [*range(0, len(content), 97), len(content) - 1]:
        with pytest.raises(CheckpointError):
            load_bytes(tmp_path, content[:size])


def test_any_other_bytes_give_a_checkpoint_or_an_error(tmp_path: Path) -> None:
    content = to_bytes(make_checkpoint())
    header_end = 8 + int.from_bytes(content[:8], "little")
    generator = np.random.default_rng(2)
    refused = 0
    for _ in range(1500):
        changed = bytearray(content)
        end = header_end if generator.random() < 0.8 else len(content)
        for _ in range(generator.integers(1, 4)):
            place = int(generator.integers(end))
            match generator.integers(3):
                case 0:
                    changed[place] = generator.integers(256)
                case 1:
                    changed[place] = generator.choice(list(b'0123456789-.eE"[]{},:\\ua'))
                case 2:
                    del changed[place : place + int(generator.integers(1, 9))]
        try:
            assert isinstance(load_bytes(tmp_path, bytes(changed)), Checkpoint)
        except CheckpointError:
            refused += 1
    assert 0 < refused < 1500


def test_other_metadata_are_ignored(tmp_path: Path) -> None:
    checkpoint = make_checkpoint()
    other = in_header(lambda header: header["__metadata__"].update(format="pt"))
    assert same(load_bytes(tmp_path, other(to_bytes(checkpoint))), checkpoint)


def test_missing_model_error_names_the_command(tmp_path: Path) -> None:
    advice = "there is no model at .+; train one with: rnn train CORPUS -m '.+my model'"
    with pytest.raises(CheckpointError, match=advice):
        load_checkpoint(tmp_path / "my model")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFO")
def test_refuses_a_fifo_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(CheckpointError, match="not a regular file"):
        load_checkpoint(tmp_path / "fifo")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this system has no /dev/zero")
def test_refuses_a_device() -> None:
    with pytest.raises(CheckpointError, match="not a regular file"):
        load_checkpoint("/dev/zero")


def test_refuses_a_directory(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path)


def test_refuses_a_file_over_the_limit_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.touch()
    os.truncate(path, 5 << 30)  # a hole, that takes no space
    with pytest.raises(CheckpointError, match="the limit is"):
        load_checkpoint(path)


def test_the_import_loads_neither_numba_nor_safetensors() -> None:
    program = "import rnn_cli.checkpoint.checkpoint, sys; print({'numba', 'safetensors'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
