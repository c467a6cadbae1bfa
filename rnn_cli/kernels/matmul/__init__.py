"""The matrix product: packed operands, register tiles, matrix registers."""
