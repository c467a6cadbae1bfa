"""What a launcher of MPI (mpiexec, srun) says in the environment of the processes that it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

# The variables of the number and the rank of processes: Open MPI; MPICH, Intel MPI and MVAPICH; a job step of Slurm.
# SLURM_NTASKS would not do: it is set in a batch script, too, which runs once.
VARIABLES = [
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
]


class Launch(NamedTuple):
    """How many processes a launcher has started, and which of them this is."""

    size: int = 1
    rank: int = 0


def launched(environment: Mapping[str, str] = os.environ) -> Launch:
    """Return what a launcher says of this process; without a launcher, that it is alone."""
    for names in VARIABLES:
        size, rank = (environment.get(name, "") for name in names)
        if size.isdecimal() and rank.isdecimal() and int(size) > 1:
            return Launch(int(size), int(rank))
    return Launch()
