"""Terms that are nearly the same: a sign more, less, another, or two neighbours swapped."""

from __future__ import annotations

from typing import Final

from couchloop.embedded.search.errors import SearchError
from couchloop.embedded.search.searchers import Context

MOST_FUZZINESS: Final = 2


def is_near(one: str, other: str, most: int) -> bool:
    """Whether one text becomes the other by *most* changes."""
    if abs(len(one) - len(other)) > most:
        return False
    before: list[int] = []
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one, 1):
        # Further than *most* from the diagonal nothing matters.
        low, high = max(1, index - most), min(len(other), index + most)
        following = [most + 1] * (len(other) + 1)
        if index <= most:
            following[0] = index
        for at in range(low, high + 1):
            changed = row[at - 1] + (letter != other[at - 1])
            best = min(changed, row[at] + 1, following[at - 1] + 1)
            if index > 1 and at > 1 and letter == other[at - 2] and one[index - 2] == other[at - 1]:
                best = min(best, before[at - 2] + 1)
            following[at] = best
        if min(following) > most:
            return False
        before, row = row, following
    return row[len(other)] <= most


def near_terms(
    context: Context, field: str, term: str, fuzziness: int, prefix_length: int
) -> list[str]:
    """Return the terms of a field that are nearly a term.

    Args:
        context: where is searched.
        field: the field.
        term: what is looked up.
        fuzziness: how many changes there may be, 1 or 2.
        prefix_length: how many signs at the beginning must be the same.

    Raises SearchError.
    """
    if fuzziness > MOST_FUZZINESS:
        raise SearchError(f"fuzziness exceeds max ({MOST_FUZZINESS})")
    if fuzziness < 0:
        raise SearchError("invalid fuzziness, negative")
    if fuzziness == 0:
        raise SearchError("fuzziness exceeds the max limit")
    prefix = term[: max(0, prefix_length)]
    return [
        each for each in context.shard.beginning(field, prefix) if is_near(term, each, fuzziness)
    ]
