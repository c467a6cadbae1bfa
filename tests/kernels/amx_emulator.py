"""The instructions on Intel's matrix registers (AMX) in Python, for processors that have none.

Imported before any other module of rnn_cli, it makes all kernels use matrix registers, and `emit` of amx.py call the
functions below instead. Each checks what the processor would refuse, and that memory is touched only where it may be.
There is one set of registers, so kernels must run on one thread, and nothing that is compiled may be kept.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, TDPBF16PS and the like.
"""

import contextlib
import ctypes
from collections import Counter

import numpy as np
import pytest
from llvmlite import binding, ir

from rnn_cli.kernels.simd import cpu

cpu.HAS_AMX = True

from rnn_cli.kernels.matmul import amx  # noqa: E402 - the modules that it imports take over HAS_AMX
from rnn_cli.kernels.simd.vector import emit_call  # noqa: E402

REGISTERS, MOST_ROWS, MOST_BYTES = 8, 16, 64
WORD = ir.IntType(64)


class RefusedError(Exception):
    """What the processor would answer with an exception, or what reads or writes other memory."""


class Processor:
    """The matrix registers: their shapes and contents, what was executed, and which memory may be touched.

    `readable` and `writable` hold the first address and the one after the last of each array, or None for any memory.
    """

    def __init__(self):
        """Begin without a configuration."""
        self.configuration = bytes(64)
        self.contents = [None] * REGISTERS
        self.executed, self.problems = Counter(), []
        self.readable = self.writable = None

    @contextlib.contextmanager
    def touching_only(self, read, written):
        """Refuse to touch memory outside of these arrays; those that are written are read as well."""
        spans = [[(a.ctypes.data, a.ctypes.data + a.nbytes) for a in arrays] for arrays in (read, written)]
        self.readable, self.writable = spans[0] + spans[1], spans[1]
        yield
        self.readable = self.writable = None

    def shape(self, register):
        """Return the rows of a register, and the bytes of each."""
        if self.configuration[0] != 1:
            raise RefusedError("there is no configuration")
        if not 0 <= register < REGISTERS:
            raise RefusedError(f"there is no register {register}")
        rows = self.configuration[48 + register]
        row_bytes = int.from_bytes(self.configuration[16 + 2 * register :][:2], "little")
        if not (0 < rows <= MOST_ROWS and 0 < row_bytes <= MOST_BYTES):
            raise RefusedError(f"register {register} has {rows} rows of {row_bytes} bytes")
        return rows, row_bytes

    def memory(self, register, address, stride, spans):
        """Return the rows of a register in memory, as an array of bytes."""
        rows, row_bytes = self.shape(register)
        count = (rows - 1) * stride + row_bytes
        allowed = spans is None or any(first <= address and address + count <= last for first, last in spans)
        if stride < 0 or not allowed:
            raise RefusedError(f"{rows} rows of register {register} are not in an array")
        memory = (ctypes.c_uint8 * count).from_address(address)
        return np.ndarray((rows, row_bytes), np.uint8, memory, strides=(stride, 1))

    def loaded(self, register, dtype):
        """Return the contents of a register."""
        if self.contents[register] is None:
            raise RefusedError(f"register {register} was not loaded")
        return np.frombuffer(self.contents[register], dtype).reshape(self.shape(register)[0], -1)

    def pairs(self, register):
        """Return the lower and the upper halves of the words of a register."""
        words = self.loaded(register, np.uint32)
        return [half.view(np.float32).astype(np.float64) for half in (words << 16, words & 0xFFFF0000)]

    def sttilecfg(self, address):
        """Store the configuration."""
        ctypes.memmove(address, self.configuration, 64)

    def ldtilecfg(self, address):
        """Load the configuration: the palette, then bytes from row to row, 16 bits each, and rows, 8 bits each."""
        self.configuration = ctypes.string_at(address, 64)
        self.contents = [None] * REGISTERS
        others = [*self.configuration[1:16], *self.configuration[32:48], *self.configuration[56:]]
        if self.configuration[0] != 1 or any(others):
            raise RefusedError("the configuration sets what is reserved")
        for register in range(REGISTERS):
            self.shape(register)

    def tileloadd64(self, register, address, stride):
        """Load a register."""
        self.contents[register] = self.memory(register, address, stride, self.readable).tobytes()

    def tilestored64(self, register, address, stride):
        """Store a register."""
        self.memory(register, address, stride, self.writable)[:] = self.loaded(register, np.uint8)

    def tdpbf16ps(self, c, a, b):
        """Add to C the products of the pairs of A and B, summed in float64 so that their order does not matter."""
        (rows, c_bytes), (a_rows, a_bytes), (b_rows, b_bytes) = map(self.shape, (c, a, b))
        if len({a, b, c}) < 3 or (a_rows, b_bytes, b_rows * 4) != (rows, c_bytes, a_bytes):
            raise RefusedError(f"registers {c}, {a}, {b} do not match")
        (a_low, a_high), (b_low, b_high) = self.pairs(a), self.pairs(b)
        sums = self.loaded(c, np.float32) + (a_low @ b_low + a_high @ b_high).astype(np.float32)
        self.contents[c] = sums.tobytes()


processor = Processor()


def instruction(name, arity):
    """Return a C function that executes an instruction, and keeps its problems: an exception would not arrive."""

    def execute(*args):
        processor.executed[name] += 1
        try:
            getattr(processor, name)(*args)
        except Exception as problem:
            processor.problems.append(f"{name}: {problem}")

    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arity)(execute)


ARITIES = {"sttilecfg": 1, "ldtilecfg": 1, "tileloadd64": 3, "tilestored64": 3, "tdpbf16ps": 3}
functions = {name: instruction(name, arity) for name, arity in ARITIES.items()}
for name, function in functions.items():
    binding.add_symbol(f"emulated_{name}", ctypes.cast(function, ctypes.c_void_p).value)


def emit(builder, name, *args):
    """Emit a call of the function in place of the instruction."""
    values = [WORD(arg) if isinstance(arg, int) else arg for arg in args]
    values = [builder.ptrtoint(value, WORD) if isinstance(value.type, ir.PointerType) else value for value in values]
    emit_call(builder, f"emulated_{name}", ir.VoidType(), values)


amx.emit = emit


@pytest.fixture(autouse=True)
def accepted():
    """Give a test the processor, and fail it if an instruction was refused."""
    processor.__init__()
    yield processor
    assert processor.problems[:3] == []
