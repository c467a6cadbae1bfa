"""Series for tests: seasons of a known length, a trend, and some noise."""

import numpy as np


def seasonal(count, season=6, seed=0, noise=0.05, trend=0.02, level=10.0):
    """Return values with a season whose shape follows from its length."""
    steps = np.arange(count)
    wave = np.sin(2 * np.pi * steps / season) + 0.5 * np.cos(4 * np.pi * steps / season)
    return level + trend * steps + wave + noise * np.random.default_rng(seed).standard_normal(count)


def months(count, first=1990):
    """Return the times of months."""
    return [f"{first + number // 12}-{number % 12 + 1:02}" for number in range(count)]


def wide(columns, stamps):
    """Return the text of a CSV with a column for each series."""
    lines = [",".join(["time", *columns])]
    lines += [
        ",".join([stamp, *(f"{value:.4f}" for value in row)]) for stamp, row in zip(stamps, zip(*columns.values()))
    ]
    return "\n".join(lines) + "\n"
