"""What a network is made of, for kernels: its sizes, its arrays, and where each layer lies in them.

All arrays are flat and contiguous; entries take them as arrays and pass on their addresses. H is the padded hidden
size, W the padded width of a layer's output, S the number of states (h, or h and c). A layer with
two directions consists of two runs, each with weights of its own: the second reads the same input from the last step to
the first, and its output stands in the columns after those of the first. The members of a network that was trained as
several are runs of its layers, too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rnn_cli.kernels.compiler.jit import chosen_by_type, kernel
from rnn_cli.kernels.matmul.matrix import ONE, Matrix, Scratch
from rnn_cli.kernels.shared_row import SharedRow
from rnn_cli.kernels.simd.pointer import address


class Sizes(NamedTuple):
    """The sizes of a network and of the window that it runs on, in elements.

    `runs` are those of each layer, and `reverse` is 1 if every second one reads from the end. `hidden`, `width` and
    `columns` are padded to whole vectors: hidden_size `units`, runs * `units`, and `output_size`. `input_size` is the
    number of symbols, or the padded width of the numbers that are read. `plane` is the distance from one state to the
    next, as from h to c; `gates` is that from a row of gates to the next; `scratch` is the scratch for a row of the
    batch. `logit_rows` is T * B, or B if the logits of one step are kept at a time.
    """

    layers: int
    runs: int
    reverse: int
    length: int
    batch: int
    units: int
    hidden: int
    width: int
    blocks: int
    states: int
    input_columns: int
    recurrent_columns: int
    input_size: int
    output_size: int
    columns: int
    plane: int
    gates: int
    scratch: int
    logit_rows: int


PooledSizes = NamedTuple("PooledSizes", [(name, int) for name in Sizes._fields])  # type: ignore[misc]
"""The sizes of a network whose readout reads the mean of a text so far (pooling.py): kernels choose by this type."""

AttentiveSizes = NamedTuple("AttentiveSizes", [(name, int) for name in Sizes._fields])  # type: ignore[misc]
"""The sizes of a decoder whose readout reads its output and what it attends to (attention.py), from `pooled`."""


class Workspace(NamedTuple):
    """The arrays that a network needs to run forward on a window of T steps of B rows.

    parameters                     all weights
    offsets (runs + 1, 3)          the first elements of W_ih, W_hh and the bias of each run; in the last row those of
                                   the decoder's weight and bias
    packed                         the packed weights at the same offsets, in the element type of the products
    scratch                        room to convert left-hand operands to that type, a part for each row and each thread
    starts (1 + reverse, T, B)     1: the step starts from the zero state; for the second direction, where texts end
    mask (runs, B, H)              what the output is multiplied with: dropout
    preact (B, blocks H)           the pre-activations of one step, which stay in the inner caches
    gates (runs, T, B, `gates`)    the gates, then the gradient in the pre-activations: blocks H of a row. If products
                                   are in bfloat16, so are they, and products read them in place
    states (runs, S, T + 1, B, H)  forward in time, those before step t are at t; backward in time, at t + 1
    output (layers, T, B, W)       h * mask, as the next layer reads it. The last vector of the first direction reaches
                                   into the columns of the second, which is computed after it and overwrites them
    shares (T, B), pooled (T, B, W) the share of a step in the mean of the text so far, and that mean of the outputs; or
                                   in a decoder what attention makes of the outputs
    logits (logit_rows, columns), losses (T, B)
    """

    parameters: Any
    offsets: Any
    packed: Any
    scratch: Any
    starts: Any
    mask: Any
    preact: Any
    gates: Any
    states: Any
    output: Any
    shares: Any
    pooled: Any
    logits: Any
    losses: Any
    barrier: Any


@kernel
def addresses(arrays):
    """Return the workspace with the addresses of its arrays."""
    return Workspace(
        address(arrays.parameters),
        address(arrays.offsets),
        address(arrays.packed),
        address(arrays.scratch),
        address(arrays.starts),
        address(arrays.mask),
        address(arrays.preact),
        address(arrays.gates),
        address(arrays.states),
        address(arrays.output),
        address(arrays.shares),
        address(arrays.pooled),
        address(arrays.logits),
        address(arrays.losses),
        address(arrays.barrier),
    )


@chosen_by_type
def scratch_for(sizes, arrays, rows):
    """Return the scratch to convert some rows in, which is of this thread alone."""
    return scratch_of_part if rows.instance_class is SharedRow else scratch_of_rows


@kernel
def scratch_of_part(sizes, arrays, rows):
    """Return that of a thread."""
    return Scratch(arrays.scratch, rows.part * sizes.scratch)


@kernel
def scratch_of_rows(sizes, arrays, rows):
    """Return that of the rows."""
    return Scratch(arrays.scratch, rows.first * sizes.scratch)


class Backward(NamedTuple):
    """The further arrays that a gradient needs.

    packed_transposed  the transposed weights, packed, at the offsets of the weights
    dropped_weights    the recurrent weights after DropConnect, in the layout of the parameters
    grad               the gradient in the parameters, in their layout
    grad_output (runs, T, B, W)  the gradient in the output of a layer; with several runs layers alternate
    zeros, ones        a row of zeros to start sums from, a row of ones to sum columns with
    carry (runs, S, B, H)  the gradient in the final states, then that in the initial ones
    lhs_scratch, panel  scratch for each thread, in the element type of the products
    depth              the rows that are multiplied at once
    """

    packed_transposed: Any
    dropped_weights: Any
    grad: Any
    grad_output: Any
    zeros: Any
    ones: Any
    carry: Any
    lhs_scratch: Any
    panel: Any
    depth: int


@kernel
def backward_addresses(back, part):
    """Return the arrays of a thread by their addresses."""
    return Backward(
        address(back.packed_transposed),
        address(back.dropped_weights),
        address(back.grad),
        address(back.grad_output),
        address(back.zeros),
        address(back.ones),
        address(back.carry),
        address(back.lhs_scratch[part]),
        address(back.panel[part]),
        back.depth,
    )


class Layer(NamedTuple):
    """A layer in one direction, and where its part of each array begins. Made by `layer_of` only."""

    sizes: Any
    arrays: Any
    run: int
    reverse: int
    weight_ih: int
    weight_hh: int
    bias: int
    starts: int
    mask: int
    gates: int
    before: int
    after: int
    output: int
    grad_output: int
    carry: int


@kernel
def layer_of(sizes, arrays, layer, number):
    """Return a run of a layer. This is the only place that computes where its arrays begin.

    The states before and after step t are t * B * H elements after `before` and `after`. With two directions, `slack`
    elements more lie between the states of one run and the next, so that the initial states of all runs, at step 0
    forward in time and at step T backward, are equally far apart.
    """
    index, reverse = layer * sizes.runs + number, number % 2 * sizes.reverse
    step = sizes.batch * sizes.hidden
    slack = sizes.reverse * sizes.length * step
    states = slack + index * (sizes.states * sizes.plane + slack) - reverse * slack
    window = sizes.length * sizes.batch * sizes.width
    return Layer(
        sizes,
        arrays,
        index,
        reverse,
        arrays.offsets[3 * index],
        arrays.offsets[3 * index + 1],
        arrays.offsets[3 * index + 2],
        reverse * sizes.length * sizes.batch,
        index * step,
        index * sizes.length * sizes.batch * sizes.gates,
        states + reverse * step,
        states + (1 - reverse) * step,
        layer * window + number * sizes.units,
        layer % sizes.runs * window + number * sizes.units,
        index * sizes.states * step,
    )


@kernel
def decoder_offset(sizes, arrays, part):
    """Return where the weight (part 0) or the bias (1) of the decoder begins in the parameters."""
    return arrays.offsets[3 * sizes.layers * sizes.runs + part]


@chosen_by_type
def top_output(sizes, arrays, k):
    """Return what the readout reads as a matrix, from row k of all T * B on."""
    return last_output if sizes.instance_class is Sizes else pooled_output


@kernel
def pooled_output(sizes, arrays, k):
    """Return the means of the outputs, or what attention makes of them."""
    return Matrix(arrays.pooled, k * sizes.width, sizes.width, ONE)


@kernel
def last_output(sizes, arrays, k):
    """Return the output of the last layer."""
    start = ((sizes.layers - 1) * sizes.length * sizes.batch + k) * sizes.width
    return Matrix(arrays.output, start, sizes.width, ONE)
