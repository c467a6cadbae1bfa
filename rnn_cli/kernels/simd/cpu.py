"""Features of the processor: the width of its vectors, and the shape of the register tile of products.

A tile of R x C vectors needs R C accumulators, C vectors of the right-hand side and one number of the left.
"""

from __future__ import annotations

import ctypes
import platform
import sys

import numba
from llvmlite import binding
from numba.core import config


def cpu_features() -> set[str]:
    """Return the features that code is compiled for: NUMBA_CPU_FEATURES if it is set, else those of the host."""
    if config.CPU_FEATURES is not None:
        return {name[1:] for name in config.CPU_FEATURES.split(",") if name.startswith("+")}
    return {name for name, present in binding.get_host_cpu_features().items() if present}


def tile_shape(features: set[str], machine: str) -> tuple[int, int, int]:
    """Return (vector bytes, tile rows, tile vectors) for a machine with these features.

    AVX-512 and ARM have 32 registers, AVX2 and plain x86 have 16.
    """
    if "avx512f" in features:
        return 64, 6, 4
    if "avx2" in features:
        return 32, 6, 2
    if machine in ("aarch64", "arm64"):
        return 16, 6, 4
    return 16, 6, 2


def may_use_matrix_registers(features: set[str]) -> bool:
    """Return whether there are matrix registers (AMX) and Linux, which must be asked, lets this process use them."""
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    if "amx-bf16" not in features or sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    return ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data) == 0


VECTOR_BYTES, TILE_ROWS, TILE_VECTORS = tile_shape(cpu_features(), platform.machine())
NUMBA_VERSION = numba.__version__
HAS_BFLOAT16 = VECTOR_BYTES == 64 and "avx512bf16" in cpu_features()
HAS_AMX = HAS_BFLOAT16 and may_use_matrix_registers(cpu_features())
# On vectors, AMD multiplies pairs as fast as single numbers, Intel at a third of that speed.
HAS_FAST_BFLOAT16 = HAS_AMX or (HAS_BFLOAT16 and "sse4a" in cpu_features())
HAS_SCALING = VECTOR_BYTES == 64 and "avx512dq" in cpu_features()  # 2^n x and x - round(x) in one instruction each
