"""The memory that is foretold is what a run takes at its peak, saves and all."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnn_cli.cells import Cell
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import TrainingWindow
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.memory_estimate import peak_memory

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from rnn_cli.checkpoint.checkpoint import save_checkpoint
from rnn_cli.network.config import NetworkConfig
from rnn_cli.training.config import TrainingConfig
from rnn_cli.language.task import LanguageTask
from rnn_cli.text.corpus import Corpus
from rnn_cli.training.memory_estimate import peak_memory
from rnn_cli.text.spool import Spool
from rnn_cli.training.trainer import Trainer
from rnn_cli.text.codecs import CharacterCodec

hidden, layers, batch, length, characters, average, dropout, augment, counts = map(float, sys.argv[2:])
generator = np.random.default_rng(1)
with Spool() as spool:
    spool.write(bytes(1))
    words = generator.integers(1, 9 + 18 * int(counts), (1000, 5), dtype=np.uint8)
    for _ in range(int(characters) // 10_000):
        text = words[generator.zipf(1.2, 2000) % 1000].ravel()
        spool.write(text if counts else generator.integers(1, 9, 10_000, dtype=np.uint8))
    ids = spool.array(np.uint8)
corpus = Corpus("text", "00", CharacterCodec("".join(map(chr, range(48, 112))), False), ids, ids[:5000], "", "", 0, 0)
model = NetworkConfig.for_symbols(65, hidden_size=int(hidden), num_layers=int(layers))
config = TrainingConfig(
    batch_size=int(batch), sequence_length=int(length), steps=10, evaluate_every=8, average=average,
    recurrent_dropout=dropout, augment=augment, counts=bool(counts),
)
task = LanguageTask(corpus, model)
trainer = Trainer(task, config, 2)
trainer.stop = lambda: trainer.progress.step == 8 and not counts  # the counts come at the end of a run
list(trainer)
assert trainer.good.progress.step == 8 or counts
save_checkpoint(sys.argv[1], trainer.checkpoint())
# Not ru_maxrss, which begins at what the process had that started this one.
(peak,) = (line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
print(peak_memory(model, config, task.data_bytes(config)), peak)
"""
SIZES = {
    "many parameters": (512, 1, 8, 16, 10_000, 0.5, 0.3, 0, 0),
    "a large window": (64, 2, 128, 96, 20_000, 0, 0, 0, 0),
    "a long text": (32, 1, 16, 16, 60_000_000, 0, 0, 0, 0),
    "an augmented text": (32, 1, 16, 16, 900_000, 0, 0, 10, 0),
    "a counted text": (32, 1, 16, 16, 6_000_000, 0, 0, 0, 1),
}


needs_status = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc/self/status")


def foretold_and_taken(tmp_path: Path, *sizes: float) -> tuple[int, int]:
    """Return the bytes that are foretold for a run, and those that it takes at its peak."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "model"), *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    foretold, kilobytes = map(int, done.stdout.split())
    return foretold, 1024 * kilobytes


@needs_status
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_memory_estimate_is_close_to_the_measured_one(tmp_path: Path, sizes: tuple[float, ...]) -> None:
    foretold_and_taken(tmp_path, *sizes[:4], 10_000, *sizes[5:])  # which may compile, and that takes memory
    foretold, taken = foretold_and_taken(tmp_path, *sizes)
    assert foretold == pytest.approx(taken, rel=0.2)


@needs_status
def test_estimate_of_an_augmented_text_is_what_it_adds(tmp_path: Path) -> None:
    sizes = SIZES["an augmented text"]
    small = 0, 0
    for _ in range(2):  # the first one may compile
        small = foretold_and_taken(tmp_path, *sizes[:4], 10_000, *sizes[5:])
    large = foretold_and_taken(tmp_path, *sizes)
    assert large[0] - small[0] == pytest.approx(large[1] - small[1], rel=0.25)


def bytes_of(window: TrainingWindow) -> int:
    """Return the bytes of the float arrays that a window works in."""
    arrays = [value for value in (*window.arrays, *window.back) if isinstance(value, np.ndarray)]
    return sum(array.nbytes for array in arrays if array.dtype == np.float32)


def test_foretold_window_is_that_of_its_arrays(cell: Cell, team: Team) -> None:
    """Gates, states and outputs of each layer, the gradient in an output, the logits: each is a twentieth or more."""
    config = NetworkConfig.for_symbols(64, cell=cell.name, activation=cell.activation, hidden_size=32, num_layers=3)
    foretold, taken = [], []
    for length in (8, 24):
        training = TrainingConfig(batch_size=4, sequence_length=length, steps=1)
        foretold.append(peak_memory(config, training, 0))
        taken.append(bytes_of(TrainingWindow(Model.initialised(config, np.random.default_rng(1)), length, 4, team)))
    assert foretold[1] - foretold[0] == pytest.approx(taken[1] - taken[0], rel=0.02)


def test_foretold_average_is_kept_as_often_as_a_moment(team: Team) -> None:
    """In the window, in two good states, and in the state that is saved and its bytes."""
    config = NetworkConfig.for_symbols(64, hidden_size=32)
    without, with_average = (peak_memory(config, TrainingConfig(steps=1, average=share), 0) for share in (0.0, 0.1))
    window = TrainingWindow(Model.initialised(config, np.random.default_rng(1)), 8, 4, team)
    assert with_average - without == 5 * window.average.nbytes
