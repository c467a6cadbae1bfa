"""The gradient check of a network of each task: right gradients pass, a wrong one is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from random_models import make_checkpoint

from rnn_cli.cells import CELLS
from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.inspect.gradcheck import Block, check_gradients
from rnn_cli.inspect.plain_model import read_symbols
from rnn_cli.inspect.small_networks import small_text_window, small_window
from rnn_cli.network.config import EncoderDecoderConfig, NetworkConfig
from rnn_cli.network.pair_window import PairWindow
from rnn_cli.network.workspace import TrainingWindow
from rnn_cli.tasks.classify.task import ClassifyTask
from rnn_cli.tasks.forecast.forecaster import network_of
from rnn_cli.tasks.forecast.series import read_series
from rnn_cli.tasks.forecast.task import ForecastTask
from rnn_cli.tasks.forecast.windows import Shape
from rnn_cli.tasks.labelled.task import LabelledTask
from rnn_cli.tasks.labelled_texts import read_labelled
from rnn_cli.tasks.tag.sentences import read_tagged
from rnn_cli.tasks.tag.task import TagTask
from rnn_cli.tasks.translate.pairs import read_pairs
from rnn_cli.tasks.translate.task import TranslateTask
from rnn_cli.training.task import Task

FILES = {
    "labelled": "A\tabca\nB\txyzzy, a text longer than the check reads\nA\tcab\n",
    "tagged": "the\tDET\ncat\tNOUN\nsat\tVERB\n\na\tDET\ndog\tNOUN\n\n",
    "pairs": "abc\ta b\nca\tc c a\n",
    "series": "\n".join(str(k % 4 + 0.1 * k) for k in range(40)),
}


def window_of_text(cell: Any, **others: Any) -> TrainingWindow:
    """Return the window of a language model."""
    checkpoint = make_checkpoint(False, cell)
    config = replace(checkpoint.config, **others)
    return small_text_window(config, read_symbols(checkpoint.codec, "abcahcabfdeab"))


def task_of(name: str, path: str) -> Task:
    """Return a task of each kind, with its defaults."""
    match name:
        case "classify":
            return ClassifyTask(read_labelled([path]))
        case "labelled":
            return LabelledTask(read_labelled([path]))
        case "tag":
            return TagTask("tags", read_tagged([path]).sentences)
        case "translate":
            return TranslateTask(read_pairs([path]))
        case _:
            shape = Shape(4, 0, 5)
            return ForecastTask("series", read_series([path]).series, shape, network_of(shape, (0.1, 0.5, 0.9)))


@pytest.mark.parametrize("num_layers, embedding", [(1, "none"), (4, "none"), (2, "tied")])
def test_gradients_of_a_language_model_are_right(cell: Any, num_layers: int, embedding: str) -> None:
    blocks = check_gradients(window_of_text(cell, num_layers=num_layers, embedding=embedding))
    assert all(block.right for block in blocks), blocks
    assert len(blocks) == 3 * min(num_layers, 3) + 3
    assert all(block.plain is not None and block.plain < 1e-12 for block in blocks)


@pytest.mark.parametrize("name", ["classify", "labelled", "tag", "translate", "forecast"])
def test_gradients_of_each_task_are_right(tmp_path: Path, name: str) -> None:
    file = {"classify": "labelled", "tag": "tagged", "translate": "pairs", "forecast": "series"}.get(name, name)
    path = str(tmp_path / file)
    Path(path).write_text(FILES[file], "utf-8")
    task = task_of(name, path)
    config = replace(task.network, num_layers=2)
    window = small_window(Checkpoint(config, task.describe(), {}, {}), path)
    blocks = check_gradients(window)
    assert all(block.right for block in blocks), blocks
    assert isinstance(window, PairWindow) == isinstance(config, EncoderDecoderConfig)
    checked = window.model.config
    kind = ("cell", "num_layers", "directions", "readout", "inputs", "outputs", "quantiles")
    assert [getattr(checked, field) for field in kind] == [getattr(config, field) for field in kind]
    assert {block.plain is not None for block in blocks} == {name in ("labelled", "tag")}


def test_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = TrainingWindow.gradient

    def wrong(window: TrainingWindow) -> float:
        loss = right(window)
        window.model.layout.recurrent_weights(window.grad, 0)[0, 0, 0] += 1e-3
        return loss

    monkeypatch.setattr(TrainingWindow, "gradient", wrong)
    window = window_of_text(CELLS[0])
    assert [block.name for block in check_gradients(window) if not block.right] == ["weight_hh, layer 1"]


def test_a_gradient_of_zero_shows_nothing() -> None:
    assert not Block("bias", 1, 0.0, 0.0, None).right
    assert not Block("bias", 1, 1.0, 0.0, 1e-3).right


def test_another_task_is_refused() -> None:
    with pytest.raises(UsageError, match="no gradient check"):
        small_window(Checkpoint(NetworkConfig(), {"name": "other"}, {}, {}), "file")
