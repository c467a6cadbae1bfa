"""Everything that Numba compiles, and the only folder that imports it."""

import os

from rnn_cli.errors import RnnError

if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
    raise RnnError("NUMBA_DISABLE_JIT is set, and without the compiler there are no kernels; unset it")
