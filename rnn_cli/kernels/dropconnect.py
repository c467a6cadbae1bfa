"""DropConnect on the recurrent weights (Wan et al. 2013; Merity, Keskar and Socher 2018)."""

from __future__ import annotations

import numpy as np

from rnn_cli.kernels.jit import kernel
from rnn_cli.kernels.matmul import even_start
from rnn_cli.kernels.update import BLOCK, block_count


@kernel
def scramble(number, key):
    """Return 32 well-mixed bits of a number: the hash "triple32" (Wellons 2018), with a key of 64 bits."""
    number = np.uint32(np.uint32(number) ^ np.uint32(key))
    number = np.uint32(np.uint32(number ^ (number >> np.uint32(17))) * np.uint32(0xED5AD4BB))
    number = np.uint32(number ^ np.uint32(key >> np.uint64(32)))
    number = np.uint32(np.uint32(number ^ (number >> np.uint32(11))) * np.uint32(0xAC4C1B51))
    number = np.uint32(np.uint32(number ^ (number >> np.uint32(15))) * np.uint32(0x31848BAB))
    return np.uint32(number ^ (number >> np.uint32(14)))


@kernel
def drop_recurrent(target, source, net, places, dropout, key, part, parts):
    """Put W_hh of each layer of `source` into `target`, each element 0 with probability `dropout`, this part's blocks.

    The others are multiplied by 1 / (1 - dropout). Which ones are 0 follows from the key and their places alone, so
    this is also how the gradient in what was used becomes that in the weights; then both arrays are the same one.
    """
    blocks = block_count(source)
    first = even_start(part, parts, blocks) * BLOCK
    last = even_start(part + 1, parts, blocks) * BLOCK
    threshold = np.uint32(dropout * 2.0**32)
    scale, zero = source.dtype.type(1 / (1 - dropout)), source.dtype.type(0)
    bits = np.uint64(key)
    for layer in range(net.layers):
        start, end = max(first, places[layer, 1]), min(last, places[layer, 2])
        # Of slices the compiler knows that no index is negative; only then does it make vectors of the loop.
        before, after = source[start:end], target[start:end]
        for k in range(end - start):
            after[k] = before[k] * scale if scramble(start + k, bits) >= threshold else zero
