"""Train a small model on the ranks of MPI that run this, and print a digest of its checkpoint on rank 0.

Arguments: a corpus, the name of a cell, the groups.
"""

import hashlib
import sys

from rnn_cli.language.task import LanguageTask
from rnn_cli.network.config import NetworkConfig
from rnn_cli.text.corpus import load_corpus
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.data_parallel import Ranks
from rnn_cli.training.mpi import MpiRanks
from rnn_cli.training.trainer import Trainer


def digest_of(path: str, cell: str, groups: int, ranks: Ranks) -> str:
    """Return a digest of all tensors of a run that is stopped before its end."""
    corpus = load_corpus([path], as_bytes=False, line_mode=False, validation_fraction=0.2, random_seed=5)
    network = NetworkConfig.for_symbols(len(corpus.codec), cell=cell, hidden_size=16, num_layers=2)
    config = TrainingConfig(
        batch_size=14,
        sequence_length=8,
        learning_rate=0.01,
        dropout=0.3,
        recurrent_dropout=0.2,
        reset_chance=0.1,
        steps=50,
        evaluate_every=7,
        groups=groups,
    )
    trainer = Trainer(LanguageTask(corpus, network), config, threads=1)
    trainer.join(ranks)
    # One of the ranks wants to stop, and all do, after the next step.
    last = 25 if ranks.size == 1 else 24
    ranks.wish = lambda: ranks.rank == ranks.size - 1 and trainer.progress.step >= last
    assert sum(report.validation_loss is not None for report in trainer) == 3
    tensors = trainer.checkpoint().tensors()
    return hashlib.sha256(b"".join(tensors[name].tobytes() for name in sorted(tensors))).hexdigest()


if __name__ == "__main__":
    ranks = MpiRanks()
    digest = digest_of(sys.argv[1], sys.argv[2], int(sys.argv[3]), ranks)
    if ranks.rank == 0:
        print(digest)
