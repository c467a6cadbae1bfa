"""What an export leaves out of a model is said: to the user, on the page, in the header and on the card."""

import pytest
from portable_models import random_checkpoint

from rnn_cli.export.c import c_header
from rnn_cli.export.html import html_page
from rnn_cli.export.hub import card
from rnn_cli.export.portable import Portable
from rnn_cli.export.targets import Request, export_files
from rnn_cli.language.ngrams import NgramModel

SENTENCE = "the n-gram counts are left out: this is the network alone"


@pytest.fixture
def checkpoint():
    """Return a language model with counts."""
    found = random_checkpoint("language")
    ids = found.codec.frame(found.codec.encode("abcab\ncab\n"))
    found.counts = NgramModel.of(ids, len(found.codec), found.codec.line_mode, 3).to_tensors()
    found.record["mixture"] = {"network_loss": 1.0, "loss": 1.0 - 0.25 * 0.6931472}
    return found


@pytest.mark.parametrize("target", ["c", "html", "numpy", "hub"])
def test_the_user_is_told(checkpoint, tmp_path, target):
    remarks = export_files(target, Request(checkpoint, tmp_path / "new", "mit"))[1]
    assert f"{SENTENCE}, which needs 0.250 bits per symbol more" in remarks


def test_page_header_and_card_say_so(checkpoint):
    model = Portable.of_checkpoint(checkpoint)
    assert c_header(model).decode().count(f"/* {SENTENCE}, which needs 0.250 bits per symbol more */") == 1
    assert f"{SENTENCE}, which needs 0.250 bits".encode() in html_page(model, "title")
    assert "left out: n-gram counts" in card(model, checkpoint.record, "mit")


def test_a_model_without_counts_leaves_nothing_out(checkpoint):
    checkpoint.counts = {}
    model = Portable.of_checkpoint(checkpoint)
    assert model.remark == ""
    assert SENTENCE.encode() not in html_page(model, "title") + c_header(model)


def test_a_damaged_record_costs_nothing(checkpoint):
    checkpoint.record["mixture"] = {"network_loss": "*/", "loss": float("nan")}
    assert Portable.of_checkpoint(checkpoint).remark == SENTENCE
