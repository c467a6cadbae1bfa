"""The memory that is foretold is what a run takes at its peak, saves and all."""

import subprocess
import sys

import pytest

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

hidden, layers, batch, length, characters, average, dropout, augment = map(float, sys.argv[2:])
generator = np.random.default_rng(1)
with Spool() as spool:
    spool.write(bytes(1))
    for _ in range(int(characters) // 10_000):
        spool.write(generator.integers(1, 9, 10_000, dtype=np.uint8))
    ids = spool.array(np.uint8)
corpus = Corpus("text", "00", CharacterCodec("".join(map(chr, range(48, 112))), False), ids, ids[:5000], "", "", 0, 0)
model = NetworkConfig.for_symbols(65, hidden_size=int(hidden), num_layers=int(layers))
config = TrainingConfig(
    batch_size=int(batch), sequence_length=int(length), steps=10, evaluate_every=8, average=average,
    recurrent_dropout=dropout, augment=augment,
)
task = LanguageTask(corpus, model)
trainer = Trainer(task, config, 2)
trainer.stop = lambda: trainer.progress.step == 8
list(trainer)
assert trainer.good.progress.step == 8
save_checkpoint(sys.argv[1], trainer.checkpoint())
# Not ru_maxrss, which begins at what the process had that started this one.
(peak,) = (line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
print(peak_memory(model, config, task.data_bytes(config)), peak)
"""
SIZES = {
    "many parameters": (512, 1, 8, 16, 10_000, 0.5, 0.3, 0),
    "a large window": (64, 2, 128, 96, 20_000, 0, 0, 0),
    "a long text": (32, 1, 16, 16, 60_000_000, 0, 0, 0),
    "an augmented text": (32, 1, 16, 16, 900_000, 0, 0, 10),
}


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc/self/status")
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_memory_estimate_is_close_to_the_measured_one(tmp_path, sizes):
    def run(characters):
        numbers = [*sizes[:4], characters, *sizes[5:]]
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "model"), *map(str, numbers)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return map(int, done.stdout.split())

    run(10_000)  # which may compile, and that takes memory
    foretold, kilobytes = run(sizes[4])
    assert foretold == pytest.approx(1024 * kilobytes, rel=0.2)
