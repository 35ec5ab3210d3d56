"""Vectors: how they are given, and how alike two are."""

from __future__ import annotations

import binascii
import math
import struct
from base64 import b64decode
from collections.abc import Sequence
from typing import Final

_LONGEST: Final = 4096
"""Numbers of a vector."""

Vector = tuple[float, ...]


def read_vector(value: object) -> Vector | None:
    """Return a list of numbers, or base64 of floats of 32 bits in little endian; None: it is none.

    One that has an array of vectors is none here.
    """
    if isinstance(value, str):
        return _from_base64(value)
    if not isinstance(value, list) or not 0 < len(value) <= _LONGEST:
        return None
    found = []
    for each in value:
        if isinstance(each, bool) or not isinstance(each, (int, float)):
            return None
        try:
            number = float(each)
        except OverflowError:
            return None
        if not math.isfinite(number):
            return None
        found.append(number)
    return tuple(found)


def _from_base64(text: str) -> Vector | None:
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    count, rest = divmod(len(data), 4)
    if rest or not 0 < count <= _LONGEST:
        return None
    found: Vector = struct.unpack(f"<{count}f", data)
    return found if all(map(math.isfinite, found)) else None


def similarity(metric: str, one: Sequence[float], other: Sequence[float]) -> float:
    """Return how alike two vectors are: more is better, but for `l2_norm` a server's way too.

    Args:
        metric: `dot_product`, `cosine` or `l2_norm`.
        one: a vector.
        other: another of that length.
    """
    score = _score(metric, one, other)
    return max(-_NEAREST, min(_NEAREST, score)) if not math.isnan(score) else 0.0


def _score(metric: str, one: Sequence[float], other: Sequence[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    if metric == "dot_product":
        return product
    if metric == "cosine":
        size = math.hypot(*one) * math.hypot(*other)
        return product / size if size else 0.0
    squares = sum((a - b) * (a - b) for a, b in zip(one, other, strict=True))
    # A server divides one by the squared distance.
    return 1 / squares if squares else _NEAREST


_NEAREST: Final = 3.4028234663852886e38
"""Score of what is in no distance: the largest float of 32 bits."""
