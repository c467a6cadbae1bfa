"""Gradients by central differences, in float64."""

import numpy as np


def numeric_gradient(function, point, epsilon=1e-5):
    """Return the gradient, at the array `point` (float64), of a function of such an array to a number."""
    assert point.dtype == np.float64
    gradient = np.zeros(point.shape)
    for index in np.ndindex(point.shape):
        shift = np.zeros(point.shape)
        shift[index] = epsilon
        gradient[index] = (function(point + shift) - function(point - shift)) / (2 * epsilon)
    return gradient


def assert_same_gradient(analytic, numeric, name):
    """Fail where the error exceeds a millionth of the largest element, or that is too small to compare."""
    largest = np.abs(numeric).max()
    assert analytic.shape == numeric.shape
    assert largest > 1e-4, f"the gradient in {name} is so small that its check would show nothing"
    error = np.abs(analytic - numeric).max()
    assert error < 1e-6 * largest, f"the gradient in {name} is wrong by {error:g} of {largest:g}"
