"""A SIMD vector as a value: the type in which cells and kernels compute.

`Vector` holds as many float32 or float64 numbers as a register of the machine. + - * / and negation work lane by
lane; a plain number beside a vector stands for a vector of that number. Code written with it is always vectorised, for
both types from one source.

    load(array, k)        the vector at element k of a contiguous array, whatever its dimensions
    store(array, k, x)    store the vector x there
    prefetch(array, k)    prefetch element k; the address may be out of bounds
    fma(a, b, c)          a * b + c, rounded once if the machine can
    maximum, minimum, round_even, square_root, sum_lanes, power_of_two, exponent
    first_lanes(x, n, r)  the first n lanes of x, and r in all others

An array of uint16 holds numbers in bfloat16: `load` widens them to float32, `store` rounds to nearest, ties to even.

There are no bounds checks: callers of kernels check shapes.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic, lower_cast, models, register_model
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

from rnn_cli.kernels.simd.cpu import VECTOR_BYTES
from rnn_cli.kernels.simd.pointer import element_pointer

INDEX = ir.IntType(64)
HALF = types.uint16  # the element type of an array in bfloat16
NARROW = "llvm.x86.avx512bf16.cvtneps2bf16.512"


def lanes_of(dtype) -> int:
    """Return the number of elements of this Numba type in a vector."""
    return VECTOR_BYTES * 8 // dtype.bitwidth


class VectorType(types.Type):
    """The Numba type of a vector of `dtype`."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype}, {lanes_of(dtype)})")


class BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite does not know."""

    def _to_string(self):
        return "bfloat"

    def __eq__(self, other):
        """Say whether the other type is bfloat too."""
        return isinstance(other, BFloat)

    def __hash__(self):
        """Return the same for all."""
        return hash(BFloat)


def vector_of(array):
    """Return the type of the vectors that an array of this Numba type is loaded into: float32 if it holds bfloat16."""
    return VectorType(types.float32 if array.dtype == HALF else array.dtype)


def element_type(vector):
    """Return the LLVM type of one lane: a float32, a float64, or a word that holds a pair (see bfloat16.py)."""
    if vector.dtype == types.uint32:
        return ir.IntType(32)
    return ir.FloatType() if vector.dtype == types.float32 else ir.DoubleType()


def register_type(vector):
    """Return the LLVM type of the whole vector."""
    return ir.VectorType(element_type(vector), lanes_of(vector.dtype))


def integer_register_type(vector):
    """Return the LLVM type of a vector of integers of the same width."""
    return ir.VectorType(ir.IntType(vector.dtype.bitwidth), lanes_of(vector.dtype))


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    """A vector lives in one register."""

    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, register_type(fe_type))


def splat(builder, scalar, register):
    """Emit a vector whose lanes all hold `scalar`."""
    undefined = ir.Constant(register, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), register.count), None)
    return builder.shuffle_vector(first, undefined, lanes)


@lower_cast(types.Integer, VectorType)
@lower_cast(types.Float, VectorType)
def number_to_vector(context, builder, fromty, toty, value):
    """Make a vector of a plain number, which takes the vector's type."""
    return splat(builder, context.cast(builder, value, fromty, toty.dtype), register_type(toty))


class VectorOperator(AbstractTemplate):
    """Typing of the operators: a vector with a vector or a number is a vector."""

    def generic(self, args, kws):
        """Return the signature if one of the arguments is a vector."""
        vectors = [arg for arg in args if isinstance(arg, VectorType)]
        if vectors and all(isinstance(arg, types.Number) or arg == vectors[0] for arg in args):
            return signature(vectors[0], *[vectors[0]] * len(args))
        return None


for symbol, instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
    (operator.neg, "fneg"),
):
    infer_global(symbol)(type(f"Vector_{instruction}", (VectorOperator,), {}))

    def lower_operator(context, builder, sig, args, instruction=instruction):
        """Emit the instruction for the whole vector."""
        return getattr(builder, instruction)(*args)

    lower_builtin(symbol, *[VectorType] * (1 if symbol is operator.neg else 2))(lower_operator)


def vector_function(arity):
    """Turn an emitter of (builder, vector type, *vectors) into a function of `arity` vectors that returns one."""

    def decorate(emit):
        def lower(context, builder, sig, args):
            return emit(builder, sig.return_type, *args)

        def typed(*vectors):
            vector = next(arg for arg in vectors if isinstance(arg, VectorType))
            return vector(*[vector] * len(vectors)), lower

        # Numba reads the arity from the signature, so each has to be spelled out.
        if arity == 1:
            return intrinsic(lambda typingctx, x: typed(x))
        if arity == 2:
            return intrinsic(lambda typingctx, x, y: typed(x, y))
        return intrinsic(lambda typingctx, x, y, z: typed(x, y, z))

    return decorate


def emit_call(builder, name, result, args):
    """Emit a call of the function `name`, one of LLVM's or one of C, which returns `result`."""
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def call_llvm(builder, name, register, args):
    """Emit a call of the LLVM intrinsic `name` for this register type (llvmlite cannot name vector types itself)."""
    suffix = f"v{register.count}{'f32' if register.element == ir.FloatType() else 'f64'}"
    return emit_call(builder, f"{name}.{suffix}", register, args)


@intrinsic
def lanes(typingctx, array):
    """Return the number of elements of `array` in a vector."""

    def lower(context, builder, sig, args):
        return context.get_constant(types.intp, lanes_of(vector_of(array).dtype))

    return types.intp(array), lower


def emit_load(builder, vector, pointer):
    """Emit a load of a vector from the address of its first number, which may be in bfloat16."""
    register, element = register_type(vector), pointer.type.pointee
    stored = ir.VectorType(element, register.count)
    value = builder.load(builder.bitcast(pointer, stored.as_pointer()), align=element_bytes(element))
    return value if stored == register else widened(builder, value)


def emit_store(builder, value, pointer):
    """Emit a store of a vector to the address of its first number, which may be in bfloat16."""
    element = pointer.type.pointee
    if element != value.type.element:
        value = narrowed(builder, value)
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=element_bytes(element))


def element_bytes(element):
    """Return the size of an element of this LLVM type."""
    return {ir.FloatType(): 4, ir.DoubleType(): 8}.get(element) or element.width // 8


def widened(builder, halves):
    """Emit the vector of float32 of the bits of numbers in bfloat16."""
    words = ir.VectorType(ir.IntType(32), halves.type.count)
    upper = builder.shl(builder.zext(halves, words), ir.Constant(words, [16] * words.count))
    return builder.bitcast(upper, ir.VectorType(ir.FloatType(), words.count))


def narrowed(builder, vector):
    """Emit the bits of a vector of float32, rounded to 16 bits."""
    rounded = emit_call(builder, NARROW, ir.VectorType(BFloat(), vector.type.count), [vector])
    return builder.bitcast(rounded, ir.VectorType(ir.IntType(16), vector.type.count))


@intrinsic
def load(typingctx, array, index):
    """Return the vector at element `index` of the contiguous `array`."""
    vector = vector_of(array)

    def lower(context, builder, sig, args):
        return emit_load(builder, vector, element_pointer(context, builder, sig.args[0], *args))

    return vector(array, types.intp), lower


@intrinsic
def store(typingctx, array, index, value):
    """Store the vector `value` at element `index` of the contiguous `array`."""
    vector = vector_of(array)

    def lower(context, builder, sig, args):
        emit_store(builder, args[2], element_pointer(context, builder, sig.args[0], *args[:2]))
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), lower


@intrinsic
def broadcast(typingctx, array, number):
    """Return a vector of the element type of `array`, with `number` in every lane."""
    vector = VectorType(array.dtype)

    def lower(context, builder, sig, args):
        return splat(builder, args[1], register_type(vector))

    return vector(array, array.dtype), lower


@intrinsic
def first_lanes(typingctx, x, count, rest):
    """Return x with the number `rest` in all lanes but the first `count`."""

    def lower(context, builder, sig, args):
        integers = integer_register_type(sig.return_type)
        numbers = ir.Constant(integers, list(range(integers.count)))
        limit = splat(builder, builder.trunc(args[1], integers.element), integers)
        rest = splat(builder, args[2], register_type(sig.return_type))
        return builder.select(builder.icmp_signed("<", numbers, limit), args[0], rest)

    return x(x, types.intp, x.dtype), lower


@intrinsic
def sum_lanes(typingctx, x):
    """Return the sum of the lanes, halves added to halves: a fixed order."""

    def lower(context, builder, sig, args):
        return fold_lanes(builder, args[0], lambda a, b: builder.fadd(a, b))

    return x.dtype(x), lower


@intrinsic
def maximum_lane(typingctx, x):
    """Return the largest lane."""

    def lower(context, builder, sig, args):
        def larger(a, b):
            return builder.select(builder.fcmp_ordered(">", a, b), a, b)

        return fold_lanes(builder, args[0], larger)

    return x.dtype(x), lower


def fold_lanes(builder, value, combine):
    """Emit `combine` of the two halves of `value`, and of the halves of that, down to one number."""
    count = value.type.count
    while count > 1:
        count //= 2
        halves = [
            builder.shuffle_vector(
                value,
                ir.Constant(value.type, ir.Undefined),
                ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(start, start + count))),
            )
            for start in (0, count)
        ]
        value = combine(*halves)
    return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))


@vector_function(3)
def fma(builder, vector, a, b, c):
    """Return a * b + c; llvm.fmuladd never calls a library where the machine has no such instruction."""
    return call_llvm(builder, "llvm.fmuladd", register_type(vector), [a, b, c])


@vector_function(2)
def maximum(builder, vector, a, b):
    """Return the larger of each lane; where one is not a number, b."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@vector_function(2)
def minimum(builder, vector, a, b):
    """Return the smaller of each lane; where one is not a number, b."""
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


@vector_function(1)
def is_positive(builder, vector, x):
    """Return 1 in each lane that is greater than 0, else 0."""
    register = register_type(vector)
    zero = ir.Constant(register, None)
    one = ir.Constant(register, [1.0] * register.count)
    return builder.select(builder.fcmp_ordered(">", x, zero), one, zero)


@vector_function(1)
def square_root(builder, vector, x):
    """Return the square root of each lane."""
    return call_llvm(builder, "llvm.sqrt", register_type(vector), [x])


@vector_function(1)
def round_even(builder, vector, x):
    """Return each lane rounded to the nearest whole number."""
    return call_llvm(builder, "llvm.rint", register_type(vector), [x])


@vector_function(1)
def power_of_two(builder, vector, n):
    """Return 2 to the whole number in each lane, which must be the exponent of a normal number."""
    mantissa, bias = (23, 127) if vector.dtype == types.float32 else (52, 1023)
    integers = integer_register_type(vector)
    exponent = builder.fptosi(n, integers)
    exponent = builder.add(exponent, ir.Constant(integers, [bias] * integers.count))
    exponent = builder.shl(exponent, ir.Constant(integers, [mantissa] * integers.count))
    return builder.bitcast(exponent, register_type(vector))


@vector_function(1)
def exponent(builder, vector, x):
    """Return the whole n in each lane for which x / 2^n is in [sqrt(1/2), sqrt(2)); x must be positive and normal."""
    mantissa, root = (23, 0x3F3504F3) if vector.dtype == types.float32 else (52, 0x3FE6A09E667F3BCD)
    integers = integer_register_type(vector)
    above = builder.sub(builder.bitcast(x, integers), ir.Constant(integers, [root] * integers.count))
    n = builder.ashr(above, ir.Constant(integers, [mantissa] * integers.count))
    return builder.sitofp(n, register_type(vector))


@intrinsic
def prefetch(typingctx, array, index):
    """Prefetch element `index` of `array`; the address may be out of bounds."""

    def lower(context, builder, sig, args):
        emit_prefetch(builder, element_pointer(context, builder, sig.args[0], *args))
        return context.get_dummy_value()

    return types.void(array, types.intp), lower


def emit_prefetch(builder, pointer):
    """Emit a prefetch of an address, which may be out of bounds."""
    word = ir.IntType(32)
    for_reading, near, data = word(0), word(3), word(1)
    address = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    emit_call(builder, "llvm.prefetch.p0", ir.VoidType(), [address, for_reading, near, data])
