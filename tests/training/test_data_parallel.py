"""Data-parallel training: the same bits for any number of ranks, and close to a gradient without groups."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import STREAM_TEXT

from rnn_cli.errors import UsageError
from rnn_cli.language.task import LanguageTask
from rnn_cli.network.config import NetworkConfig
from rnn_cli.text.corpus import load_corpus
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.data_parallel import Ranks, share, subtrees, tree_sum
from rnn_cli.training.trainer import Trainer

PROGRAM = Path(__file__).with_name("ranks_program.py")
GROUPS = 6


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(STREAM_TEXT)
    return load_corpus([str(path)], as_bytes=False, line_mode=False, validation_fraction=0.2, random_seed=5)


def make_trainer(corpus, **values):
    network = NetworkConfig.for_symbols(len(corpus.codec), hidden_size=16)
    return Trainer(LanguageTask(corpus, network), TrainingConfig(sequence_length=8, steps=9, **values), threads=1)


@pytest.mark.parametrize("groups", [1, 2, 3, 5, 8, 12, 13])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7])
def test_subtrees_of_ranks_sum_as_one_tree(groups, ranks):
    if ranks > groups:
        ranks = groups
    values = np.random.default_rng(groups).standard_normal((groups, 64)).astype(np.float32)
    leaves = {(0, group): value for group, value in enumerate(values)}
    whole = tree_sum(leaves, groups)
    nodes = {}
    for rank in range(ranks):
        own = share(rank, ranks, groups)
        for node in subtrees(own, groups):
            nodes[node] = tree_sum({(0, group): values[group] for group in own}, groups, node)
    assert tree_sum(nodes, groups).tobytes() == whole.tobytes()
    assert np.allclose(whole, values.sum(axis=0), atol=1e-5)


def test_rank_sends_one_sum_if_its_groups_are_a_power_of_two():
    assert [len(subtrees(share(rank, 3, 12), 12)) for rank in range(3)] == [1, 1, 1]


@pytest.mark.parametrize("batch", [4, 7])
def test_groups_train_as_a_whole_batch(corpus, batch):
    one, three = (make_trainer(corpus, batch_size=batch, groups=groups) for groups in (1, 3))
    pairs = list(zip(one, three, strict=True))
    assert pairs
    for a, b in pairs:
        assert a.loss == pytest.approx(b.loss, rel=1e-4)
        assert a.grad_norm == pytest.approx(b.grad_norm, rel=1e-3)
    assert np.allclose(one.window.state, three.window.state, atol=1e-3)


def test_more_groups_than_rows_are_refused(corpus):
    with pytest.raises(UsageError, match="`groups=5` is more than the 4 rows"):
        make_trainer(corpus, batch_size=4, groups=5)


def test_more_ranks_than_groups_are_refused(corpus):
    trainer = make_trainer(corpus, batch_size=4, groups=2)
    ranks = Ranks()
    ranks.size = 3
    with pytest.raises(UsageError, match="2 groups, so it takes at most 2 ranks, not 3"):
        trainer.join(ranks)


def test_configuration_of_an_older_file_has_one_group():
    values = TrainingConfig(steps=1).to_dict()
    del values["groups"]
    assert TrainingConfig.from_dict(values) == TrainingConfig(steps=1)


@pytest.fixture
def launch():
    """Return a function that runs a Python program on some ranks and returns its stdout."""
    pytest.importorskip("mpi4py", reason="there is no MPI")
    mpiexec = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if mpiexec is None:
        pytest.skip("there is no MPI")

    def run(ranks, *program):
        launcher = [mpiexec, "-n", str(ranks)] if ranks else []
        command = [*launcher, sys.executable, *map(str, program)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    return run


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_any_number_of_ranks_gives_the_same_bits(tmp_path, launch, name):
    path = tmp_path / "text.txt"
    path.write_text(STREAM_TEXT)
    digests = {launch(ranks, PROGRAM, path, name, GROUPS).strip() for ranks in (None, 1, 2, 3, 4)}
    assert len(digests) == 1
    assert len(digests.pop()) == 64


DIFFERENT_WEIGHTS = """
import numpy as np
from rnn_cli.errors import RnnError
from rnn_cli.training.mpi import MpiRanks

ranks = MpiRanks()
ranks.check_equal(np.ones(3))
try:
    ranks.check_equal(np.full(3, ranks.rank == 1))
except RnnError as error:
    print(error)
"""


def test_ranks_with_different_weights_are_noticed(launch):
    said = launch(3, "-c", DIFFERENT_WEIGHTS)
    assert said.count("the ranks came to different weights; run them on machines with the same processor") == 3
