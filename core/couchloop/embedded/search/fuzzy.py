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
    # Further than *most* from the diagonal nothing matters: rows hold but what is near it.
    far, width = most + 1, 2 * most + 1
    before = [far] * width
    row = [abs(at - most) if at >= most else far for at in range(width)]
    for index, letter in enumerate(one, 1):
        following = [far] * width
        for at in range(width):
            column = index + at - most
            if not 0 <= column <= len(other):
                continue
            best = row[at + 1] + 1 if at + 1 < width else far
            if column > 0:
                best = min(best, row[at] + (letter != other[column - 1]))
                best = min(best, following[at - 1] + 1 if at > 0 else far)
            if _is_swap(one, other, index, column):
                best = min(best, before[at] + 1)
            following[at] = min(best, far)
        if min(following) > most:
            return False
        before, row = row, following
    return row[len(other) - len(one) + most] <= most


def _is_swap(one: str, other: str, index: int, column: int) -> bool:
    """Whether the last two signs of two beginnings are the same, the other way round."""
    return (
        index > 1
        and column > 1
        and one[index - 1] == other[column - 2]
        and one[index - 2] == other[column - 1]
    )


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
    prefix, signs = term[: max(0, prefix_length)], frozenset(term)
    # Each change brings one sign in and takes another out, at most.
    most = 2 * fuzziness
    found = []
    for each in context.shard.beginning(field, prefix):
        context.budget.spend(1)
        if len(signs.symmetric_difference(each)) > most:
            continue
        context.budget.spend(1 + len(each))
        if is_near(term, each, fuzziness):
            found.append(each)
    return found
