"""What tests of this folder share: a random network of each cell in float64, and a text as it reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from random_models import make_checkpoint

from rnn_cli.inspect.plain_model import PlainModel, read_symbols

TEXT = "abcahcabfdeab"


@pytest.fixture
def model(cell: Any) -> Any:
    """A network of two layers, and a text for it."""
    checkpoint = make_checkpoint(False, cell)
    return PlainModel.of_checkpoint(checkpoint, np.float64), read_symbols(checkpoint.codec, TEXT)
