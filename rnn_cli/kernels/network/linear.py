"""The readout: a linear map from the output of the last layer to logits, or to numbers."""

from __future__ import annotations

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.matrix import ONE, Matrix, Packed
from rnn_cli.kernels.matmul.packing import ZERO
from rnn_cli.kernels.matmul.product import multiply_onto
from rnn_cli.kernels.network.memory import decoder_offset, scratch_for, top_output


@kernel
def readout_forward(sizes, arrays, t, rows):
    """Compute logits_t (B, V) = output_t (B, W) of the last layer times the decoder, for some rows."""
    k = t * sizes.batch + rows.first
    scratch = scratch_for(sizes, arrays, rows)
    weight = Packed(arrays.packed, decoder_offset(sizes, arrays, ZERO), sizes.width, sizes.columns, scratch)
    bias = Matrix(arrays.parameters, decoder_offset(sizes, arrays, ONE), ZERO, ONE)
    logits = Matrix(arrays.logits, k % sizes.logit_rows * sizes.columns, sizes.columns, ONE)
    multiply_onto(logits, bias, top_output(sizes, arrays, k), rows, weight)


@kernel
def readout_backward(top, back, t, rows):
    """Compute the gradient in output_t (B, W) of the last layer from grad_logits_t (B, V), for some rows."""
    sizes, arrays = top.sizes, top.arrays
    k = t * sizes.batch + rows.first
    scratch = scratch_for(sizes, arrays, rows)
    weight = Packed(back.packed_transposed, decoder_offset(sizes, arrays, ZERO), sizes.columns, sizes.width, scratch)
    grad_output = Matrix(back.grad_output, top.grad_output + k * sizes.width, sizes.width, ONE)
    grad_logits = Matrix(arrays.logits, k % sizes.logit_rows * sizes.columns, sizes.columns, ONE)
    multiply_onto(grad_output, Matrix(back.zeros, ZERO, ZERO, ONE), grad_logits, rows, weight)
