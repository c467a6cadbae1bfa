"""Pass the equations of a cell to a kernel: a value whose Numba type stands for two Python functions.

A kernel that is called with other equations is compiled again, with them inlined. So a cell is written once, as plain
functions of tuples (see cells/cell.py), and runs as if it had been written into the loop by hand.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import NativeValue, intrinsic, models, register_model, typeof_impl, unbox

from rnn_cli.kernels.compiler.jit import chosen_by_type, kernel
from rnn_cli.kernels.simd.pointer import element_pointer
from rnn_cli.kernels.simd.vector import emit_load, emit_store, vector_of


@dataclass(frozen=True)
class Equations:
    """The two functions of a cell with the lengths of the tuples that they take: see cells/cell.py."""

    blocks: int
    states: int
    forward: Callable[..., Any]
    backward: Callable[..., Any]


class EquationsType(types.Opaque):
    """The Numba type of one cell's equations; it carries them, the value itself is empty."""

    def __init__(self, equations: Equations) -> None:
        self.equations = equations
        pair = (equations.forward, equations.backward)
        names = ", ".join(f"{function.__module__}.{function.__qualname__}" for function in pair)
        super().__init__(name=f"Equations({names})")


register_model(EquationsType)(models.OpaqueModel)


@typeof_impl.register(Equations)
def type_of_equations(equations, context):
    """Give each cell a type of its own."""
    return EquationsType(equations)


@unbox(EquationsType)
def unbox_equations(typ, obj, c):
    """Pass nothing: what matters is in the type."""
    return NativeValue(c.context.get_dummy_value())


@chosen_by_type
def cell_forward(cell, preact, previous):
    """Return (gates, state) of the cell's forward equations."""
    return inlined(cell.equations.forward)


@chosen_by_type
def cell_backward(cell, gates, previous, grad):
    """Return (grad_preact, grad_previous) of the cell's backward equations."""
    return inlined(cell.equations.backward)


@functools.cache
def inlined(function):
    """Return the kernel of the equations of a cell."""
    equations = kernel(function)
    if function.__code__.co_argcount == 2:
        return kernel(lambda cell, preact, previous: equations(preact, previous))
    return kernel(lambda cell, gates, previous, grad: equations(gates, previous, grad))


def tuple_loader(count_of):
    """Return an intrinsic that loads `count_of(equations)` vectors, `stride` elements apart, as a tuple."""

    @intrinsic
    def load_tuple(typingctx, cell, array, index, stride):
        count = count_of(cell.equations)
        vector = vector_of(array)

        def lower(context, builder, sig, args):
            values = []
            for number in range(count):
                at = builder.add(args[2], builder.mul(args[3], ir.IntType(64)(number)))
                values.append(emit_load(builder, vector, element_pointer(context, builder, sig.args[1], args[1], at)))
            return cgutils.pack_array(builder, values)

        return types.UniTuple(vector, count)(cell, array, types.intp, types.intp), lower

    return load_tuple


load_blocks = tuple_loader(lambda equations: equations.blocks)
load_states = tuple_loader(lambda equations: equations.states)


@intrinsic
def store_tuple(typingctx, array, index, stride, values):
    """Store the vectors of a tuple, `stride` elements apart."""

    def lower(context, builder, sig, args):
        for number in range(len(sig.args[3])):
            at = builder.add(args[1], builder.mul(args[2], ir.IntType(64)(number)))
            pointer = element_pointer(context, builder, sig.args[0], args[0], at)
            emit_store(builder, builder.extract_value(args[3], number), pointer)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, values), lower
