"""DropConnect on the recurrent weights (Wan et al. 2013; Merity, Keskar and Socher 2018)."""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.network.optimizer import BLOCK, block_count
from rnn_cli.kernels.simd.vector import VectorType, lanes, load, register_type, splat, store
from rnn_cli.kernels.threads import share_start

# The hash "triple32" (Wellons 2018): shift, exclusive or, multiply; and a last shift.
ROUNDS = ((17, 0xED5AD4BB), (11, 0xAC4C1B51), (15, 0x31848BAB))
LAST_SHIFT = 14


class DropConnect(NamedTuple):
    """Which recurrent weights a step leaves out: each with this probability, as the key decides."""

    probability: float = 0.0
    key: int = 0


@intrinsic
def keep_mask(typingctx, array, first, key, threshold):
    """Return 1 in each lane whose 32 random bits are at least `threshold`, else 0: a vector of the type of `array`.

    The bits are a hash of the index of the element, `first` for the first lane, and of a key of 64 bits. The halves of
    the key are mixed in before the first round and after it.
    """
    vector = VectorType(array.dtype)

    def lower(context, builder, sig, args):
        _, first, key, threshold = args
        register = register_type(vector)
        count, word = register.count, ir.IntType(32)
        words = ir.VectorType(word, count)

        def spread(number):
            return splat(builder, builder.trunc(number, word), words)

        bits = builder.add(spread(first), ir.Constant(words, list(range(count))))
        bits = builder.xor(bits, spread(key))
        for number, (shift, factor) in enumerate(ROUNDS):
            bits = builder.xor(bits, builder.lshr(bits, ir.Constant(words, [shift] * count)))
            bits = builder.mul(bits, ir.Constant(words, [factor] * count))
            if number == 0:
                bits = builder.xor(bits, spread(builder.lshr(key, ir.Constant(key.type, 32))))
        bits = builder.xor(bits, builder.lshr(bits, ir.Constant(words, [LAST_SHIFT] * count)))
        stay = builder.icmp_unsigned(">=", bits, spread(threshold))
        return builder.select(stay, ir.Constant(register, [1.0] * count), ir.Constant(register, None))

    return vector(array, types.int64, types.int64, types.int64), lower


@kernel
def drop_recurrent(target, source, offsets, dropconnect, share):
    """Copy W_hh of each layer from `source` to `target`, each element 0 with the probability, this share's blocks.

    The others are multiplied by 1 / (1 - probability). Which elements are 0 follows from the key and their index alone,
    so the same call turns the gradient in the weights that were used into that in the weights; then both arrays are the
    same one. `offsets` is that of the workspace (memory.py).
    """
    blocks = block_count(source)
    first = share_start(share.part, share.parts, blocks) * BLOCK
    last = share_start(share.part + 1, share.parts, blocks) * BLOCK
    threshold, scale = int(dropconnect.probability * 2.0**32), 1 / (1 - dropconnect.probability)
    for index in range(0, offsets.size - 3, 3):
        for k in range(max(first, offsets[index + 1]), min(last, offsets[index + 2]), lanes(source)):
            store(target, k, load(source, k) * keep_mask(source, k, dropconnect.key, threshold) * scale)
