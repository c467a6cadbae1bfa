"""Reference implementation of kneser_ney.py: n-grams in dictionaries, symbol by symbol."""

from collections import Counter, defaultdict

V = 5
LEAST_DISCOUNT, GREATEST_DISCOUNT = 0.1, 0.95  # not the program's own, which they check
LONGEST_PAST = 20  # symbols; longer than any context


class SlowGrams:
    """N-grams in dictionaries."""

    def __init__(self, order, line_mode):
        self.order, self.line_mode = order, line_mode
        self.counts = [defaultdict(Counter) for _ in range(order)]

    def learn(self, past, symbol):
        """Count a symbol after its past; continue with the shorter context only while the longer gram is new."""
        for k in range(min(self.order - 1, len(past)), -1, -1):
            context = tuple(past[len(past) - k :])
            self.counts[k][context][symbol] += 1
            if self.counts[k][context][symbol] > 1:
                return

    def distribution(self, past):
        """Return the probability of each symbol."""
        symbols = range(0 if self.line_mode else 1, V)
        p = {symbol: 1 / len(symbols) for symbol in symbols}
        for k in range(min(self.order - 1, len(past)) + 1):
            context = tuple(past[len(past) - k :])
            seen = self.counts[k][context]
            total = sum(seen.values())
            if total:
                numbers = [n for counter in self.counts[k].values() for n in counter.values()]
                once, twice = numbers.count(1), numbers.count(2)
                d = min(max(once / max(once + 2 * twice, 1), LEAST_DISCOUNT), GREATEST_DISCOUNT)
                p = {s: (max(seen[s] - d, 0) + d * len(seen) * p[s]) / total for s in symbols}
        return p


def with_past(ids, line_mode):
    """Yield each scored symbol with its past, from the boundary on."""
    past = [0]
    for symbol in ids[1:].tolist():
        if symbol or line_mode:
            yield past, symbol
        past = [*past[-LONGEST_PAST:], symbol] if symbol else [0]
