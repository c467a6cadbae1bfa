"""What a text is: a list, each line a text of its own, or one stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import AnyStr

LOOK_AT = 1 << 20  # characters that are looked at
LONGEST_LINE = 120  # characters
SENTENCE_ENDS = tuple(",.;:!?…。、，；：！？।॥؟؛،")  # noqa: RUF001
CLOSING = "\"'”’»)]」』"  # noqa: RUF001 (what may stand behind them)


def beginning(chunks: Iterable[AnyStr]) -> AnyStr | str:
    """Return as much of a text as `looks_like_lines` needs: what it looks at, and whether more follows."""
    taken: list[AnyStr] = []
    size = 0
    for chunk in chunks:
        taken.append(chunk)
        size += len(chunk)
        if size > LOOK_AT:
            break
    return taken[0][:0].join(taken) if taken else ""


def looks_like_lines(text: str | bytes) -> tuple[bool, str]:
    """Say whether the lines of a text look like texts of their own, and why, from its first 1 MB."""
    part = text[:LOOK_AT]
    sample = part if isinstance(part, str) else part.decode("latin-1")
    rows = sample.split("\n")
    if len(text) > LOOK_AT or not rows[-1]:  # the last one is cut off, or what follows the last newline
        rows.pop()
    rows = [row.removesuffix("\r") for row in rows]
    longest = max(map(len, rows), default=len(sample))
    if longest > LONGEST_LINE:
        return False, f"it has a line of {longest:,} characters"
    if len(rows) <= 1:
        return bool(longest), f"it is one line of {longest:,} characters"
    empty = rows.count("") / len(rows)
    if empty > 0.01:
        return False, f"{empty:.0%} of its lines are empty"
    ended = sum(row.rstrip(CLOSING).endswith(SENTENCE_ENDS) for row in rows) / len(rows)
    if ended >= 0.25:
        return False, f"{ended:.0%} of its lines end in a punctuation mark"
    return True, f"lines of at most {longest:,} characters, {ended:.0%} of which end in a mark"


def detect_lines(texts: Iterable[str | bytes]) -> tuple[bool, str]:
    """Say whether every one of some texts looks like lines, with the reason of the first that decides."""
    verdicts = [looks_like_lines(text) for text in texts if text]
    return min(verdicts, key=lambda verdict: verdict[0], default=(False, "it is empty"))
